//! Runs in memory: taken over at the start, loaded again after a failure, set aside when they cannot go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::conductor::{Adopt, Conductor, ConductorError, commit::Draft, cycle::Input};
use crate::engine::{Effect, Run};
use crate::feed::{Edge, Event};
use crate::model::{
    change::Fence,
    ids::{RunId, ShardId, TaskKey, TaskRunId, WorkflowId},
    job::JobId,
    run::Actor,
    status::TaskStatus,
    time::later,
    workflow::Workflow,
};
use crate::queue::Placed;
use crate::store::{Leadership, RunRecord, StoreError};

/// Definitions kept at hand, those of live runs aside.
const WORKFLOWS_KEPT: usize = 1_000;
/// Runs set aside that are known by name.
const ASIDE_KEPT: usize = 10_000;

/// When each run wants its next tick.
#[derive(Default)]
pub(super) struct Due {
    order: BTreeSet<(Timestamp, RunId)>,
    of: BTreeMap<RunId, Timestamp>,
}

impl Due {
    pub(super) fn set(&mut self, run: &RunId, at: Option<Timestamp>) {
        if let Some(old) = self.of.remove(run) {
            self.order.remove(&(old, run.clone()));
        }
        if let Some(at) = at {
            self.of.insert(run.clone(), at);
            self.order.insert((at, run.clone()));
        }
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one run, if it is due.
    pub(super) fn take_one(&mut self, run: &RunId, now: Timestamp) -> bool {
        let due = self.of.get(run).is_some_and(|at| *at <= now);
        if due {
            self.set(run, None);
        }
        due
    }

    /// Takes the runs that are due. They are set again when they took their tick.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<RunId> {
        let mut due = Vec::new();
        while self.first().is_some_and(|at| at <= now) {
            if let Some((_, run)) = self.order.pop_first() {
                self.of.remove(&run);
                due.push(run);
            }
        }
        due
    }
}

impl Conductor {
    pub(super) async fn take_shards(&mut self) -> Result<(), ConductorError> {
        let asked = self.clock.now();
        self.tenure.change();
        match self.store.lead(&self.shards, &self.holder).await? {
            Leadership::Won(fences) => self.hold(fences, Some(asked)),
            Leadership::Held { shard, holder, renewed_ms_ago } => {
                return Err(ConductorError::Held { shard, holder, renewed_ms_ago });
            }
        }
        Ok(())
    }

    /// These shards are led in new epochs. `all_asked`: when all that this conductor leads were asked for, if they were.
    pub(super) fn hold(&mut self, fences: BTreeMap<ShardId, Fence>, all_asked: Option<Timestamp>) {
        self.fences.extend(fences);
        self.lead_queue();
        self.tenure.hold(&self.fences, all_asked);
        self.tell_fences();
    }

    /// The queue speaks of the shards that go on.
    pub(super) fn lead_queue(&self) {
        let going = self.fences.values().filter(|fence| !self.stopped.contains_key(&fence.shard));
        self.queue.lead(&going.map(|fence| (fence.shard, fence.epoch)).collect());
    }

    /// Lets the next leader begin at once.
    pub(super) async fn give_up_shards(&self, kept: Option<&BTreeSet<ShardId>>) {
        let kept = |fence: &Fence| kept.is_some_and(|kept| kept.contains(&fence.shard));
        let fences: Vec<Fence> = self.fences.values().filter(|fence| !kept(fence)).copied().collect();
        if let Err(e) = self.store.release(&fences).await {
            tracing::warn!(error = %e, error.label = e.label(), "The shards could not be given up; they run out by themselves");
        }
    }

    pub(super) async fn load_live_runs(&mut self) -> Result<(), ConductorError> {
        match self.adopt.clone() {
            Adopt::All => {
                for shard in self.shards.clone() {
                    let live = self.store.live_runs(shard).await?;
                    if !live.is_empty() {
                        self.heed_history(shard).await?;
                    }
                    let mut rest = live.as_slice();
                    while !rest.is_empty() {
                        let records = match self.store.runs(rest).await {
                            Ok(records) if !records.is_empty() => records,
                            Ok(_) => vec![Ok(None)],
                            // Alone it is asked for again until the store answers.
                            Err(error) => vec![Err(error)],
                        };
                        let (these, later) = rest.split_at(records.len().min(rest.len()));
                        for (id, record) in these.iter().zip(records) {
                            self.adopt_run(id, record).await?;
                        }
                        rest = later;
                    }
                }
            }
            Adopt::Resume(ids) => {
                for shard in self.shards.clone() {
                    self.heed_history(shard).await?;
                }
                for id in ids {
                    self.reload(&id).await?;
                    if let Some(why) = self.aside.get(&id) {
                        return Err(ConductorError::Run { run: id, why: why.clone() });
                    }
                    self.jobs_are_gone(&id);
                }
                // What a sweep would find missing is known: the queue is empty.
                self.sweep.due = later(self.clock.now(), self.limits.sweep_every);
            }
        }
        Ok(())
    }

    /// The clock is not behind what was committed last in a shard, by whoever led it with whatever clock.
    async fn heed_history(&mut self, shard: ShardId) -> Result<(), ConductorError> {
        let Some(fence) = self.fences.get(&shard).filter(|fence| fence.seq > 0) else { return Ok(()) };
        let newest = self.store.transitions(shard, fence.seq - 1, 1).await?;
        newest.iter().for_each(|row| self.clock.at_least(row.changed_at));
        Ok(())
    }

    /// Takes a run over whose rows were read; asks again where that failed.
    async fn adopt_run(
        &mut self,
        id: &RunId,
        record: Result<Option<RunRecord>, StoreError>,
    ) -> Result<(), ConductorError> {
        let placed = match record {
            Ok(record) => self.place(id, record).await,
            Err(error) => Err(error),
        };
        match placed {
            Ok(()) => Ok(()),
            Err(_) => self.reload(id).await,
        }
    }

    /// The queue began anew: what was in it counts as lost with its worker.
    fn jobs_are_gone(&mut self, id: &RunId) {
        let Some(run) = self.runs.get(id) else { return };
        self.outbox.forget(id);
        self.todo.extend(live_jobs(run).into_iter().map(Input::Lost));
    }

    /// Loads a run from its rows; without rows it is forgotten. Waits for the store as long as it must.
    pub(super) async fn reload(&mut self, id: &RunId) -> Result<(), ConductorError> {
        self.forget(id);
        if self.aside.contains_key(id) {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            match self.load(id).await {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
                    tracing::warn!(run.id = %id, error = %error, error.label = error.label(), tries, "A run could not be loaded yet");
                    tries += 1;
                    self.pause(tries).await?;
                }
                Err(StoreError::Deposed { shard, .. }) => return Err(ConductorError::Deposed(shard)),
                Err(e) => {
                    self.set_aside(id, e.to_string());
                    return Ok(());
                }
            }
        }
    }

    /// Of the runs that are set aside, those that a user now wants otherwise are loaded again: what kept them from going on
    /// may be mended.
    pub(super) async fn recall(&mut self, inputs: &[Input]) -> Result<(), ConductorError> {
        let wanted: BTreeSet<&RunId> = inputs.iter().filter_map(Input::steers).collect();
        for id in wanted {
            if self.aside.remove(id).is_some() {
                self.reload(id).await?;
                self.mark_recalled(id);
            }
        }
        Ok(())
    }

    async fn load(&mut self, id: &RunId) -> Result<(), StoreError> {
        let record = self.store.run(id).await?;
        self.place(id, record).await
    }

    /// Makes a run of its rows.
    async fn place(&mut self, id: &RunId, record: Option<RunRecord>) -> Result<(), StoreError> {
        let Some(record) = record else { return Ok(()) };
        if record.run.status.is_final() || self.stopped.contains_key(&record.run.shard()) {
            return Ok(());
        }
        let workflow = match self.workflows.get(&record.run.workflow) {
            Some(workflow) => workflow.clone(),
            None => match self.compile_stored(&record.run.workflow).await? {
                Ok(workflow) => workflow,
                Err(why) => {
                    self.set_aside(id, why);
                    return Ok(());
                }
            },
        };
        // The one thing that is committed without a row of history.
        record.run.paused_at.iter().for_each(|at| self.clock.at_least(*at));
        let now = self.clock.now();
        match Run::restore(workflow, record.run, record.tasks, record.approvals, now) {
            Ok((run, plan)) => self.restored(id, run, plan),
            Err(refused) => self.set_aside(id, refused.to_string()),
        }
        Ok(())
    }

    async fn compile_stored(&mut self, id: &WorkflowId) -> Result<Result<Arc<Workflow>, String>, StoreError> {
        let Some(revision) = self.store.revision(id).await? else {
            return Ok(Err(format!("its revision {id} is not there")));
        };
        Ok((self.compile)(&revision).map(|workflow| {
            let workflow = Arc::new(workflow);
            self.keep(id.clone(), workflow.clone());
            workflow
        }))
    }

    /// Keeps a definition at hand; beyond a bound those go that no live run needs.
    pub(super) fn keep(&mut self, id: WorkflowId, workflow: Arc<Workflow>) {
        if self.workflows.len() >= WORKFLOWS_KEPT {
            self.workflows.retain(|_, kept| Arc::strong_count(kept) > 1);
        }
        self.workflows.insert(id, workflow);
    }

    fn restored(&mut self, id: &RunId, run: Run, plan: crate::engine::Plan) {
        run.places().for_each(|(key, status)| self.outbox.count(&run, key, status));
        self.runs.insert(id.clone(), run);
        // Places and timers now, as `note` does; the rest as after a commit, for it follows from committed rows.
        let mut draft = Draft::default();
        let crate::engine::Plan { changes, effects } = plan;
        let (memory, outside): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|e| matches!(e, Effect::Offer(_) | Effect::Withdraw(_)));
        let empty = crate::model::change::Changes::new(changes.shard);
        self.note(&mut draft, id, crate::engine::Plan { changes: empty, effects: memory });
        if changes.is_empty() {
            outside.into_iter().for_each(|effect| self.note_effect(id, effect));
        } else {
            tracing::warn!(run.id = %id, rows = changes.tasks.len(), "A run was found half done and goes on");
            let plan = crate::engine::Plan { changes, effects: outside };
            self.todo.push(Input::Mended(id.clone(), Box::new(plan)));
        }
    }

    /// Drops a run from memory.
    pub(super) fn forget(&mut self, id: &RunId) {
        self.runs.remove(id);
        self.ready.forget(id);
        self.due.set(id, None);
        self.outbox.forget(id);
        self.todo
            .retain(|input| !matches!(input, Input::Mended(run, _) | Input::Expand(run, _) if run == id));
    }

    /// A run that cannot go on: it stops nobody else, and says why.
    pub(super) fn set_aside(&mut self, id: &RunId, why: String) {
        tracing::error!(run.id = %id, error = %why, "A run is set aside");
        self.mark_aside(id, &why);
        self.forget(id);
        self.counters.aside += 1;
        self.feed.publish(vec![Event {
            run: id.clone(),
            edge: Edge::SetAside,
            reason: None,
            actor: Actor::Engine,
            error: Some(why.clone()),
            at: self.clock.now(),
        }]);
        if self.aside.len() >= ASIDE_KEPT {
            self.aside.pop_first();
        }
        self.aside.insert(id.clone(), why);
    }
}

/// The pool in which a task of the run works.
pub(super) fn pool_of(run: &Run, task: u32) -> String {
    format!("{}/{}", run.row().namespace, run.workflow().at(task).pool)
}

/// Is it the pool in which this task works?
pub(super) fn is_pool_of(run: &Run, task: u32, pool: &str) -> bool {
    let own = (run.row().namespace.as_str(), run.workflow().at(task).pool.as_str());
    pool.split_once('/') == Some(own)
}

/// The jobs of a run that are QUEUED or RUNNING.
pub(super) fn live_jobs(run: &Run) -> Vec<Placed> {
    let mut pools: BTreeMap<u32, Arc<str>> = BTreeMap::new();
    let mut place = |(key, _): (TaskKey, TaskStatus)| {
        let pool = pools.entry(key.task).or_insert_with(|| pool_of(run, key.task).into());
        let task_run = TaskRunId { run: run.row().id.clone(), key };
        let (_, attempt) = run.standing(key).filter(|(_, attempt)| *attempt > 0)?;
        Some(Placed { pool: pool.clone(), job: JobId { task_run, attempt } })
    };
    let live = run.places().filter(|(_, s)| matches!(s, TaskStatus::Queued | TaskStatus::Running));
    live.filter_map(&mut place).collect()
}
