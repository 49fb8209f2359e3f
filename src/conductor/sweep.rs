//! The look round: what the store says is in the queue, and the queue does not hold, is put right.
//!
//! Level, not edge: a lost publish, a lost cancel, a dead worker, a queue that was emptied all look the same here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::conductor::{
    Conductor,
    cycle::Input,
    live::{is_pool_of, live_jobs},
};
use crate::model::{
    ids::RunId,
    job::JobId,
    status::TaskStatus,
    time::{backoff, later},
};
use crate::queue::{Census, Placed, Position};

/// Runs that are not live here and whose jobs are in the queue: the store is asked for so many in one sweep.
const STRANGERS_MAX: usize = 100;
/// An outage of the queue this long may have kept workers from beating.
const OUTAGE: Duration = Duration::from_secs(5);

/// For so long the queue is left alone after a first failure, ...
const QUEUE_FIRST_WAIT: Duration = Duration::from_millis(40);
/// ... and at most for so long.
const QUEUE_LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often is looked while workers tell what they hold.
const ANNOUNCING_LOOK: Duration = Duration::from_millis(500);

/// When the next look is due, and the one that waits for reports to be read.
pub(super) struct Sweep {
    pub(super) due: Timestamp,
    /// After an error the queue is left alone until the next look, which is soon.
    pub(super) queue_rests: bool,
    failures: u32,
    /// A look was made since the last failure, so what is said next is all that there is to say.
    swept: bool,
    /// Since when the queue does not answer, by how long the clock had run.
    down_since: Option<Duration>,
    /// Since when the queue could take beats, by the same: only from then on does a worker's silence count. Time that steps,
    /// with the machine's clock or with what another one committed, would make silence of a moment.
    beats_since: Duration,
    /// The newest report when the census was taken, and the jobs that were not where they should be.
    open: Option<(Position, Vec<Suspect>)>,
    /// The life of the queue's books when they were last looked at.
    life: String,
}

/// A job that the census did not find in order. It is judged only after the reports of that moment are read.
pub(super) enum Suspect {
    /// Nobody holds it, and nobody has begun it.
    Missing(Placed),
    /// Its worker is silent, or cannot be told from the books.
    Silent(Placed),
    /// The queue holds it, and its attempt is over, or runs in another pool.
    Stray(Placed),
}

impl Sweep {
    /// Looks again at once; what was seen before counts no longer.
    pub(super) fn begin_anew(&mut self, now: Timestamp) {
        self.open = None;
        self.due = now;
    }

    pub(super) fn new(now: Timestamp, running: Duration) -> Sweep {
        Sweep {
            due: now,
            queue_rests: false,
            failures: 0,
            swept: false,
            down_since: None,
            beats_since: running,
            open: None,
            life: String::new(),
        }
    }
}

impl Conductor {
    /// The queue failed: leave it alone for a moment, then look round.
    pub(super) fn queue_failed(&mut self) {
        self.sweep.failures = self.sweep.failures.saturating_add(1);
        let wait = backoff(&self.holder, self.sweep.failures, QUEUE_FIRST_WAIT, QUEUE_LONGEST_WAIT);
        let now = self.clock.now();
        let until = later(now, wait);
        self.sweep.swept = false;
        self.sweep.down_since.get_or_insert(self.clock.running());
        self.sweep.queue_rests = true;
        self.sweep.due = self.sweep.due.min(until);
    }

    /// Everything was said to the queue. Only after a look is that more than nothing.
    pub(super) fn queue_took_all(&mut self) {
        if self.sweep.swept {
            self.sweep.failures = 0;
        }
    }

    /// Notes which jobs are not where they should be.
    pub(super) async fn begin_sweep(&mut self, census: Census) {
        let now = self.clock.now();
        self.sweep.queue_rests = false;
        let running = self.clock.running();
        if self.sweep.down_since.take().is_some_and(|since| running.saturating_sub(since) >= OUTAGE) {
            self.sweep.beats_since = running;
        }
        if census.announcing {
            // What is missing then goes out as soon as everybody has told.
            self.sweep.due = self.sweep.due.min(later(now, ANNOUNCING_LOOK));
        }
        if census.life != self.sweep.life {
            self.sweep.life.clone_from(&census.life);
            self.outbox.begin_life();
            // No worker has beaten in these books before. What a row says is RUNNING has a worker, which the books may not know
            // yet: it has the time of any silence to tell them.
            self.sweep.beats_since = running;
        }
        // Whoever is silent then is judged then, and not at some look after that.
        let wait = self.silence_counts_in();
        if !wait.is_zero() {
            self.sweep.due = self.sweep.due.min(later(now, wait));
        }
        let mut suspects = self.suspects(&census);
        suspects.extend(self.strays(&census).await);
        self.sweep.open = Some((census.reported, suspects));
    }

    /// After how long the silence of a worker counts; nothing when it does.
    fn silence_counts_in(&self) -> Duration {
        // A conductor that stood still may have stood still together with its workers and the queue.
        let heard_since = self.sweep.beats_since.max(self.tenure.awake_since());
        self.limits.silence.saturating_sub(self.clock.running().saturating_sub(heard_since))
    }

    fn suspects(&self, census: &Census) -> Vec<Suspect> {
        let silence_counts = self.silence_counts_in().is_zero();
        let mut held: BTreeSet<&Placed> = census.pending.iter().collect();
        let mut silent: BTreeSet<&Placed> = BTreeSet::new();
        for lease in &census.leases {
            match lease.present || !silence_counts {
                true => held.insert(&lease.place),
                false => silent.insert(&lease.place),
            };
        }
        let mut suspects = Vec::new();
        // Each is looked for in its own pool: what another pool's books say of it means nothing.
        for placed in self.runs.values().flat_map(live_jobs) {
            if silent.contains(&placed) {
                suspects.push(Suspect::Silent(placed));
            } else if held.contains(&placed) || census.announcing {
                // It is where it should be, or may be.
            } else if self.outbox.is_to_offer(&placed.job) {
                // It is not there yet.
            } else if !self.runs_now(&placed) {
                suspects.push(Suspect::Missing(placed));
            } else if silence_counts {
                // That the books do not show who runs it is silence as well: whoever does may not have been able to tell them
                // yet, because the queue was away, or nobody led, while workers told what they hold.
                suspects.push(Suspect::Silent(placed));
            }
        }
        suspects
    }

    /// Has a worker begun it?
    pub(super) fn runs_now(&self, placed: &Placed) -> bool {
        let JobId { task_run, attempt } = &placed.job;
        let row = self.runs.get(&task_run.run).and_then(|run| run.task_run(task_run.key));
        row.is_some_and(|row| row.status == TaskStatus::Running && row.attempt == *attempt)
    }

    /// What the queue holds of attempts that are over: a settle got lost, or a conductor died before it.
    async fn strays(&self, census: &Census) -> Vec<Suspect> {
        let held = census.pending.iter().chain(census.leases.iter().map(|lease| &lease.place));
        let over: Vec<&Placed> = held.filter(|placed| !self.is_live(placed)).collect();
        let mut strangers: BTreeMap<&RunId, bool> = BTreeMap::new();
        for run in over.iter().map(|placed| &placed.job.task_run.run) {
            if !self.runs.contains_key(run) && !strangers.contains_key(run) && strangers.len() < STRANGERS_MAX
            {
                // A store that does not answer is not asked about the others: in doubt a run has not ended.
                let Some(ended) = self.has_ended(run).await else { break };
                strangers.insert(run, ended);
            }
        }
        let stray = |placed: &&Placed| {
            let run = &placed.job.task_run.run;
            self.runs.contains_key(run) || strangers.get(run).copied().unwrap_or(false)
        };
        over.into_iter().filter(stray).map(|placed| Suspect::Stray(placed.clone())).collect()
    }

    /// Is it a run of ours that is final? None when the store does not say.
    async fn has_ended(&self, run: &RunId) -> Option<bool> {
        match self.store.run_row(run).await {
            Ok(row) => {
                Some(row.is_some_and(|row| row.status.is_final() && self.fences.contains_key(&row.shard())))
            }
            Err(e) => {
                tracing::warn!(run.id = %run, error = %e, "Whose job is in the queue cannot be said yet");
                None
            }
        }
    }

    /// Is it the newest attempt of a task run that waits for a worker or has one, in the pool where it belongs?
    fn is_live(&self, placed: &Placed) -> bool {
        let (task_run, attempt) = (&placed.job.task_run, placed.job.attempt);
        let Some(run) = self.runs.get(&task_run.run) else { return false };
        run.task_run(task_run.key).is_some_and(|row| {
            row.attempt == attempt
                && matches!(row.status, TaskStatus::Queued | TaskStatus::Running)
                && is_pool_of(run, row.key.task, &placed.pool)
        })
    }

    /// Judges the suspects once every report of that moment is read, and says again what the queue should do.
    pub(super) fn end_sweep(&mut self) {
        let read_all = self.sweep.open.as_ref().is_some_and(|(reported, _)| self.outbox.read >= *reported);
        if !read_all {
            return;
        }
        let Some((_, suspects)) = self.sweep.open.take() else { return };
        self.sweep.swept = true;
        for suspect in suspects {
            self.judge(suspect);
        }
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        for id in ids {
            let effects = self.runs.get(&id).map(|r| r.to_stop()).unwrap_or_default();
            effects.into_iter().for_each(|effect| self.note_effect(&id, effect));
        }
    }

    fn judge(&mut self, suspect: Suspect) {
        let (Suspect::Missing(placed) | Suspect::Silent(placed) | Suspect::Stray(placed)) = &suspect;
        let live = self.is_live(placed);
        let task_run = &placed.job.task_run;
        let row = self.runs.get(&task_run.run).and_then(|run| run.task_run(task_run.key));
        let queued = row.is_some_and(|row| row.status == TaskStatus::Queued);
        match suspect {
            Suspect::Missing(placed) if live && queued => {
                let (run, key) = (&placed.job.task_run.run, placed.job.task_run.key);
                // Offered in these very books, and not in them: it never got there. Otherwise a worker may have had it that
                // cannot tell any more, or runs it even now, so the next try is another attempt.
                match self.outbox.sent_in_this_life(run, key) {
                    true => self.outbox.publish_again(run, key),
                    false => self.todo.push(Input::Forgotten(placed)),
                }
            }
            // What was missing and runs by now was on its way.
            Suspect::Silent(placed) if live => {
                tracing::warn!(job = %placed.job, "The worker of a job is gone");
                self.todo.push(Input::Lost(placed));
            }
            Suspect::Stray(placed) if !live => {
                tracing::debug!(job = %placed.job, pool = %placed.pool, "The queue forgets a job that should not be there");
                self.outbox.ended.push(placed);
            }
            _ => {}
        }
    }
}
