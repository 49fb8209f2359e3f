//! The store of a laptop: everything in this process, gone with it. Same fences, history and refusals as in Postgres.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    change::{Batch, Fence},
    ids::{RunId, ShardId, TaskKey, WorkflowId},
    run::RunRow,
    task_run::{ApprovalRow, TaskRow},
    time::between,
};
use crate::store::{
    Entity, HistoryRow, Leadership, Revision, RunRecord, Store, StoreError, TAKEOVER_AFTER,
    prepare::{Prepared, TaskWrite, fit_revision, prepare, sets_input},
};

/// How many finished runs are kept; the oldest goes first, with its history.
pub const FINISHED_MAX: usize = 1_000;

/// Asks for the time by which leadership is counted.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A store in memory.
pub struct MemoryStore {
    now: Now,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    shards: BTreeMap<ShardId, Lead>,
    revisions: BTreeMap<WorkflowId, Revision>,
    runs: BTreeMap<RunId, Kept>,
    /// Finished runs, in the order in which they ended.
    finished: VecDeque<RunId>,
}

/// A row of `shards`.
#[derive(Clone, Default)]
struct Lead {
    epoch: i64,
    seq: i64,
    holder: Option<(String, Timestamp)>,
}

struct Kept {
    run: RunRow,
    tasks: BTreeMap<TaskKey, TaskRow>,
    approvals: Vec<ApprovalRow>,
    /// By task run; under none the run's own. Oldest first.
    history: BTreeMap<Option<TaskKey>, Vec<HistoryRow>>,
}

impl MemoryStore {
    /// An empty store; `now` is asked only for leadership.
    pub fn new(now: Now) -> MemoryStore {
        MemoryStore { now, inner: Mutex::new(Inner::default()) }
    }

    /// A panic elsewhere leaves the rows whole: a batch is checked before its first row is written.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn lead(&self, shard: ShardId, holder: &str) -> Result<Leadership, StoreError> {
        let now = (self.now)();
        let mut inner = self.inner();
        let lead = inner.shards.entry(shard).or_default();
        if let Some((other, renewed)) = &lead.holder {
            let silent = between(*renewed, now);
            if other != holder && silent < TAKEOVER_AFTER {
                let renewed_ms_ago = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
                return Ok(Leadership::Held { holder: other.clone(), renewed_ms_ago });
            }
        }
        lead.epoch += 1;
        lead.holder = Some((holder.to_owned(), now));
        Ok(Leadership::Won(Fence { shard, epoch: lead.epoch, seq: lead.seq }))
    }

    async fn renew(&self, fence: &Fence) -> Result<(), StoreError> {
        let now = (self.now)();
        match self.inner().shards.get_mut(&fence.shard) {
            Some(Lead { epoch, holder: Some((_, renewed)), .. }) if *epoch == fence.epoch => {
                *renewed = now;
                Ok(())
            }
            _ => Err(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch }),
        }
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        if let Some(lead) = self.inner().shards.get_mut(&fence.shard)
            && lead.epoch == fence.epoch
        {
            lead.epoch += 1;
            lead.holder = None;
        }
        Ok(())
    }

    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError> {
        let lead = self.inner().shards.get(&shard).cloned().unwrap_or_default();
        Ok(Fence { shard, epoch: lead.epoch, seq: lead.seq })
    }

    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError> {
        let revision = fit_revision(revision)?;
        self.inner().revisions.entry(revision.id.clone()).or_insert(revision);
        Ok(())
    }

    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError> {
        Ok(self.inner().revisions.get(id).cloned())
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let prepared = prepare(batch)?;
        let mut inner = self.inner();
        inner.check_fences(&prepared)?;
        inner.check_rows(&prepared)?;
        inner.check_parents(&prepared)?;
        inner.write(prepared);
        Ok(())
    }

    async fn live_runs(&self, shard: ShardId) -> Result<Vec<RunId>, StoreError> {
        let inner = self.inner();
        let live = inner
            .runs
            .values()
            .map(|kept| &kept.run)
            .filter(|run| !run.status.is_final() && run.shard() == shard);
        let in_order: BTreeSet<_> = live.map(|run| (run.created_at, run.id.clone())).collect();
        Ok(in_order.into_iter().map(|(_, id)| id).collect())
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.inner().runs.get(id).map(|kept| RunRecord {
            run: kept.run.clone(),
            tasks: kept.tasks.values().cloned().collect(),
            approvals: kept.approvals.clone(),
        }))
    }

    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError> {
        let inner = self.inner();
        let (run, key) = place(entity);
        let rows = inner.runs.get(run).and_then(|kept| kept.history.get(&key));
        Ok(rows.map(|rows| rows.iter().rev().take(limit as usize).cloned().collect()).unwrap_or_default())
    }
}

/// Where an entity's history is kept.
fn place(entity: &Entity) -> (&RunId, Option<TaskKey>) {
    match entity {
        Entity::Run(id) => (id, None),
        Entity::TaskRun(id) => (&id.run, Some(id.key)),
    }
}

impl Inner {
    fn check_fences(&self, batch: &Prepared) -> Result<(), StoreError> {
        for (fence, _) in &batch.fences {
            let held = self.shards.get(&fence.shard);
            if held.is_none_or(|lead| (lead.epoch, lead.seq) != (fence.epoch, fence.seq)) {
                return Err(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch });
            }
        }
        Ok(())
    }

    /// Is every row where the batch expects it?
    fn check_rows(&self, batch: &Prepared) -> Result<(), StoreError> {
        let run_is =
            |expect: &Option<_>, row: &RunRow| self.runs.get(&row.id).map(|kept| kept.run.status) == *expect;
        let task_is = |task: &TaskWrite| {
            let row = self.runs.get(&task.run).and_then(|kept| kept.tasks.get(&task.row.key));
            row.map(|row| (row.status, row.attempt)) == task.expect
        };
        let runs = batch.runs.iter().filter(|(expect, row)| !run_is(expect, row)).count();
        let count = runs + batch.tasks.iter().filter(|task| !task_is(task)).count();
        if count == 0 { Ok(()) } else { Err(StoreError::Conflict { count }) }
    }

    /// What a database's foreign keys say: a row refers only to what is there.
    fn check_parents(&self, batch: &Prepared) -> Result<(), StoreError> {
        let born: BTreeMap<&RunId, &WorkflowId> =
            batch.runs.iter().map(|(_, row)| (&row.id, &row.workflow)).collect();
        let pinned = |run: &RunId| {
            let kept = self.runs.get(run).map(|kept| &kept.run.workflow);
            kept.or(born.get(run).copied()).and_then(|workflow| self.revisions.get(workflow))
        };
        let refused = |what: String| Err(StoreError::Refused(what));
        if let Some((_, row)) = batch.runs.iter().find(|(_, row)| pinned(&row.id).is_none()) {
            return refused(format!("{}: its revision {} is not there", row.id, row.workflow));
        }
        let mut tasks = BTreeSet::new();
        for task in &batch.tasks {
            let known = pinned(&task.run).map(|revision| revision.tasks.len()).unwrap_or_default();
            if task.row.key.task as usize >= known {
                return refused(format!("{}: its revision has no such task", task.row.id(&task.run)));
            }
            tasks.insert((&task.run, task.row.key));
        }
        for (run, said) in &batch.approvals {
            let kept = self.runs.get(run).is_some_and(|kept| kept.tasks.contains_key(&said.key));
            if !kept && !tasks.contains(&(run, said.key)) {
                return refused(format!("{run}: an approval of a task run that is not there"));
            }
        }
        Ok(())
    }

    /// Everything is known to fit: from here on nothing fails.
    fn write(&mut self, batch: Prepared) {
        for (fence, seq) in batch.fences {
            self.shards.entry(fence.shard).or_default().seq = seq;
        }
        for (_, row) in batch.runs {
            self.write_run(row);
        }
        for TaskWrite { run, expect, mut row, .. } in batch.tasks {
            if let Some(kept) = self.runs.get_mut(&run) {
                if let Some(old) = kept.tasks.remove(&row.key) {
                    row.created_at = old.created_at;
                    if !sets_input(expect) {
                        row.input = old.input;
                    }
                }
                kept.tasks.insert(row.key, row);
            }
        }
        for row in batch.history {
            let (run, key) = place(&row.entity);
            if let Some(kept) = self.runs.get_mut(run) {
                kept.history.entry(key).or_default().push(row);
            }
        }
        for (run, said) in batch.approvals {
            if let Some(kept) = self.runs.get_mut(&run) {
                kept.approvals.push(said);
            }
        }
        while self.finished.len() > FINISHED_MAX {
            self.finished.pop_front().and_then(|oldest| self.runs.remove(&oldest));
        }
    }

    /// What a run was accepted with stays as it was.
    fn write_run(&mut self, row: RunRow) {
        let was_final = self.runs.get(&row.id).is_some_and(|kept| kept.run.status.is_final());
        match (was_final, row.status.is_final()) {
            (false, true) => self.finished.push_back(row.id.clone()),
            (true, false) => self.finished.retain(|id| *id != row.id),
            _ => {}
        }
        match self.runs.get_mut(&row.id) {
            None => {
                let id = row.id.clone();
                let kept = Kept {
                    run: row,
                    tasks: BTreeMap::new(),
                    approvals: Vec::new(),
                    history: BTreeMap::new(),
                };
                self.runs.insert(id, kept);
            }
            Some(kept) => {
                let old = &kept.run;
                kept.run = RunRow {
                    workflow: old.workflow.clone(),
                    namespace: old.namespace.clone(),
                    name: old.name.clone(),
                    params: old.params.clone(),
                    created_at: old.created_at,
                    ..row
                };
            }
        }
    }
}
