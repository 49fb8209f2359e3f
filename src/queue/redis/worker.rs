//! The worker's side: one worker of one pool. It may run scripts that the conductor's side loaded, and nothing else.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{Value, cmd};
use tokio::sync::Notify;

use crate::link::{BadSettings, Link, LinkError, RedisSettings, Reply, Script, Wait, keys, text};
use crate::model::job::{Job, JobId, News, Report};
use crate::queue::{
    Claim, Jobs, Orders, Pools, QueueError,
    redis::{
        kept::KeptEnds,
        known::BOOKS_EVERY,
        name::{job_of, name_of},
        parcel::{Common, Documents, unpack},
        scripts::{BEAT, CLAIM, GIVE_BACK, LEAVE},
        server::Answer,
        tell::Telling,
    },
};

/// Bytes of jobs that one claim gives, unless one alone is larger.
const CLAIM_BYTES: usize = 16 << 20;

/// One worker's side of the queue in Redis.
pub struct RedisJobs {
    pool: String,
    pub(super) worker: String,
    base: String,
    presence: Duration,
    look: Duration,
    link: Link,
    doorbell: Wait,
    bell: Wait,
    mine: Mutex<Mine>,
    pub(super) telling: Telling,
    /// Something changed that a waiting claim or call should look at.
    changed: Notify,
}

#[derive(Default)]
pub(super) struct Mine {
    /// The incarnation that knows this worker.
    incarnation: Option<String>,
    pub(super) kept: KeptEnds,
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
            telling: Telling::default(),
            changed: Notify::new(),
        })
    }

    pub(super) fn mine(&self) -> MutexGuard<'_, Mine> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another worker's name here is a mistake in this program.
    fn check(&self, worker: &str) -> Result<(), QueueError> {
        if worker == self.worker {
            return Ok(());
        }
        Err(QueueError::Unavailable(format!("this is the queue of worker {}, not of {worker}", self.worker)))
    }

    pub(super) async fn run(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<Answer, QueueError> {
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
    pub(super) fn call_myself(&self) {
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
        arguments.extend(holding.iter().chain(&kept).map(|job| text(&name_of(job))));
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

    async fn try_claim(&self, claim: &Claim) -> Result<Claimed, QueueError> {
        let known = self.mine().documents.hashes();
        let numbers = [claim.slots, CLAIM_BYTES, known.len()].map(|number| number.to_string().into_bytes());
        let mut arguments = numbers.to_vec();
        arguments.extend(known.iter().map(|hash| hash.clone().into_bytes()));
        arguments.extend(claim.holding.iter().map(|job| name_of(job).into_bytes()));
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
            raw.push((rest.text()?, rest.text()?, rest.bytes()?));
        }
        let mut documents: BTreeMap<String, Arc<Common>> = {
            let mine = self.mine();
            known
                .into_iter()
                .filter_map(|hash| mine.documents.get(&hash).map(|found| (hash, found)))
                .collect()
        };
        while rest.left() > 0 {
            let (hash, text) = (rest.text()?, rest.bytes()?);
            if let Ok(document) = serde_json::from_slice::<Common>(&text).map(Arc::new) {
                self.mine().documents.keep(hash.clone(), document.clone(), text.len());
                documents.insert(hash, document);
            }
        }
        let mut jobs = Vec::new();
        for (id, rank, raw) in raw {
            match unpack((&id, &rank), &raw, |hash| documents.get(hash).cloned()) {
                Ok(job) => jobs.push(job),
                Err(why) => self.refuse(&id, &why).await?,
            }
        }
        Ok(Claimed::Jobs(jobs))
    }

    /// Waits until the pool has other books than this worker knows: they have to hear what it holds. (Without any it could not
    /// tell them.)
    async fn other_books(&self) {
        let mut get = cmd("GET");
        get.arg(format!("{}{}", self.base, keys::BOOKS));
        loop {
            tokio::time::sleep(BOOKS_EVERY).await;
            // That Redis is away is told by whatever else is asked.
            let seen = match self.link.ask(&get).await {
                // It may be the first to find its connection broken.
                Err(_) => self.link.ask(&get).await,
                seen => seen,
            };
            let Ok(now) = seen.and_then(text) else { continue };
            if self.mine().incarnation.as_ref().is_some_and(|known| *known != now) {
                return;
            }
        }
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
        self.report_all(vec![report]).await
    }

    async fn report_all(&self, mut reports: Vec<Report>) -> Result<(), QueueError> {
        // Who was never known here holds nothing.
        reports.retain(|report| report.worker == self.worker);
        if reports.is_empty() || self.mine().incarnation.is_none() {
            return Ok(());
        }
        let ends = reports.iter().any(|report| matches!(report.news, News::Ended(_)));
        if ends && !self.mine().kept.has_room() {
            return Err(QueueError::Full("results of this worker that are not committed"));
        }
        self.tell(reports).await
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
        // It goes on while the wait for the bell begins anew, or it would never come to a look.
        let mut others = pin!(self.other_books());
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
                () = &mut others => self.mine().called = true,
            }
        }
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.check(worker)?;
        // In another incarnation it holds what it says, and nothing else.
        let holding: Vec<Vec<u8>> = holding.iter().map(|job| name_of(job).into_bytes()).collect();
        self.run(&GIVE_BACK, &holding).await.map(drop)
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        self.check(worker)?;
        self.run(&LEAVE, &[]).await.map(drop)
    }
}

fn jobs(reply: &mut Reply) -> Result<Vec<JobId>, LinkError> {
    Ok(reply.texts()?.iter().filter_map(|text| job_of(text)).collect())
}

pub(super) fn unprepared() -> QueueError {
    QueueError::Unavailable("Redis began anew, and the conductor has not prepared it yet".to_owned())
}
