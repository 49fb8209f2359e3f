//! The books of one pool as the scripts of src/queue/redis/scripts keep them: each verb is one script, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use relay::{
    model::{
        job::{Job, JobId, News, Report},
        time::later,
    },
    queue::{Go, Orders, PRESENCE_TTL, Removal},
};

/// What books are called: the incarnation, and when they were opened in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub incarnation: u64,
    pub opened: u64,
}

/// What a script of the conductor's side comes with.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub books: Name,
    pub epoch: i64,
    /// Taken away by a mutation: is the incarnation looked at?
    pub fenced: bool,
}

/// Why a script was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// A newer leader spoke here.
    Deposed(i64),
    /// The books are of another life, or of none.
    Stale,
}

/// What a claim finds.
pub enum Claimed {
    Jobs { settled: u64, jobs: Vec<Job> },
    Unknown,
}

/// What a beat is answered.
pub struct Beaten {
    pub books: Name,
    pub settled: u64,
    pub orders: Orders,
}

/// What became of a report.
pub enum Heard {
    Entry(u64),
    Dropped,
}

/// The keys of one pool.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub name: Option<Name>,
    pub epoch: i64,
    pending: BTreeSet<(i64, JobId)>,
    bodies: BTreeMap<JobId, Job>,
    pub leases: BTreeMap<JobId, String>,
    ended: BTreeSet<JobId>,
    cancelled: BTreeSet<JobId>,
    go: BTreeMap<JobId, String>,
    /// Until when each worker is present.
    beats: BTreeMap<String, Timestamp>,
    called: BTreeSet<String>,
    results: BTreeMap<u64, Report>,
    settled: u64,
}

impl Books {
    /// A leader speaks: an older one than was heard is refused, a newer one remembered.
    pub fn hear(&mut self, epoch: i64) -> Result<(), No> {
        if self.epoch > epoch {
            return Err(No::Deposed(self.epoch));
        }
        self.epoch = epoch;
        Ok(())
    }

    /// A step of the conductor's side.
    pub fn admit(&mut self, standing: Standing) -> Result<(), No> {
        self.hear(standing.epoch)?;
        let same = self.name == Some(standing.books);
        if same || (!standing.fenced && self.name.is_some()) { Ok(()) } else { Err(No::Stale) }
    }

    /// `open`: brings the pool into an incarnation, or tells the newer one in which it is already.
    pub fn open(&mut self, incarnation: u64, epoch: i64, opened: u64) -> Result<Name, No> {
        self.hear(epoch)?;
        if let Some(mine) = self.name.filter(|mine| mine.incarnation >= incarnation) {
            return Ok(mine);
        }
        // Reports stay.
        let (results, epoch) = (std::mem::take(&mut self.results), self.epoch);
        let name = Name { incarnation, opened };
        *self = Books { name: Some(name), epoch, results, ..Books::default() };
        Ok(name)
    }

    /// `shut`: nobody works in the books of an older incarnation until their leader opens them.
    pub fn shut(&mut self, incarnation: u64) {
        self.name = self.name.filter(|mine| mine.incarnation >= incarnation);
    }

    fn knows(&self, job: &JobId) -> bool {
        self.leases.contains_key(job) || self.is_pending(job)
    }

    fn is_pending(&self, job: &JobId) -> bool {
        self.pending.iter().any(|(_, pending)| pending == job)
    }

    fn withdraw(&mut self, job: &JobId) -> bool {
        let rank = self.pending.iter().find(|(_, pending)| pending == job).map(|(rank, _)| *rank);
        rank.is_some_and(|rank| self.pending.remove(&(rank, job.clone())))
    }

    /// Those that were new to the books.
    pub fn publish(&mut self, jobs: &[Job]) -> Vec<Job> {
        let mut taken = Vec::new();
        for job in jobs {
            if !self.knows(&job.id) {
                self.bodies.insert(job.id.clone(), job.clone());
                self.pending.insert((job.rank, job.id.clone()));
                taken.push(job.clone());
            }
        }
        taken
    }

    pub fn remove(&mut self, job: &JobId) -> Removal {
        if self.withdraw(job) {
            self.bodies.remove(job);
            return Removal::Removed;
        }
        if self.leases.contains_key(job) { Removal::Claimed } else { Removal::Absent }
    }

    pub fn cancel(&mut self, job: &JobId) {
        let Some(worker) = self.leases.get(job).cloned() else { return };
        if !self.ended.contains(job) {
            self.cancelled.insert(job.clone());
            self.called.insert(worker);
        }
    }

    pub fn go(&mut self, begun: &[Go]) {
        for Go { place, worker } in begun {
            if self.leases.get(&place.job) == Some(worker) && !self.ended.contains(&place.job) {
                self.go.insert(place.job.clone(), worker.clone());
                self.called.insert(worker.clone());
            }
        }
    }

    pub fn settle(&mut self, up_to: Option<u64>, ended: &[JobId]) {
        if let Some(up_to) = up_to {
            self.results.retain(|at, _| *at > up_to);
            self.settled = up_to;
        }
        for job in ended {
            self.withdraw(job);
            self.bodies.remove(job);
            let Some(worker) = self.leases.remove(job) else { continue };
            self.cancelled.remove(job);
            self.go.remove(job);
            if !self.ended.remove(job) {
                self.called.insert(worker);
            }
        }
    }

    /// Pending jobs, and who is present.
    pub fn census(&mut self, now: Timestamp) -> (Vec<JobId>, Vec<String>) {
        self.beats.retain(|_, until| *until > now);
        let pending = self.pending.iter().map(|(_, job)| job.clone()).collect();
        (pending, self.beats.keys().cloned().collect())
    }

    pub fn newest(&self) -> u64 {
        self.results.last_key_value().map_or(0, |(at, _)| *at)
    }

    pub fn reports_after(&self, after: u64) -> Vec<(u64, Report)> {
        self.results.range(after + 1..).map(|(at, report)| (*at, report.clone())).collect()
    }

    // The worker's side.

    /// Are these the books that the worker knows? Taken away by a mutation, any will do.
    pub fn are(&self, known: Option<Name>, fenced: bool) -> bool {
        self.name.is_some() && (self.name == known || !fenced)
    }

    fn is_present(&self, worker: &str, now: Timestamp) -> bool {
        self.beats.get(worker).is_some_and(|until| *until > now)
    }

    pub fn claim(&mut self, worker: &str, slots: usize, holding: &[JobId], now: Timestamp) -> Claimed {
        if !self.is_present(worker, now) {
            return Claimed::Unknown;
        }
        let own = self.leases.iter().filter(|(_, holder)| *holder == worker).map(|(job, _)| job);
        let unknown = own.filter(|job| !holding.contains(job) && !self.ended.contains(job));
        let mut jobs: Vec<Job> = unknown.filter_map(|job| self.bodies.get(job)).cloned().collect();
        jobs.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        jobs.truncate(slots);
        while jobs.len() < slots {
            let Some((_, job)) = self.pending.pop_first() else { break };
            // Without its body it is no job: the sweep offers it again.
            let Some(body) = self.bodies.get(&job).cloned() else { continue };
            self.leases.insert(job, worker.to_owned());
            jobs.push(body);
        }
        Claimed::Jobs { settled: self.settled, jobs }
    }

    pub fn report(&mut self, entry: u64, report: &Report) -> Heard {
        if self.leases.get(&report.job) != Some(&report.worker) {
            return Heard::Dropped;
        }
        self.results.insert(entry, report.clone());
        if matches!(report.news, News::Ended(_)) {
            self.ended.insert(report.job.clone());
            self.cancelled.remove(&report.job);
        }
        Heard::Entry(entry)
    }

    /// None: the books are lost. `kept`: ends that were told and are not settled, as far as the worker knows.
    pub fn beat(
        &mut self,
        (worker, known, answered): (&str, Option<Name>, bool),
        holding: &[JobId],
        kept: &[JobId],
        now: Timestamp,
    ) -> Option<Beaten> {
        let current = self.name?;
        self.beats.insert(worker.to_owned(), later(now, PRESENCE_TTL));
        if answered {
            self.called.remove(worker);
        }
        if known.is_some_and(|known| known != current) {
            self.announce(worker, holding, kept);
        }
        let mut orders = Orders::default();
        for job in holding {
            if self.leases.get(job).is_none_or(|holder| holder != worker) {
                orders.abandoned.push(job.clone());
            } else if self.cancelled.contains(job) {
                orders.cancel.push(job.clone());
            } else if self.go.get(job).is_some_and(|holder| holder == worker) {
                orders.go.push(job.clone());
            }
        }
        Some(Beaten { books: current, settled: self.settled, orders })
    }

    /// In books that do not know the worker its word is taken for them.
    fn announce(&mut self, worker: &str, holding: &[JobId], kept: &[JobId]) {
        for (number, job) in holding.iter().chain(kept).enumerate() {
            let ended = number >= holding.len();
            match self.leases.get(job).cloned() {
                None => {
                    self.withdraw(job);
                    self.leases.insert(job.clone(), worker.to_owned());
                }
                Some(holder) if ended && holder != worker && !self.ended.contains(job) => {
                    self.leases.insert(job.clone(), worker.to_owned());
                    self.called.insert(holder);
                }
                Some(_) => {}
            }
        }
    }

    pub fn is_called(&self, worker: &str) -> bool {
        self.called.contains(worker)
    }

    /// Is there anything to claim?
    pub fn rings(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn give_back(&mut self, worker: &str, holding: &[JobId]) {
        let own = self.leases.iter().filter(|(_, holder)| *holder == worker).map(|(job, _)| job);
        let unknown = own.filter(|job| !holding.contains(job) && !self.ended.contains(job));
        for job in unknown.cloned().collect::<Vec<_>>() {
            self.leases.remove(&job);
            self.cancelled.remove(&job);
            let rank = self.bodies.get(&job).map_or(0, |body| body.rank);
            self.pending.insert((rank, job));
        }
    }

    pub fn leave(&mut self, worker: &str) {
        self.beats.remove(worker);
        self.called.remove(worker);
    }
}
