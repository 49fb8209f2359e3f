//! What a queue in memory knows: plain books, whole after each step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::model::{
    job::{Job, JobId, Report},
    time::between,
};
use crate::queue::{Claim, PRESENCE_TTL, Placed, Pools, Position, QueueError, Told};

/// By rank, and by name among those of one rank, so that the order never depends on chance.
type Line = BTreeMap<(i64, JobId), Job>;

/// Everything that a queue knows.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By pool; an empty line is removed.
    pending: BTreeMap<String, Line>,
    /// Where in `pending` a job is: its pool and rank.
    pub(super) places: BTreeMap<JobId, (String, i64)>,
    pub(super) leases: BTreeMap<JobId, Held>,
    pub(super) workers: BTreeMap<String, Known>,
    pub(super) reports: BTreeMap<Position, (Arc<str>, Report)>,
    pub(super) reported: Position,
    /// The newest epoch in which a leader spoke to each pool.
    pub(super) heard: BTreeMap<String, i64>,
}

/// A lease.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) worker: String,
    pub(super) job: Job,
    pub(super) cancel: bool,
    /// Its worker may begin it.
    pub(super) go: bool,
    pub(super) ended: bool,
}

/// A worker.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) beat: Option<Timestamp>,
    /// Leases of jobs whose end it has not reported.
    pub(super) open: BTreeSet<JobId>,
    /// Leases of jobs that wait to be settled.
    pub(super) ended: BTreeSet<JobId>,
    pub(super) called: bool,
    /// Whose jobs it asked for last.
    pub(super) pools: Option<Pools>,
    /// It gets no further jobs.
    pub(super) retired: bool,
}

impl Books {
    /// A leader speaks to a pool: an older one than was heard is refused, a newer one is remembered.
    pub(super) fn hear(&mut self, pool: &str, epoch: i64) -> Result<(), QueueError> {
        match self.heard.get(pool) {
            Some(heard) if *heard > epoch => {
                return Err(QueueError::Deposed { pool: pool.to_owned(), epoch: *heard });
            }
            Some(heard) if *heard == epoch => {}
            _ => drop(self.heard.insert(pool.to_owned(), epoch)),
        }
        Ok(())
    }

    /// Every pool of which anything is known.
    pub(super) fn pools(&self) -> BTreeSet<String> {
        let held = self.leases.values().map(|held| held.job.pool.as_str());
        let told = self.reports.values().map(|(pool, _)| pool.as_ref());
        let known = self.pending.keys().chain(self.heard.keys()).map(String::as_str);
        known.chain(held).chain(told).map(str::to_owned).collect()
    }

    pub(super) fn holds(&self, job: &JobId) -> bool {
        self.places.contains_key(job) || self.leases.contains_key(job)
    }

    /// Is it here, pending or leased, and of this pool?
    pub(super) fn has(&self, placed: &Placed) -> bool {
        let pending = self.places.get(&placed.job).map(|(pool, _)| pool);
        let pool = pending.or_else(|| self.leases.get(&placed.job).map(|held| &held.job.pool));
        pool.is_some_and(|pool| **pool == *placed.pool)
    }

    pub(super) fn offer(&mut self, job: &Job) {
        // The same job may stand twice in one call.
        if !self.holds(&job.id) {
            self.places.insert(job.id.clone(), (job.pool.clone(), job.rank));
            self.pending.entry(job.pool.clone()).or_default().insert((job.rank, job.id.clone()), job.clone());
        }
    }

    pub(super) fn withdraw(&mut self, job: &JobId) -> Option<Job> {
        let (pool, rank) = self.places.remove(job)?;
        let line = self.pending.get_mut(&pool)?;
        let job = line.remove(&(rank, job.clone()));
        if line.is_empty() {
            self.pending.remove(&pool);
        }
        job
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Vec<Job> {
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
            let (worker, (cancel, go, ended)) = (claim.worker.clone(), (false, false, false));
            let held = Held { worker, job: job.clone(), cancel, go, ended };
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

    pub(super) fn give_back(&mut self, worker: &str, holding: &[JobId]) {
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

    pub(super) fn forget(&mut self, job: &JobId) {
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

    pub(super) fn end(&mut self, job: &JobId) {
        let Some(held) = self.leases.get_mut(job) else { return };
        held.ended = true;
        if let Some(known) = self.workers.get_mut(&held.worker) {
            known.open.remove(job);
            known.ended.insert(job.clone());
        }
    }

    pub(super) fn call(&mut self, worker: &str) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.called = true;
        }
    }

    /// Where reports of these pools stand, up to a position.
    pub(super) fn told_up_to(&self, last: Position, of: impl Fn(&str) -> bool) -> Vec<(Position, Arc<str>)> {
        let told = self.reports.range(..=last).filter(|(_, (pool, _))| of(pool));
        told.map(|(at, (pool, _))| (*at, pool.clone())).collect()
    }

    /// Reports after a position, of these pools.
    pub(super) fn reports_after(&self, after: Position, max: usize, of: impl Fn(&str) -> bool) -> Vec<Told> {
        let Some(first) = after.0.checked_add(1) else { return Vec::new() };
        let told = |(at, (pool, report)): (&Position, &(Arc<str>, Report))| Told {
            at: *at,
            pool: pool.clone(),
            report: report.clone(),
        };
        let behind = self.reports.range(Position(first)..);
        behind.filter(|(_, (pool, _))| of(pool)).take(max).map(told).collect()
    }
}

impl Known {
    pub(super) fn holds(&self, job: &JobId) -> bool {
        self.open.contains(job) || self.ended.contains(job)
    }

    pub(super) fn holds_some(&self) -> bool {
        !self.open.is_empty() || !self.ended.is_empty()
    }

    pub(super) fn present(&self, now: Timestamp) -> bool {
        self.beat.is_some_and(|beat| between(beat, now) <= PRESENCE_TTL)
    }
}
