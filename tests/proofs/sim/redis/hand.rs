//! A worker's side: one worker of one pool.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::{
    model::job::{Job, JobId, News, Report},
    queue::{Claim, Jobs, Orders, QueueError},
};
use tokio::sync::Notify;

use super::{
    BOOKS_EVERY, Content, Redis, Wire,
    books::{Claimed, Heard, Name},
    unprepared,
};
use crate::sim::{faults::Faults, world::Mutation};

#[derive(Default)]
struct Mine {
    /// The books that know this worker.
    books: Option<Name>,
    /// Ends that were told, and where they lie; nowhere, when they have to be told again.
    kept: BTreeMap<JobId, (Report, Option<u64>)>,
    called: bool,
}

impl Mine {
    fn settled(&mut self, up_to: u64) {
        self.kept.retain(|_, (_, entry)| entry.is_none_or(|at| at > up_to));
    }
}

/// One worker's side.
pub struct Hand {
    wire: Wire,
    pool: Arc<str>,
    worker: String,
    mine: Mutex<Mine>,
    changed: Notify,
}

impl Hand {
    pub fn new(faults: Faults, redis: Arc<Redis>, pool: &str) -> Hand {
        let worker = faults.life.name.clone();
        let wire = Wire::new(faults, redis);
        Hand { wire, pool: pool.into(), worker, mine: Mutex::default(), changed: Notify::new() }
    }

    fn mine(&self) -> MutexGuard<'_, Mine> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mutated(&self, mutation: Mutation) -> bool {
        self.wire.faults.shared.settings.mutation == Some(mutation)
    }

    fn fenced(&self) -> bool {
        !self.mutated(Mutation::AnyLife)
    }

    /// `answered`: the caller does what the orders say.
    async fn say_alive(&self, holding: &[JobId], answered: bool) -> Result<Orders, QueueError> {
        let (known, kept) = {
            let mine = self.mine();
            (mine.books, mine.kept.keys().cloned().collect::<Vec<_>>())
        };
        let (pool, worker, held) = (self.pool.clone(), self.worker.clone(), holding.to_vec());
        let forgetful = self.mutated(Mutation::TellsNothing);
        let beat = move |content: &mut Content, now: Timestamp, _: bool| {
            let known = known.filter(|_| !forgetful);
            content
                .scripts
                .then(|| content.books(&pool).beat((&worker, known, answered), &held, &kept, now))
                .flatten()
        };
        let beaten = self.wire.ask("beat", beat).await?.ok_or_else(unprepared)?;
        {
            let mut mine = self.mine();
            if known.is_some_and(|known| known != beaten.books) {
                self.wire.faults.shared.count("a worker tells a new life what it holds");
                mine.kept.values_mut().for_each(|(_, entry)| *entry = None);
            }
            mine.books = Some(beaten.books);
            mine.settled(beaten.settled);
        }
        let untold: Vec<Report> = self
            .mine()
            .kept
            .values()
            .filter(|(_, entry)| entry.is_none())
            .map(|(report, _)| report.clone())
            .collect();
        for report in untold {
            self.wire.faults.shared.count("a kept result told again");
            self.tell(report).await?;
        }
        let unsettled = self.mine().kept.len();
        Ok(Orders { unsettled, ..beaten.orders })
    }

    async fn tell(&self, report: Report) -> Result<(), QueueError> {
        let (pool, said) = (self.pool.clone(), report.clone());
        let (known, fenced) = (self.mine().books, self.fenced());
        let tell = move |content: &mut Content, _: Timestamp, _: bool| {
            let entry = content.id();
            let scripts = content.scripts;
            let books = content.books(&pool);
            (scripts && books.are(known, fenced)).then(|| books.report(entry, &said))
        };
        let heard = self.wire.ask("report", tell).await?;
        let job = report.job.clone();
        match heard {
            Some(Heard::Entry(entry)) if matches!(report.news, News::Ended(_)) => {
                if !self.mutated(Mutation::KeepsNothing) {
                    self.mine().kept.insert(job, (report, Some(entry)));
                }
            }
            Some(Heard::Entry(_)) => {}
            Some(Heard::Dropped) => drop(self.mine().kept.remove(&job)),
            None => {
                self.mine().called = true;
                self.changed.notify_waiters();
                return Err(unprepared());
            }
        }
        Ok(())
    }

    async fn try_claim(&self, claim: &Claim) -> Result<Option<Vec<Job>>, QueueError> {
        let (pool, known, claim) = (self.pool.clone(), self.mine().books, claim.clone());
        let fenced = self.fenced();
        let (shared, hasty) = (self.wire.faults.shared.clone(), self.mutated(Mutation::BeginsAtOnce));
        let take = move |content: &mut Content, now: Timestamp, copy: bool| {
            let scripts = content.scripts;
            let books = content.books(&pool);
            if !scripts || !books.are(known, fenced) {
                return None;
            }
            match books.claim(&claim.worker, claim.slots, &claim.holding, now) {
                Claimed::Unknown => None,
                Claimed::Jobs { settled, mut jobs } => {
                    if !copy {
                        shared.given(&jobs);
                    }
                    if hasty {
                        jobs.iter_mut().for_each(|job| job.at_most_once = false);
                    }
                    Some((settled, jobs))
                }
            }
        };
        let found = self.wire.ask("claim", take).await?;
        Ok(found.map(|(settled, jobs)| {
            self.mine().settled(settled);
            jobs
        }))
    }

    async fn step(
        &self,
        verb: &'static str,
        act: impl Fn(&mut super::Books) + Clone + Send + 'static,
    ) -> Result<(), QueueError> {
        let (pool, known, fenced) = (self.pool.clone(), self.mine().books, self.fenced());
        let run = move |content: &mut Content, _: Timestamp, _: bool| {
            let scripts = content.scripts;
            let books = content.books(&pool);
            if scripts && books.are(known, fenced) {
                act(books);
            }
            scripts && books.name.is_some()
        };
        if self.wire.ask(verb, run).await? { Ok(()) } else { Err(unprepared()) }
    }
}

#[async_trait]
impl Jobs for Hand {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        if claim.slots == 0 {
            return Ok(Vec::new());
        }
        let mut strange = false;
        loop {
            match self.try_claim(claim).await? {
                Some(jobs) if !jobs.is_empty() => return Ok(jobs),
                Some(_) => {
                    let rings =
                        |content: &Content| content.pools.get(&*self.pool).is_some_and(|books| books.rings());
                    self.wire.wait(rings).await?;
                }
                None if strange => return Err(unprepared()),
                None => {
                    strange = true;
                    self.say_alive(&claim.holding, false).await?;
                    continue;
                }
            }
            strange = false;
        }
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        if report.worker != self.worker || self.mine().books.is_none() {
            return Ok(());
        }
        let shared = &self.wire.faults.shared;
        // Said a second time, as a client does whose first answer came too late.
        if shared.faults_on() && shared.dice.chance(20) {
            shared.count("a report said twice");
            self.tell(report.clone()).await?;
        }
        self.tell(report).await
    }

    async fn beat(&self, _worker: &str, holding: &[JobId], _now: Timestamp) -> Result<Orders, QueueError> {
        self.mine().called = false;
        let orders = self.say_alive(holding, true).await?;
        self.changed.notify_waiters();
        Ok(orders)
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        let others = |content: &Content| {
            let mine = self.mine().books;
            let now = content.pools.get(&*self.pool).and_then(|books| books.name);
            mine.is_some() && now.is_some() && now != mine
        };
        let mut others = pin!(self.wire.until_seen(others, BOOKS_EVERY));
        loop {
            let changed = self.changed.notified();
            if self.mine().called {
                return Ok(());
            }
            let rings = |content: &Content| {
                content.pools.get(&*self.pool).is_some_and(|books| books.is_called(worker))
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = &mut others => self.mine().called = true,
                waited = self.wire.wait(rings) => {
                    waited?;
                    let content = self.wire.redis.content();
                    if rings(&content) {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        let (worker, holding) = (worker.to_owned(), holding.to_vec());
        self.step("give_back", move |books| books.give_back(&worker, &holding)).await
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        let worker = worker.to_owned();
        self.step("leave", move |books| books.leave(&worker)).await
    }
}
