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

use super::world::{Shared, lock};

/// Of a run: what was committed last.
pub struct Seen {
    pub status: RunStatus,
    pub paused_at: Option<Timestamp>,
    pub stopped: bool,
    pub tasks: BTreeMap<TaskKey, (TaskStatus, u32)>,
}

impl Seen {
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
    pub fn follow(&self, batch: &Batch) {
        let mut rows = self.rows();
        for (id, changes) in &batch.runs {
            if let Some(change) = &changes.run {
                let (status, paused_at) = (change.row.status, change.row.paused_at);
                let stopped = change.row.stop.is_some();
                let new = Seen { status, paused_at, stopped, tasks: BTreeMap::new() };
                let seen = rows.entry(id.clone()).or_insert(new);
                (seen.status, seen.paused_at, seen.stopped) = (status, paused_at, stopped);
            }
            if let Some(seen) = rows.get_mut(id) {
                let now =
                    changes.tasks.iter().map(|(key, change)| (*key, (change.row.status, change.row.attempt)));
                seen.tasks.extend(now);
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

    /// A conductor of these epochs published jobs, and the queue took them: each must be committed as QUEUED with this
    /// attempt, in a run that is not paused. Only what a deposed conductor says before its successor has spoken there may
    /// be otherwise: it is healed.
    pub fn published(&self, name: &str, content: u64, epochs: &Epochs, jobs: &[Job]) {
        let newest = self.newest_epochs();
        for job in jobs {
            let (id, run) = (&job.id, &job.id.task_run.run);
            let own = epochs.get(&ShardId::of_pool(&job.pool)).copied().unwrap_or(0);
            let (heard, own) = self.hear(content, &job.pool, own);
            if heard == own && newest.get(&ShardId::of_pool(&job.pool)) > Some(&own) {
                self.handed().echo(std::slice::from_ref(job));
                continue;
            }
            let rows = self.rows();
            let seen = rows.get(run);
            let now = seen.and_then(|seen| seen.tasks.get(&id.task_run.key)).copied();
            if now != Some((TaskStatus::Queued, id.attempt)) {
                self.trace.wrong(format!("{name} publishes {id}, and the store says {now:?}"));
            }
            if seen.is_some_and(|seen| seen.paused_at.is_some()) {
                self.trace.wrong(format!("{name} publishes {id}, and its run is paused"));
            }
            let mut newest = lock(&self.newest);
            let attempt = newest.entry(id.task_run.clone()).or_default();
            *attempt = (*attempt).max(id.attempt);
        }
    }
}
