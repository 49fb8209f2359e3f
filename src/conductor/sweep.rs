//! The look round: what the store says is in the queue, and the queue does not hold, is put right.
//!
//! Level, not edge: a lost publish, a lost cancel, a dead worker, a queue that was emptied all look the same here.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::conductor::{Conductor, cycle::Input, live::live_jobs};
use crate::engine::Effect;
use crate::model::{ids::RunId, job::JobId, status::TaskStatus, time::later};
use crate::queue::{Census, Position};

/// When the next look is due, and the one that waits for reports to be read.
pub(super) struct Sweep {
    pub(super) due: Timestamp,
    pub(super) renew_due: Timestamp,
    /// After an error the queue is left alone for a moment.
    pub(super) queue_rests_until: Option<Timestamp>,
    failures: u32,
    /// The end of the reports when the census was taken, and the jobs that were not where they should be.
    pub(super) open: Option<(Position, Vec<Suspect>)>,
}

/// A job that the census did not find in order. It is judged only after the reports of that moment are read.
pub(super) enum Suspect {
    /// Nobody holds it.
    Missing(JobId),
    /// Its worker is silent.
    Silent(JobId),
}

impl Sweep {
    pub(super) fn new(now: Timestamp) -> Sweep {
        Sweep { due: now, renew_due: now, queue_rests_until: None, failures: 0, open: None }
    }
}

impl Conductor {
    /// The queue failed: leave it alone for a moment, then look round.
    pub(super) fn queue_failed(&mut self) {
        self.sweep.failures = (self.sweep.failures + 1).min(8);
        let wait = Duration::from_millis(20 << self.sweep.failures);
        let until = later(self.clock.now(), wait);
        self.sweep.queue_rests_until = Some(until);
        self.sweep.due = self.sweep.due.min(until);
    }

    /// Which live jobs are not where they should be?
    pub(super) fn suspects(&mut self, census: &Census) -> Vec<Suspect> {
        self.sweep.failures = 0;
        self.sweep.queue_rests_until = None;
        let present: BTreeSet<&str> = census.present.iter().map(String::as_str).collect();
        let mut held: BTreeSet<&JobId> = census.pending.iter().collect();
        let mut silent: BTreeSet<&JobId> = BTreeSet::new();
        for lease in &census.leases {
            match present.contains(lease.worker.as_str()) {
                true => held.insert(&lease.job),
                false => silent.insert(&lease.job),
            };
        }
        let mut suspects = Vec::new();
        for (job, _) in self.runs.values().flat_map(live_jobs) {
            if silent.contains(&job) {
                suspects.push(Suspect::Silent(job));
            } else if !held.contains(&job) {
                suspects.push(Suspect::Missing(job));
            }
        }
        suspects
    }

    /// Judges the suspects once every report of that moment is read, and says again what the queue should do.
    pub(super) fn end_sweep(&mut self) {
        let read_all = self.sweep.open.as_ref().is_some_and(|(reported, _)| self.outbox.read >= *reported);
        if !read_all {
            return;
        }
        let Some((_, suspects)) = self.sweep.open.take() else { return };
        for suspect in suspects {
            let (Suspect::Missing(job) | Suspect::Silent(job)) = &suspect;
            let run = self.runs.get(&job.task_run.run);
            let row = run.and_then(|r| r.task_run(job.task_run.key)).filter(|r| r.attempt == job.attempt);
            let Some(status) = row.map(|r| r.status) else { continue };
            match (suspect, status) {
                (Suspect::Missing(job), TaskStatus::Queued) => {
                    let key = job.task_run.key;
                    self.note_effect(&job.task_run.run, Effect::Publish(key));
                }
                (Suspect::Missing(job) | Suspect::Silent(job), TaskStatus::Queued | TaskStatus::Running) => {
                    tracing::warn!(job = %job, "The worker of a job is gone");
                    self.todo.push(Input::Lost(job));
                }
                _ => {}
            }
        }
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        for id in ids {
            let effects = self.runs.get(&id).map(|r| r.to_stop()).unwrap_or_default();
            effects.into_iter().for_each(|effect| self.note_effect(&id, effect));
        }
    }
}
