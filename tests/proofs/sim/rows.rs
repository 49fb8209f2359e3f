//! What was committed last, what is counted, and what may be published by that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay::{
    model::{
        change::Batch,
        ids::{ShardId, TaskKey},
        job::Job,
        status::{RunStatus, TaskStatus},
    },
    queue::{Census, Epochs},
};

use super::{
    life::{Commit, Life},
    world::{Shared, lock},
};

/// Of a run: what was committed last.
pub struct Seen {
    pub status: RunStatus,
    pub paused_at: Option<Timestamp>,
    /// The commit that paused it.
    pub paused_in: Option<Commit>,
    pub stopped: bool,
    pub tasks: BTreeMap<TaskKey, (TaskStatus, u32)>,
    /// The attempts that were QUEUED last and are so no longer, and the commits that say so.
    taken: BTreeMap<TaskKey, (u32, Commit)>,
}

impl Seen {
    fn new(status: RunStatus) -> Seen {
        let (tasks, taken) = Default::default();
        Seen { status, paused_at: None, paused_in: None, stopped: false, tasks, taken }
    }

    /// May a conductor whose last commit is this one say that the attempt is QUEUED, and has it not been paused before? `excused`:
    /// several commits were its last.
    fn may_be_offered(&self, key: TaskKey, attempt: u32, last: Commit, excused: bool) -> Result<(), String> {
        let is_last = |commit: Commit| excused || commit == last;
        let now = self.tasks.get(&key).copied();
        let taken = self.taken.get(&key).is_some_and(|(was, by)| *was == attempt && is_last(*by));
        if now != Some((TaskStatus::Queued, attempt)) && !taken {
            return Err(format!("the store says {now:?}"));
        }
        match self.paused_in.is_some_and(|commit| !is_last(commit)) {
            true => Err("its run is paused".to_owned()),
            false => Ok(()),
        }
    }

    pub fn waits_for_approval(&self) -> bool {
        self.tasks.values().any(|(status, _)| *status == TaskStatus::Blocked)
    }
}

/// What went wrong, and where.
pub struct What(pub &'static str, pub &'static str);

impl From<&'static str> for What {
    fn from(what: &'static str) -> What {
        What(what, "")
    }
}

impl From<(&'static str, &'static str)> for What {
    fn from((what, place): (&'static str, &'static str)) -> What {
        What(what, place)
    }
}

/// How often each thing went wrong: what, and where.
pub type Counts = BTreeMap<(&'static str, &'static str), u64>;

impl Shared {
    /// Notes what a batch wrote.
    pub fn follow(&self, commit: Commit, batch: &Batch) {
        let mut rows = self.rows();
        for (id, changes) in &batch.runs {
            if let Some(change) = &changes.run {
                let (status, paused_at) = (change.row.status, change.row.paused_at);
                let stopped = change.row.stop.is_some();
                let seen = rows.entry(id.clone()).or_insert_with(|| Seen::new(status));
                (seen.status, seen.paused_at, seen.stopped) = (status, paused_at, stopped);
                seen.paused_in = paused_at.map(|_| seen.paused_in.unwrap_or(commit));
            }
            for (key, change) in &changes.tasks {
                let Some(seen) = rows.get_mut(id) else { continue };
                let (status, attempt) = (change.row.status, change.row.attempt);
                let now = (status, attempt);
                let before = seen.tasks.insert(*key, now).filter(|before| *before != now);
                if let Some((TaskStatus::Queued, was)) = before {
                    seen.taken.insert(*key, (was, commit));
                }
            }
        }
    }

    /// A conductor of these epochs has looked through the queue's content: the pools in it have heard of it.
    pub fn looked(&self, content: u64, epochs: &Epochs, census: &Census) {
        let leased = census.leases.iter().map(|lease| &lease.place);
        for placed in census.pending.iter().chain(leased) {
            self.hear(
                content,
                &placed.pool,
                epochs.get(&ShardId::of_pool(&placed.pool)).copied().unwrap_or(0),
            );
        }
    }

    /// The newest epoch that a pool has heard, and that of a conductor who speaks to it now.
    pub fn hear(&self, content: u64, pool: &str, own: i64) -> (i64, i64) {
        let mut heard = lock(&self.heard);
        let newest = heard.entry((content, pool.to_owned())).or_default();
        *newest = (*newest).max(own);
        (*newest, own)
    }

    /// The queue took jobs from a conductor of these epochs: before its last commit each was committed as QUEUED with this
    /// attempt, in a run that was not paused. (Words are said beside one commit, and no longer.) Only what a deposed conductor
    /// says before its successor has spoken there may be otherwise: it is healed.
    pub fn published(&self, life: &Life, content: u64, epochs: &Epochs, jobs: &[Job]) {
        // A refused batch becomes several commits, all of one turn.
        let excused = self.any_poisoned();
        let newest = self.newest_epochs();
        for job in jobs {
            let (id, run) = (&job.id, &job.id.task_run.run);
            let own = epochs.get(&ShardId::of_pool(&job.pool)).copied().unwrap_or(0);
            let (heard, own) = self.hear(content, &job.pool, own);
            if heard == own && newest.get(&ShardId::of_pool(&job.pool)) > Some(&own) {
                self.handed().echo(std::slice::from_ref(job));
                continue;
            }
            let offered =
                self.rows().get(run).ok_or_else(|| "the store does not have its run".to_owned()).and_then(
                    |seen| seen.may_be_offered(id.task_run.key, id.attempt, life.last_commit(), excused),
                );
            if let Err(why) = offered {
                self.trace.wrong(format!("{} publishes {id}, and {why}", life.name));
            }
            let mut newest = lock(&self.newest);
            let attempt = newest.entry(id.task_run.clone()).or_default();
            *attempt = (*attempt).max(id.attempt);
        }
    }
}
