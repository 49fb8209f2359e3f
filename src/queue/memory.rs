//! The queue within the process: behind `relay run`, and in place of Redis in the simulation. It outlives every
//! conductor and worker that uses it.

mod books;
mod roster;
mod worker;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::model::job::{Job, JobId};
use crate::queue::{
    Census, Epochs, Go, Lease, Placed, Position, Queue, QueueError, Removal, Told, Unfit,
    memory::books::{Books, Held},
    reign::Reign,
};

/// What a memory queue holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that nobody has claimed.
    pub pending: usize,
    /// Reports that are not settled.
    pub reports: usize,
    /// Workers that were ever seen and have not left or gone silent.
    pub workers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pending: 100_000, reports: 100_000, workers: 10_000 }
    }
}

/// All sides of a queue in memory. Who leads is said of this value alone; `beside` gives another leader's side.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    server: Arc<Server>,
    reign: Reign,
}

/// What all sides share.
#[derive(Debug, Default)]
struct Server {
    limits: Limits,
    books: Mutex<Books>,
    published: Notify,
    reported: Notify,
    ordered: Notify,
}

impl MemoryQueue {
    /// An empty queue with bounds of its own.
    pub fn new(limits: Limits) -> MemoryQueue {
        let server = Arc::new(Server { limits, ..Server::default() });
        MemoryQueue { server, reign: Reign::default() }
    }

    /// The same queue, for another who may lead.
    pub fn beside(&self) -> MemoryQueue {
        MemoryQueue { server: self.server.clone(), reign: Reign::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Each verb leaves whole books behind at every point where it could panic.
        self.server.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books, for a leader of all these pools.
    fn speak<'a>(
        &self,
        pools: impl IntoIterator<Item = &'a str>,
    ) -> Result<MutexGuard<'_, Books>, QueueError> {
        let mut books = self.books();
        for pool in pools.into_iter().collect::<BTreeSet<_>>() {
            books.hear(pool, self.reign.of(pool)?)?;
        }
        Ok(books)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn lead(&self, epochs: &Epochs) {
        self.reign.set(epochs);
    }

    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        let (epoch, mut books) = (self.reign.of(pool)?, self.books());
        if let Some(known) = books.heard.get_mut(pool).filter(|known| **known == heard) {
            *known = epoch;
        }
        Ok(())
    }

    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        {
            let mut books = self.speak(jobs.iter().map(|job| job.pool.as_str()))?;
            let new: Vec<&Job> = jobs.iter().filter(|j| !books.holds(&j.id)).collect();
            if books.places.len() + new.len() > self.server.limits.pending {
                return Err(QueueError::Full("jobs that nobody has claimed"));
            }
            for job in new {
                books.offer(job);
            }
        }
        self.server.published.notify_waiters();
        Ok(Vec::new())
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        let mut books = self.speak([&*job.pool])?;
        if !books.has(job) {
            return Ok(Removal::Absent);
        }
        Ok(if books.withdraw(&job.job).is_some() { Removal::Removed } else { Removal::Claimed })
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        {
            let mut books = self.speak([&*job.pool])?;
            let has = books.has(job);
            let held = books.leases.get_mut(&job.job).filter(|held| has && !held.ended);
            let Some(held) = held else { return Ok(()) };
            held.cancel = true;
            let worker = held.worker.clone();
            books.call(&worker);
        }
        self.server.ordered.notify_waiters();
        Ok(())
    }

    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        {
            let mut books = self.speak(begun.iter().map(|go| &*go.place.pool))?;
            for Go { place, worker } in begun {
                let has = books.has(place);
                let held = books.leases.get_mut(&place.job);
                if let Some(held) = held.filter(|held| has && !held.ended && held.worker == *worker) {
                    held.go = true;
                    books.call(worker);
                }
            }
        }
        self.server.ordered.notify_waiters();
        Ok(())
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        loop {
            // Made before the look, so that what comes in between wakes it.
            let news = self.server.reported.notified();
            let found = self.books().reports_after(after, max.max(1), |pool| self.reign.leads(pool));
            if !found.is_empty() {
                return Ok(found);
            }
            news.await;
        }
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        {
            let told = self.books().told_up_to(up_to, |pool| self.reign.leads(pool));
            let pools = told.iter().map(|(_, pool)| &**pool).chain(ended.iter().map(|placed| &*placed.pool));
            let mut books = self.speak(pools)?;
            for (at, _) in &told {
                books.reports.remove(at);
            }
            for placed in ended {
                if books.has(placed) {
                    books.forget(&placed.job);
                }
            }
        }
        self.server.ordered.notify_waiters();
        Ok(())
    }

    async fn census(&self, now: Timestamp) -> Result<Census, QueueError> {
        let pools = self.books().pools();
        let led = |pool: &str| self.reign.leads(pool);
        let mut books = self.speak(pools.iter().map(String::as_str).filter(|pool| led(pool)))?;
        books.workers.retain(|_, w| w.present(now) || w.holds_some());
        let place = |job: &JobId, pool: &str| Placed { pool: pool.into(), job: job.clone() };
        let lease = |(job, held): (&JobId, &Held)| Lease {
            place: place(job, &held.job.pool),
            worker: held.worker.clone(),
            present: books.workers.get(&held.worker).is_some_and(|worker| worker.present(now)),
        };
        let reported = books.reports.iter().rev().find(|(_, (pool, _))| led(pool));
        let pending = books.places.iter().filter(|(_, (pool, _))| led(pool));
        let leases = books.leases.iter().filter(|(_, held)| led(&held.job.pool));
        Ok(Census {
            reported: reported.map_or(Position::START, |(at, _)| *at),
            pending: pending.map(|(job, (pool, _))| place(job, pool)).collect(),
            leases: leases.map(lease).collect(),
            present: books.workers.iter().filter(|(_, w)| w.present(now)).map(|(id, _)| id.clone()).collect(),
            announcing: false,
            life: String::new(),
        })
    }
}
