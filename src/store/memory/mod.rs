//! The store of a laptop: everything in this process, gone with it. Same fences, history and refusals as in Postgres.

mod commit;
mod expire;
mod logs;
mod roll;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    change::{Batch, Fence},
    head::Head,
    ids::{RunId, ShardId, TaskKey, TaskRunId, WorkflowId},
    log::{LogLine, LogQuery, StoredLine},
    run::RunRow,
    task_run::{ApprovalRow, AttemptRow, TaskRow},
    time::between,
};
use crate::store::{
    Entity, HistoryRow, Leadership, Revision, Roll, RunRecord, Store, StoreError, TAKEOVER_AFTER,
    TRANSITIONS_PAGE,
    fit::{another_clusters, fit_cluster, fit_head, fit_lines, fit_revision, page, same_shard},
    prepare::{prepare, text},
};
use commit::place;

/// Runs that are read at once.
const RUNS_AT_ONCE: usize = 100;

pub use logs::LOG_BYTES_MAX;

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
    /// By namespace and name.
    heads: BTreeMap<(String, String), Head>,
    runs: BTreeMap<RunId, Kept>,
    /// Of the runs that are kept, by position.
    history: BTreeMap<(ShardId, i64), HistoryRow>,
    /// Finished runs, in the order in which they ended.
    finished: VecDeque<RunId>,
    logs: logs::Logs,
    cluster: Option<String>,
    /// By holder.
    operators: BTreeMap<String, roll::Operator>,
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
    /// Positions by task run; under none the run's own. Oldest first.
    history: BTreeMap<Option<TaskKey>, Vec<i64>>,
    /// By task run and number.
    attempts: BTreeMap<(TaskKey, u32), AttemptRow>,
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
    async fn lead(&self, shards: &[ShardId], holder: &str) -> Result<Leadership, StoreError> {
        let now = (self.now)();
        Ok(self.inner().lead(shards, holder, now))
    }

    async fn renew(&self, fences: &[Fence]) -> Result<(), StoreError> {
        let now = (self.now)();
        let mut inner = self.inner();
        let mut lost = None;
        for fence in fences {
            match inner.shards.get_mut(&fence.shard) {
                Some(Lead { epoch, holder: Some((_, renewed)), .. }) if *epoch == fence.epoch => {
                    *renewed = now
                }
                _ => lost = lost.or(Some(deposed(fence))),
            }
        }
        lost.map_or(Ok(()), Err)
    }

    async fn release(&self, fences: &[Fence]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        for fence in fences {
            if let Some(lead) = inner.shards.get_mut(&fence.shard).filter(|lead| lead.epoch == fence.epoch) {
                lead.epoch += 1;
                lead.holder = None;
            }
        }
        Ok(())
    }

    async fn attend(&self, holder: &str, leaders: u32) -> Result<Roll, StoreError> {
        let now = (self.now)();
        Ok(self.inner().attend(holder, leaders, now))
    }

    async fn depart(&self, holder: &str) -> Result<(), StoreError> {
        self.inner().depart(holder);
        Ok(())
    }

    async fn raise(&self, fence: &Fence, to: i64) -> Result<Fence, StoreError> {
        let mut inner = self.inner();
        let own = inner.shards.get_mut(&fence.shard).filter(|lead| lead.epoch == fence.epoch);
        let own = own.ok_or(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch })?;
        own.seq = own.seq.max(to);
        Ok(Fence { seq: own.seq, ..*fence })
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

    async fn put_head(&self, head: &Head, fence: &Fence) -> Result<(), StoreError> {
        let head = fit_head(head, fence)?;
        let mut inner = self.inner();
        inner.check_epoch(fence)?;
        if let Ok(revision) = &head.revision
            && !inner.revisions.contains_key(revision)
        {
            return Err(StoreError::Refused(format!("revision {revision} is not there")));
        }
        inner.heads.insert((head.namespace.clone(), head.name.clone()), head);
        Ok(())
    }

    async fn drop_head(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), StoreError> {
        same_shard(namespace, fence)?;
        let mut inner = self.inner();
        inner.check_epoch(fence)?;
        inner.heads.remove(&named(namespace, name));
        Ok(())
    }

    async fn head(&self, namespace: &str, name: &str) -> Result<Option<Head>, StoreError> {
        Ok(self.inner().heads.get(&named(namespace, name)).cloned())
    }

    async fn head_names(
        &self,
        after: Option<(String, String)>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.inner();
        Ok(inner
            .heads
            .range((from, Bound::Unbounded))
            .take(limit as usize)
            .map(|(name, _)| name.clone())
            .collect())
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let prepared = prepare(batch)?;
        self.inner().commit(prepared)
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

    async fn runs(&self, ids: &[RunId]) -> Result<Vec<Result<Option<RunRecord>, StoreError>>, StoreError> {
        let mut found = Vec::new();
        for id in ids.iter().take(RUNS_AT_ONCE) {
            found.push(self.run(id).await);
        }
        Ok(found)
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.inner().runs.get(id).map(|kept| RunRecord {
            run: kept.run.clone(),
            tasks: kept.tasks.values().cloned().collect(),
            approvals: kept.approvals.clone(),
        }))
    }

    async fn run_row(&self, id: &RunId) -> Result<Option<RunRow>, StoreError> {
        Ok(self.inner().runs.get(id).map(|kept| kept.run.clone()))
    }

    async fn find_runs(&self, namespace: &str, name: &str, limit: u32) -> Result<Vec<RunId>, StoreError> {
        let (namespace, name) = named(namespace, name);
        let inner = self.inner();
        let rows = inner.runs.values().map(|kept| &kept.run);
        let found = rows.filter(|run| run.namespace == namespace && run.name == name);
        let in_order: BTreeSet<_> = found.map(|run| (run.created_at, run.id.clone())).collect();
        Ok(in_order.into_iter().rev().take(limit as usize).map(|(_, id)| id).collect())
    }

    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError> {
        let inner = self.inner();
        let (run, key) = place(entity);
        let Some(kept) = inner.runs.get(run) else { return Ok(Vec::new()) };
        let shard = kept.run.shard();
        let positions = kept.history.get(&key).into_iter().flatten().rev().take(limit as usize);
        Ok(positions.filter_map(|seq| inner.history.get(&(shard, *seq)).cloned()).collect())
    }

    async fn transitions(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        let inner = self.inner();
        let behind = (Bound::Excluded((shard, after)), Bound::Included((shard, i64::MAX)));
        // Behind the last position there is nothing, and a range that ends where it begins is none.
        let rows = (after < i64::MAX).then(|| inner.history.range(behind)).into_iter().flatten();
        Ok(rows.take(limit.min(TRANSITIONS_PAGE) as usize).map(|(_, row)| row.clone()).collect())
    }

    async fn attempts(&self, task: &TaskRunId, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
        let inner = self.inner();
        let Some(kept) = inner.runs.get(&task.run) else { return Ok(Vec::new()) };
        let rows = kept.attempts.range((task.key, 0)..=(task.key, u32::MAX));
        Ok(rows.rev().take(limit as usize).map(|(_, row)| row.clone()).collect())
    }

    async fn put_logs(&self, lines: &[LogLine]) -> Result<usize, StoreError> {
        let lines = fit_lines(lines);
        let mut inner = self.inner();
        let Inner { runs, logs, .. } = &mut *inner;
        let known = |line: &LogLine| {
            let id = &line.job.task_run;
            runs.get(&id.run).is_some_and(|kept| kept.tasks.contains_key(&id.key))
        };
        Ok(lines.into_iter().filter(known).map(|line| logs.add(line)).count())
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError> {
        let limit = page(query)?;
        Ok(self.inner().logs.read(query, limit))
    }

    async fn claim_cluster(&self, id: &str, adopt: bool) -> Result<(), StoreError> {
        fit_cluster(id)?;
        let mut inner = self.inner();
        match &inner.cluster {
            Some(owner) if owner != id && !adopt => Err(another_clusters(owner, id)),
            _ => {
                inner.cluster = Some(id.to_owned());
                Ok(())
            }
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Names as they are kept.
fn named(namespace: &str, name: &str) -> (String, String) {
    (text(namespace).into_owned(), text(name).into_owned())
}

fn deposed(fence: &Fence) -> StoreError {
    StoreError::Deposed { shard: fence.shard, epoch: fence.epoch }
}

impl Inner {
    /// All or none.
    fn lead(&mut self, shards: &[ShardId], holder: &str, now: Timestamp) -> Leadership {
        let shards: BTreeSet<ShardId> = shards.iter().copied().collect();
        for shard in &shards {
            let held = self.shards.get_mut(shard).and_then(|lead| lead.holder.as_mut());
            let Some((other, renewed)) = held else { continue };
            if other != holder && between(now, *renewed) > TAKEOVER_AFTER {
                // The clock was put back since: it counts as made now.
                *renewed = now;
            }
            let silent = between(*renewed, now);
            if other != holder && silent < TAKEOVER_AFTER {
                let renewed_ms_ago = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
                return Leadership::Held { shard: *shard, holder: other.clone(), renewed_ms_ago };
            }
        }
        let take = |shard: ShardId| {
            let lead = self.shards.entry(shard).or_default();
            lead.epoch += 1;
            lead.holder = Some((holder.to_owned(), now));
            (shard, Fence { shard, epoch: lead.epoch, seq: lead.seq })
        };
        Leadership::Won(shards.into_iter().map(take).collect())
    }

    fn check_epoch(&self, fence: &Fence) -> Result<(), StoreError> {
        match self.shards.get(&fence.shard).is_some_and(|lead| lead.epoch == fence.epoch) {
            true => Ok(()),
            false => Err(deposed(fence)),
        }
    }
}
