//! The worker's side: one worker of one pool. It may run scripts that the conductor's side loaded, and nothing else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{Value, cmd};
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::link::{BadSettings, Link, LinkError, RedisSettings, Reply, Script, Wait, keys};
use crate::model::{
    job::{Job, JobId, News, Outcome, PROTOCOL, Report},
    task::FailureKind,
};
use crate::queue::{
    Claim, Jobs, Orders, Pools, QueueError,
    redis::{
        kept::KeptEnds,
        parcel::{Documents, unpack},
        scripts::{BEAT, CLAIM, GIVE_BACK, LEAVE, REPORT},
        server::Answer,
    },
};

/// Bytes of jobs that one claim gives, unless one alone is larger.
const CLAIM_BYTES: usize = 16 << 20;
/// Reports of one pool that are not settled.
const REPORTS: usize = 100_000;
/// Ends that one beat tells again.
const AGAIN_AT_ONCE: usize = 500;

/// One worker's side of the queue in Redis.
pub struct RedisJobs {
    pool: String,
    worker: String,
    base: String,
    presence: Duration,
    look: Duration,
    link: Link,
    doorbell: Wait,
    bell: Wait,
    mine: Mutex<Mine>,
    /// Something changed that a waiting claim or call should look at.
    changed: Notify,
}

#[derive(Default)]
struct Mine {
    /// The incarnation that knows this worker.
    incarnation: Option<String>,
    kept: KeptEnds,
    documents: Documents,
    /// There may be orders.
    called: bool,
}

/// What a claim brought.
enum Claimed {
    Jobs(Vec<Job>),
    /// The books do not know this worker, or are of another life.
    Unknown,
    Retired,
}

impl RedisJobs {
    /// For a worker of `<namespace>/<pool>` whose name no other worker has at any time. Connects when it is first used.
    pub fn new(settings: &RedisSettings, pool: &str, worker: &str) -> Result<RedisJobs, BadSettings> {
        Ok(RedisJobs {
            pool: pool.to_owned(),
            worker: worker.to_owned(),
            base: keys::of_pool(settings.prefix(), pool),
            presence: settings.presence,
            look: settings.look,
            link: Link::new(settings, Duration::ZERO)?,
            doorbell: Wait::new(settings)?,
            bell: Wait::new(settings)?,
            mine: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn mine(&self) -> MutexGuard<'_, Mine> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another worker's name here is a mistake in this program.
    fn check(&self, worker: &str) -> Result<(), QueueError> {
        if worker == self.worker {
            return Ok(());
        }
        Err(QueueError::Unavailable(format!("this is the queue of worker {}, not of {worker}", self.worker)))
    }

    async fn run(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<Answer, QueueError> {
        let incarnation = self.mine().incarnation.clone().unwrap_or_default();
        let mut command = script.on(&[&self.base]);
        command.arg(incarnation).arg(&self.worker).arg(arguments);
        let answer = match self.link.ask(&command).await {
            Ok(value) => Answer::read(value)?,
            Err(LinkError::NoScript) => return Err(unprepared()),
            Err(error) => return Err(error.into()),
        };
        match answer.word.as_str() {
            "lost" => Err(unprepared()),
            "broken" => {
                let what = answer.rest.text_or_nothing();
                Err(QueueError::Unavailable(format!("a key in Redis has a wrong type: {what}")))
            }
            _ => Ok(answer),
        }
    }

    /// The next beat should come now.
    fn call_myself(&self) {
        self.mine().called = true;
        self.changed.notify_waiters();
    }

    /// Says that the worker lives. `answered`: the caller does what the orders say.
    async fn say_alive(&self, holding: &[JobId], answered: bool) -> Result<Orders, QueueError> {
        let (known, kept) = {
            let mine = self.mine();
            (mine.incarnation.clone(), mine.kept.jobs())
        };
        let text = |text: &str| text.as_bytes().to_vec();
        let mut arguments = vec![
            text(&self.presence.as_millis().to_string()),
            text(if answered { "1" } else { "0" }),
            text(&holding.len().to_string()),
        ];
        arguments.extend(holding.iter().chain(&kept).map(|job| text(&job.to_string())));
        let Answer { mut rest, .. } = self.run(&BEAT, &arguments).await?;
        let (incarnation, settled, retired) = (rest.text()?, rest.text()?, rest.number()? == 1);
        let (cancel, abandoned, go) = (jobs(&mut rest)?, jobs(&mut rest)?, jobs(&mut rest)?);
        {
            let mut mine = self.mine();
            if known.as_ref().is_some_and(|known| *known != incarnation) {
                mine.kept.lost();
            }
            mine.incarnation = Some(incarnation);
            if let Ok(up_to) = settled.parse() {
                mine.kept.settled(up_to);
            }
        }
        self.tell_again().await?;
        let unsettled = self.mine().kept.jobs().len();
        Ok(Orders { cancel, go, abandoned, retired, unsettled })
    }

    /// Ends that Redis lost.
    async fn tell_again(&self) -> Result<(), QueueError> {
        let untold = self.mine().kept.untold(AGAIN_AT_ONCE);
        for report in untold {
            self.tell(report).await?;
        }
        Ok(())
    }

    async fn tell(&self, report: Report) -> Result<(), QueueError> {
        let ended = matches!(report.news, News::Ended(_));
        let text = serde_json::to_vec(&report)
            .map_err(|e| QueueError::Unavailable(format!("a report cannot be written down: {e}")))?;
        let bytes = text.len();
        let arguments = [
            report.job.to_string().into_bytes(),
            if ended { b"1".to_vec() } else { b"0".to_vec() },
            REPORTS.to_string().into_bytes(),
            text,
        ];
        let mut answer = self.run(&REPORT, &arguments).await?;
        match answer.word.as_str() {
            "ok" if ended => {
                let entry = answer.rest.text()?.parse().ok();
                self.mine().kept.told(report, bytes, entry);
            }
            "ok" => {}
            "full" => return Err(QueueError::Full("reports that are not settled")),
            "stale" => {
                self.call_myself();
                return Err(unprepared());
            }
            // Nobody waits for it any more.
            _ => self.mine().kept.forget(&report.job),
        }
        Ok(())
    }

    async fn try_claim(&self, claim: &Claim) -> Result<Claimed, QueueError> {
        let known = self.mine().documents.hashes();
        let numbers = [claim.slots, CLAIM_BYTES, known.len()].map(|number| number.to_string().into_bytes());
        let mut arguments = numbers.to_vec();
        arguments.extend(known.iter().map(|hash| hash.clone().into_bytes()));
        arguments.extend(claim.holding.iter().map(|job| job.to_string().into_bytes()));
        let Answer { word, mut rest } = self.run(&CLAIM, &arguments).await?;
        match word.as_str() {
            "ok" => {}
            "retired" => return Ok(Claimed::Retired),
            _ => return Ok(Claimed::Unknown),
        }
        if let Ok(up_to) = rest.text()?.parse() {
            self.mine().kept.settled(up_to);
        }
        let mut raw = Vec::new();
        for _ in 0..rest.number()? {
            raw.push((rest.text()?, rest.bytes()?));
        }
        let mut documents: BTreeMap<String, Arc<Json>> = {
            let mine = self.mine();
            known
                .into_iter()
                .filter_map(|hash| mine.documents.get(&hash).map(|found| (hash, found)))
                .collect()
        };
        while rest.left() > 0 {
            let (hash, text) = (rest.text()?, rest.bytes()?);
            if let Ok(document) = serde_json::from_slice::<Json>(&text).map(Arc::new) {
                self.mine().documents.keep(hash.clone(), document.clone(), text.len());
                documents.insert(hash, document);
            }
        }
        let mut jobs = Vec::new();
        for (id, raw) in raw {
            match unpack(&raw, |hash| documents.get(hash).cloned()) {
                Ok(job) => jobs.push(job),
                Err(why) => self.refuse(&id, &why).await?,
            }
        }
        Ok(Claimed::Jobs(jobs))
    }

    /// A job that this worker cannot read fails, or it would be given to it again and again.
    async fn refuse(&self, job: &str, why: &str) -> Result<(), QueueError> {
        tracing::error!(job, why, "A job cannot be read, and fails");
        let Ok(job) = job.parse::<JobId>() else { return Ok(()) };
        let message =
            format!("the worker cannot read the job ({why}); is its pool's worker of another version?");
        let outcome =
            Outcome::Failed { kind: FailureKind::Error, output_invalid: false, exit_code: None, message };
        // The time of an end that never began: the epoch says so.
        let (worker, at) = (self.worker.clone(), Timestamp::UNIX_EPOCH);
        self.tell(Report { version: PROTOCOL, job, worker, news: News::Ended(outcome), at }).await
    }

    /// Waits until there may be jobs, at most for `look`.
    async fn wait_for_jobs(&self) -> Result<(), QueueError> {
        let key = format!("{}{}", self.base, keys::DOORBELL);
        self.doorbell.ask_alone(&self.pop(&key)).await?;
        Ok(())
    }

    fn pop(&self, key: &str) -> redis::Cmd {
        let mut command = cmd("BLPOP");
        command.arg(key).arg(self.look.as_secs_f64());
        command
    }
}

#[async_trait]
impl Jobs for RedisJobs {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        self.check(&claim.worker)?;
        if claim.pools != Pools::One(self.pool.clone()) {
            return Err(QueueError::Unavailable(format!(
                "a worker in Redis serves its pool {} alone",
                self.pool
            )));
        }
        if claim.slots == 0 {
            return Ok(Vec::new());
        }
        let mut strange = false;
        loop {
            // Made before the look, so that what comes in between wakes it.
            let changed = self.changed.notified();
            match self.try_claim(claim).await? {
                Claimed::Jobs(jobs) if !jobs.is_empty() => return Ok(jobs),
                Claimed::Jobs(_) => self.wait_for_jobs().await?,
                Claimed::Unknown if strange => return Err(unprepared()),
                Claimed::Unknown => {
                    strange = true;
                    self.say_alive(&claim.holding, false).await?;
                    continue;
                }
                // Tokens are for others, until a beat brings other orders.
                Claimed::Retired => drop(tokio::time::timeout(self.look, changed).await),
            }
            strange = false;
        }
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        // Who was never known here holds nothing.
        if report.worker != self.worker || self.mine().incarnation.is_none() {
            return Ok(());
        }
        if matches!(report.news, News::Ended(_)) && !self.mine().kept.has_room() {
            return Err(QueueError::Full("results of this worker that are not committed"));
        }
        self.tell(report).await
    }

    async fn beat(&self, worker: &str, holding: &[JobId], _now: Timestamp) -> Result<Orders, QueueError> {
        self.check(worker)?;
        self.mine().called = false;
        let orders = self.say_alive(holding, true).await?;
        if !orders.retired {
            self.changed.notify_waiters();
        }
        Ok(orders)
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        self.check(worker)?;
        let key = format!("{}{}{}", self.base, keys::BELL, self.worker);
        loop {
            let changed = self.changed.notified();
            if self.mine().called {
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                token = self.bell.ask(|| self.pop(&key)) => if token? != Value::Nil {
                    self.mine().called = true;
                },
            }
        }
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.check(worker)?;
        // In another incarnation it holds what it says, and nothing else.
        let holding: Vec<Vec<u8>> = holding.iter().map(|job| job.to_string().into_bytes()).collect();
        self.run(&GIVE_BACK, &holding).await.map(drop)
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        self.check(worker)?;
        self.run(&LEAVE, &[]).await.map(drop)
    }
}

fn jobs(reply: &mut Reply) -> Result<Vec<JobId>, LinkError> {
    Ok(reply.texts()?.iter().filter_map(|text| text.parse().ok()).collect())
}

fn unprepared() -> QueueError {
    QueueError::Unavailable("Redis began anew, and the conductor has not prepared it yet".to_owned())
}
