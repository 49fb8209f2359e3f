//! The queue within the process: behind `relay run`, and in place of Redis in the simulation. It outlives every
//! conductor and worker that uses it.

mod roster;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::model::{
    job::{Job, JobId, News, Report},
    time::between,
};
use crate::queue::{
    Census, Claim, Jobs, Lease, Orders, PRESENCE_TTL, Placed, Pools, Position, Queue, QueueError, Removal,
    Told,
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

/// Both sides of a queue in memory.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    limits: Limits,
    books: Mutex<Books>,
    published: Notify,
    reported: Notify,
    ordered: Notify,
}

/// By rank, and by name among those of one rank, so that the order never depends on chance.
type Line = BTreeMap<(i64, JobId), Job>;

#[derive(Debug, Default)]
struct Books {
    /// By pool; an empty line is removed.
    pending: BTreeMap<String, Line>,
    /// Where in `pending` a job is: its pool and rank.
    places: BTreeMap<JobId, (String, i64)>,
    leases: BTreeMap<JobId, Held>,
    workers: BTreeMap<String, Known>,
    reports: BTreeMap<Position, (Arc<str>, Report)>,
    reported: Position,
}

#[derive(Debug)]
struct Held {
    worker: String,
    job: Job,
    cancel: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct Known {
    beat: Option<Timestamp>,
    /// Leases of jobs whose end it has not reported.
    open: BTreeSet<JobId>,
    /// Leases of jobs that wait to be settled.
    ended: BTreeSet<JobId>,
    called: bool,
    /// Whose jobs it asked for last.
    pools: Option<Pools>,
    /// It gets no further jobs.
    retired: bool,
}

impl MemoryQueue {
    /// An empty queue with bounds of its own.
    pub fn new(limits: Limits) -> MemoryQueue {
        MemoryQueue { limits, ..MemoryQueue::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Each verb leaves whole books behind at every point where it could panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        {
            let mut books = self.books();
            let new: Vec<&Job> = jobs.iter().filter(|j| !books.holds(&j.id)).collect();
            if books.places.len() + new.len() > self.limits.pending {
                return Err(QueueError::Full("jobs that nobody has claimed"));
            }
            for job in new {
                books.offer(job);
            }
        }
        self.published.notify_waiters();
        Ok(())
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        let mut books = self.books();
        if !books.has(job) {
            return Ok(Removal::Absent);
        }
        Ok(if books.withdraw(&job.job).is_some() { Removal::Removed } else { Removal::Claimed })
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        {
            let mut books = self.books();
            let has = books.has(job);
            let held = books.leases.get_mut(&job.job).filter(|held| has && !held.ended);
            let Some(held) = held else { return Ok(()) };
            held.cancel = true;
            let worker = held.worker.clone();
            books.call(&worker);
        }
        self.ordered.notify_waiters();
        Ok(())
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        loop {
            // Made before the look, so that what comes in between wakes it.
            let news = self.reported.notified();
            let found = self.books().reports_after(after, max.max(1));
            if !found.is_empty() {
                return Ok(found);
            }
            news.await;
        }
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        {
            let mut books = self.books();
            books.reports = match up_to.0.checked_add(1) {
                Some(next) => books.reports.split_off(&Position(next)),
                None => BTreeMap::new(),
            };
            for placed in ended {
                if books.has(placed) {
                    books.forget(&placed.job);
                }
            }
        }
        self.ordered.notify_waiters();
        Ok(())
    }

    async fn census(&self, now: Timestamp) -> Result<Census, QueueError> {
        let mut books = self.books();
        books.workers.retain(|_, w| w.present(now) || w.holds_some());
        let place = |job: &JobId, pool: &str| Placed { pool: pool.into(), job: job.clone() };
        let lease = |(job, held): (&JobId, &Held)| Lease {
            place: place(job, &held.job.pool),
            worker: held.worker.clone(),
            present: books.workers.get(&held.worker).is_some_and(|worker| worker.present(now)),
        };
        Ok(Census {
            reported: books.reports.last_key_value().map_or(Position::START, |(at, _)| *at),
            pending: books.places.iter().map(|(job, (pool, _))| place(job, pool)).collect(),
            leases: books.leases.iter().map(lease).collect(),
            present: books.workers.iter().filter(|(_, w)| w.present(now)).map(|(id, _)| id.clone()).collect(),
            announcing: false,
        })
    }
}

#[async_trait]
impl Jobs for MemoryQueue {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        loop {
            let offer = self.published.notified();
            let jobs = self.books().claim(claim);
            if !jobs.is_empty() || claim.slots == 0 {
                return Ok(jobs);
            }
            offer.await;
        }
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        {
            let mut books = self.books();
            let full = books.reports.len() >= self.limits.reports;
            let held = books.leases.get(&report.job).filter(|held| held.worker == report.worker);
            let Some(pool) = held.map(|held| Arc::from(held.job.pool.as_str())) else { return Ok(()) };
            if full {
                return Err(QueueError::Full("reports that are not settled"));
            }
            if matches!(report.news, News::Ended(_)) {
                books.end(&report.job);
            }
            books.reported.0 += 1;
            let position = books.reported;
            books.reports.insert(position, (pool, report));
        }
        self.reported.notify_waiters();
        Ok(())
    }

    async fn beat(&self, worker: &str, holding: &[JobId], now: Timestamp) -> Result<Orders, QueueError> {
        let mut books = self.books();
        if !books.workers.contains_key(worker) && books.workers.len() >= self.limits.workers {
            return Err(QueueError::Full("workers"));
        }
        let known = books.workers.entry(worker.to_owned()).or_default();
        known.beat = Some(now);
        known.called = false;
        let retired = known.retired;
        let (held, abandoned): (Vec<&JobId>, Vec<&JobId>) = holding.iter().partition(|j| known.holds(j));
        let cancel = held.into_iter().filter(|j| books.leases.get(*j).is_some_and(|h| h.cancel && !h.ended));
        Ok(Orders {
            cancel: cancel.cloned().collect(),
            abandoned: abandoned.into_iter().cloned().collect(),
            retired,
            // What was told is lost with this process alone.
            unsettled: 0,
        })
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.books().give_back(worker, holding);
        self.published.notify_waiters();
        Ok(())
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        loop {
            let order = self.ordered.notified();
            if self.books().workers.get(worker).is_some_and(|w| w.called) {
                return Ok(());
            }
            order.await;
        }
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        let mut books = self.books();
        if let Some(known) = books.workers.get_mut(worker) {
            known.beat = None;
            if !known.holds_some() {
                books.workers.remove(worker);
            }
        }
        Ok(())
    }
}

impl Books {
    fn holds(&self, job: &JobId) -> bool {
        self.places.contains_key(job) || self.leases.contains_key(job)
    }

    /// Is it here, pending or leased, and of this pool?
    fn has(&self, placed: &Placed) -> bool {
        let pending = self.places.get(&placed.job).map(|(pool, _)| pool);
        let pool = pending.or_else(|| self.leases.get(&placed.job).map(|held| &held.job.pool));
        pool.is_some_and(|pool| **pool == *placed.pool)
    }

    fn offer(&mut self, job: &Job) {
        // The same job may stand twice in one call.
        if !self.holds(&job.id) {
            self.places.insert(job.id.clone(), (job.pool.clone(), job.rank));
            self.pending.entry(job.pool.clone()).or_default().insert((job.rank, job.id.clone()), job.clone());
        }
    }

    fn withdraw(&mut self, job: &JobId) -> Option<Job> {
        let (pool, rank) = self.places.remove(job)?;
        let line = self.pending.get_mut(&pool)?;
        let job = line.remove(&(rank, job.clone()));
        if line.is_empty() {
            self.pending.remove(&pool);
        }
        job
    }

    fn claim(&mut self, claim: &Claim) -> Vec<Job> {
        let mut jobs = self.lost_answers(claim);
        if let Some(known) = self.workers.get_mut(&claim.worker) {
            known.pools = Some(claim.pools.clone());
            if known.retired {
                return jobs;
            }
        }
        while jobs.len() < claim.slots {
            let Some(id) = self.head(&claim.pools) else { break };
            let Some(job) = self.withdraw(&id) else { break };
            let held = Held { worker: claim.worker.clone(), job: job.clone(), cancel: false, ended: false };
            self.workers.entry(claim.worker.clone()).or_default().open.insert(id.clone());
            self.leases.insert(id, held);
            jobs.push(job);
        }
        jobs
    }

    /// What the worker holds, without knowing it.
    fn lost_answers(&self, claim: &Claim) -> Vec<Job> {
        let open = self.workers.get(&claim.worker).into_iter().flat_map(|w| &w.open);
        let holding: BTreeSet<&JobId> = claim.holding.iter().collect();
        let unknown = open.filter(|j| !holding.contains(j)).filter_map(|j| self.leases.get(j));
        let mut jobs: Vec<Job> = unknown.map(|h| h.job.clone()).collect();
        jobs.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        jobs.truncate(claim.slots);
        jobs
    }

    fn give_back(&mut self, worker: &str, holding: &[JobId]) {
        let Some(known) = self.workers.get_mut(worker) else { return };
        let unknown: Vec<JobId> = known.open.iter().filter(|job| !holding.contains(job)).cloned().collect();
        known.open.retain(|job| holding.contains(job));
        for held in unknown.iter().filter_map(|job| self.leases.remove(job)).collect::<Vec<_>>() {
            self.offer(&held.job);
        }
    }

    fn head(&self, pools: &Pools) -> Option<JobId> {
        let first = match pools {
            Pools::One(pool) => self.pending.get(pool).and_then(|line| line.keys().next()),
            Pools::Every => self.pending.values().filter_map(|line| line.keys().next()).min(),
        };
        first.map(|(_, id)| id.clone())
    }

    fn forget(&mut self, job: &JobId) {
        self.withdraw(job);
        let Some(held) = self.leases.remove(job) else { return };
        if let Some(known) = self.workers.get_mut(&held.worker) {
            known.open.remove(job);
            known.ended.remove(job);
            if !known.holds_some() && known.beat.is_none() {
                self.workers.remove(&held.worker);
            }
        }
        if !held.ended {
            self.call(&held.worker);
        }
    }

    fn end(&mut self, job: &JobId) {
        let Some(held) = self.leases.get_mut(job) else { return };
        held.ended = true;
        if let Some(known) = self.workers.get_mut(&held.worker) {
            known.open.remove(job);
            known.ended.insert(job.clone());
        }
    }

    fn call(&mut self, worker: &str) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.called = true;
        }
    }

    fn reports_after(&self, after: Position, max: usize) -> Vec<Told> {
        let Some(first) = after.0.checked_add(1) else { return Vec::new() };
        let told = |(at, (pool, report)): (&Position, &(Arc<str>, Report))| Told {
            at: *at,
            pool: pool.clone(),
            report: report.clone(),
        };
        self.reports.range(Position(first)..).take(max).map(told).collect()
    }
}

impl Known {
    fn holds(&self, job: &JobId) -> bool {
        self.open.contains(job) || self.ended.contains(job)
    }

    fn holds_some(&self) -> bool {
        !self.open.is_empty() || !self.ended.is_empty()
    }

    fn present(&self, now: Timestamp) -> bool {
        self.beat.is_some_and(|beat| between(beat, now) <= PRESENCE_TTL)
    }
}
