//! After the commit: jobs out, jobs back, reports acknowledged, views told.

use std::collections::{BTreeMap, BTreeSet};

use crate::conductor::{Conductor, cycle::Input, live::pool_of, voice::Words};
use crate::engine::{Effect, Run};
use crate::feed::events_of;
use crate::model::{
    change::{Batch, Changes},
    ids::{RunId, TaskKey, TaskRunId},
    job::{Job, JobId},
    status::TaskStatus,
};
use crate::queue::{Go, Placed, Position, QueueError, Removal};

/// Jobs taken back in one turn, a call each: a turn must be short, for nothing is committed meanwhile.
const TAKE_BACK_MAX: usize = 100;

/// What is to be said to the queue, and what is known of it.
#[derive(Default)]
pub(super) struct Outbox {
    publish: BTreeSet<(RunId, TaskKey)>,
    remove: BTreeSet<JobId>,
    /// Attempts whose workers wait to hear that their start is committed.
    go: BTreeSet<JobId>,
    /// QUEUED task runs whose job went out once, from here: if the queue gives it back, nobody has seen it. Another may
    /// have been claimed before the queue lost its books and got it again.
    once: BTreeSet<(RunId, TaskKey)>,
    /// QUEUED task runs whose job was offered from here, and how many lives of the queue's books were seen by then: those
    /// that it came into are no older. As bounded as what is QUEUED.
    sent: BTreeMap<(RunId, TaskKey), u64>,
    /// How many lives of those books were seen.
    lives: u64,
    /// Reports up to here are committed or refused.
    pub(super) read: Position,
    settled: Position,
    /// Jobs whose leases may end.
    pub(super) ended: Vec<Placed>,
    queued: BTreeMap<String, BTreeSet<(RunId, TaskKey)>>,
    running: BTreeMap<String, BTreeSet<(RunId, TaskKey)>>,
}

impl Outbox {
    /// Task runs of a pool that are QUEUED: derived from rows as they change.
    pub(super) fn in_queue(&self, pool: &str) -> usize {
        self.queued.get(pool).map_or(0, BTreeSet::len)
    }

    /// Is there more to be said than one turn said?
    pub(super) fn has_more(&self) -> bool {
        !self.remove.is_empty()
    }

    /// Is there something to be said that depends on how a run stands?
    pub(super) fn acts(&self) -> bool {
        !self.go.is_empty() || !self.remove.is_empty()
    }

    /// Reports up to here are forgotten.
    pub(super) fn settled(&mut self, read: Position) {
        self.settled = read;
    }

    /// Follows the rows of a plan.
    pub(super) fn follow(&mut self, run: &Run, changes: &Changes) {
        for (key, change) in &changes.tasks {
            let was = change.expect.map(|(status, _)| status);
            // Most edges have nothing to do with the queue.
            if [was, Some(change.row.status)].iter().flatten().any(|status| counts(*status)) {
                self.count(run, *key, change.row.status);
            }
        }
    }

    /// Notes whether a task run is QUEUED.
    pub(super) fn count(&mut self, run: &Run, key: TaskKey, status: TaskStatus) {
        let pool = pool_of(run, key.task);
        // A forEach's group is RUNNING as long as its items are; they do the work.
        let group = key.item.is_none() && run.workflow().at(key.task).for_each.is_some();
        let entry = (run.row().id.clone(), key);
        if status != TaskStatus::Queued {
            self.once.remove(&entry);
            self.sent.remove(&entry);
        }
        for (set, of) in [(&mut self.queued, TaskStatus::Queued), (&mut self.running, TaskStatus::Running)] {
            if status == of && !group {
                set.entry(pool.clone()).or_default().insert(entry.clone());
            } else if let Some(members) = set.get_mut(&pool) {
                members.remove(&entry);
                if members.is_empty() {
                    set.remove(&pool);
                }
            }
        }
    }

    /// How many are QUEUED and RUNNING in each pool.
    pub(super) fn count_live(&self, mut tell: impl FnMut(&str, usize, usize)) {
        let pools: BTreeSet<&String> = self.queued.keys().chain(self.running.keys()).collect();
        let size = |set: &BTreeMap<String, BTreeSet<(RunId, TaskKey)>>, pool: &str| {
            set.get(pool).map_or(0, BTreeSet::len)
        };
        pools.into_iter().for_each(|pool| tell(pool, size(&self.queued, pool), size(&self.running, pool)));
    }

    /// The job of a QUEUED task run is not in the queue, and belongs there.
    pub(super) fn publish_again(&mut self, id: &RunId, key: TaskKey) {
        self.publish.insert((id.clone(), key));
        self.once.remove(&(id.clone(), key));
    }

    /// Is its job to go out, and has not?
    pub(super) fn is_to_offer(&self, job: &JobId) -> bool {
        self.publish.contains(&(job.task_run.run.clone(), job.task_run.key))
    }

    /// The queue's books began anew since they were last looked at: of what was offered in the ones before, and is to be
    /// offered once more, the sweep judges anew.
    pub(super) fn begin_life(&mut self) {
        self.lives += 1;
        let sent = &self.sent;
        self.publish.retain(|place| !sent.contains_key(place));
    }

    /// Was the job of a QUEUED task run offered from here, and not before the present books began?
    pub(super) fn sent_in_this_life(&self, id: &RunId, key: TaskKey) -> bool {
        self.sent.get(&(id.clone(), key)) == Some(&self.lives)
    }

    /// Forgets a run that is final, or will be loaded again; looks at nothing else.
    pub(super) fn forget(&mut self, run: &RunId) {
        let first = TaskKey { task: 0, item: None, round: 0 };
        let of_run = |set: &BTreeSet<(RunId, TaskKey)>| -> Vec<(RunId, TaskKey)> {
            set.range((run.clone(), first)..).take_while(|(r, _)| r == run).cloned().collect()
        };
        for set in [&mut self.queued, &mut self.running] {
            for members in set.values_mut() {
                for place in of_run(members) {
                    members.remove(&place);
                }
            }
            set.retain(|_, members| !members.is_empty());
        }
        for set in [&mut self.publish, &mut self.once] {
            for place in of_run(set) {
                set.remove(&place);
            }
        }
        let sent = self.sent.range((run.clone(), first)..).map(|(place, _)| place);
        let sent: Vec<_> = sent.take_while(|(r, _)| r == run).cloned().collect();
        for place in sent {
            self.sent.remove(&place);
        }
        let first = JobId { task_run: TaskRunId { run: run.clone(), key: first }, attempt: 0 };
        for set in [&mut self.remove, &mut self.go] {
            let jobs = set.range(first.clone()..).take_while(|job| job.task_run.run == *run);
            let jobs: Vec<JobId> = jobs.cloned().collect();
            for job in jobs {
                set.remove(&job);
            }
        }
    }
}

/// Is a job of such a task run in the queue, or with a worker?
fn counts(status: TaskStatus) -> bool {
    matches!(status, TaskStatus::Queued | TaskStatus::Running)
}

impl Conductor {
    /// Notes what a committed plan asks for.
    pub(super) fn note_effect(&mut self, id: &RunId, effect: Effect) {
        match effect {
            Effect::Publish(key) => {
                self.outbox.publish.insert((id.clone(), key));
                self.outbox.once.insert((id.clone(), key));
            }
            // It may be there, or its worker may be about to say that it has it: the sweep looks, now.
            Effect::Republish(key) => {
                self.outbox.once.remove(&(id.clone(), key));
                self.sweep.due = self.clock.now();
            }
            // Whether a worker stops it follows from the run, when its turn comes.
            Effect::Remove { key, attempt, .. } => {
                let job = JobId { task_run: TaskRunId { run: id.clone(), key }, attempt };
                self.outbox.remove.insert(job);
            }
            Effect::Go { key, attempt } => {
                self.outbox.go.insert(JobId { task_run: TaskRunId { run: id.clone(), key }, attempt });
            }
            Effect::Expand(key) => self.todo.push(Input::Expand(id.clone(), key)),
            Effect::Ended => self.forget(id),
            Effect::Offer(_) | Effect::Withdraw(_) => {}
        }
    }

    /// What is to be said beside the next commit, if anything is.
    pub(super) fn words(&mut self) -> Option<Words> {
        let publish = std::mem::take(&mut self.outbox.publish);
        let wanted =
            publish.into_iter().filter_map(|place| Some((self.queued_job(&place.0, place.1)?, place)));
        let (jobs, places): (Vec<_>, Vec<_>) = wanted.unzip();
        let life = self.outbox.lives;
        self.outbox.sent.extend(places.into_iter().map(|place| (place, life)));
        let read = self.outbox.read;
        let settles = read > self.outbox.settled || !self.outbox.ended.is_empty();
        let ended = settles.then(|| std::mem::take(&mut self.outbox.ended));
        (settles || !jobs.is_empty()).then_some(Words { jobs, read, ended })
    }

    /// Says what depends on how a run stands at this moment, to a queue that has heard everything else.
    pub(super) async fn act(&mut self) -> Result<(), QueueError> {
        let go = std::mem::take(&mut self.outbox.go);
        let begun: Vec<Go> = go.into_iter().filter_map(|job| self.may_begin(job)).collect();
        if !begun.is_empty() && self.sure().await {
            self.queue.go(&begun).await?;
        }
        for _ in 0..TAKE_BACK_MAX {
            if self.outbox.remove.is_empty() || !self.sure().await {
                break;
            }
            let Some(job) = self.outbox.remove.pop_first() else { break };
            self.take_back(job).await?;
        }
        Ok(())
    }

    /// The job of a task run, if it is QUEUED still. What is to be taken back does not go out first: of a run that is
    /// paused, or stopped, nothing is published.
    fn queued_job(&self, id: &RunId, key: TaskKey) -> Option<Job> {
        let run = self.runs.get(id)?;
        let queued = run.standing(key)?.0 == TaskStatus::Queued;
        (queued && run.unwanted(key).is_none()).then(|| run.job(key)).flatten()
    }

    /// The word for a worker that waits, if its attempt still runs and is wanted: time may have passed since the commit.
    fn may_begin(&self, job: JobId) -> Option<Go> {
        let run = self.runs.get(&job.task_run.run)?;
        let key = job.task_run.key;
        let row = run.task_run(key).filter(|row| row.attempt == job.attempt)?;
        let runs = row.status == TaskStatus::Running && run.unwanted(key).is_none();
        let worker = row.worker.as_deref().filter(|_| runs)?.to_owned();
        Some(Go { place: Placed { pool: pool_of(run, key.task).into(), job }, worker })
    }

    /// Takes a job back, if that is wanted still: the run may have moved on, or go on, since it was asked for.
    async fn take_back(&mut self, job: JobId) -> Result<(), QueueError> {
        let key = job.task_run.key;
        let Some(run) = self.runs.get(&job.task_run.run) else { return Ok(()) };
        let current = run.standing(key).is_some_and(|(_, attempt)| attempt == job.attempt);
        let Some(kill) = run.unwanted(key).filter(|_| current) else { return Ok(()) };
        let unseen = self.outbox.once.contains(&(job.task_run.run.clone(), key));
        let placed = Placed { pool: pool_of(run, key.task).into(), job };
        match self.queue.remove(&placed).await? {
            Removal::Removed if unseen => self.todo.push(Input::Removed(placed.job)),
            Removal::Removed => self.todo.push(Input::Forgotten(placed)),
            Removal::Claimed if kill && self.sure().await => self.queue.cancel(&placed).await?,
            Removal::Claimed => {}
            // It was never published, or the queue lost its books, and then a worker may have it.
            Removal::Absent => self.todo.push(Input::Forgotten(placed)),
        }
        Ok(())
    }

    /// Tells live views what is committed.
    pub(super) fn announce(&self, batch: &Batch) {
        for (run, changes) in &batch.runs {
            self.feed.publish(events_of(run, changes));
        }
    }
}
