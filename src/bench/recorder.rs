//! A store that remembers what it was told to commit, so that the same can be committed once more without Relay.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::model::{
    change::{Batch, Fence},
    head::Head,
    ids::{RunId, ShardId, TaskRunId, WorkflowId},
    log::{LogLine, LogQuery, StoredLine},
    revision::Revision,
    run::RunRow,
    task_run::AttemptRow,
};
use crate::store::{Entity, HistoryRow, Leadership, Roll, RunRecord, Store, StoreError};

/// The store, with a record of what is written while one is kept.
pub struct Recorder {
    inner: Arc<dyn Store>,
    record: Mutex<Option<Vec<Batch>>>,
}

impl Recorder {
    pub fn new(inner: Arc<dyn Store>) -> Recorder {
        Recorder { inner, record: Mutex::default() }
    }

    fn record(&self) -> MutexGuard<'_, Option<Vec<Batch>>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a record is kept.
    pub fn begin(&self) {
        *self.record() = Some(Vec::new());
    }

    /// And no longer: the commits, in their order.
    pub fn end(&self) -> Vec<Batch> {
        self.record().take().unwrap_or_default()
    }
}

/// Verbs that only go on to the store behind.
macro_rules! pass {
    ($(fn $verb:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Recorder {
            $(async fn $verb(&self, $($name: $kind),*) -> Result<$answer, StoreError> {
                self.inner.$verb($($name),*).await
            })*

            async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
                if let Some(record) = self.record().as_mut() {
                    record.push(batch.clone());
                }
                self.inner.commit(batch).await
            }
        }
    };
}

pass! {
    fn lead(shards: &[ShardId], holder: &str) -> Leadership;
    fn renew(fences: &[Fence]) -> ();
    fn release(fences: &[Fence]) -> ();
    fn raise(fence: &Fence, to: i64) -> Fence;
    fn attend(holder: &str, leaders: u32) -> Roll;
    fn depart(holder: &str) -> ();
    fn position(shard: ShardId) -> Fence;
    fn put_revision(revision: &Revision) -> ();
    fn revision(id: &WorkflowId) -> Option<Revision>;
    fn put_head(head: &Head, fence: &Fence) -> ();
    fn drop_head(namespace: &str, name: &str, fence: &Fence) -> ();
    fn head(namespace: &str, name: &str) -> Option<Head>;
    fn head_names(after: Option<(String, String)>, limit: u32) -> Vec<(String, String)>;
    fn live_runs(shard: ShardId) -> Vec<RunId>;
    fn run(id: &RunId) -> Option<RunRecord>;
    fn runs(ids: &[RunId]) -> Vec<Result<Option<RunRecord>, StoreError>>;
    fn run_row(id: &RunId) -> Option<RunRow>;
    fn which_are_there(ids: &[RunId]) -> BTreeSet<RunId>;
    fn find_runs(namespace: &str, name: &str, limit: u32) -> Vec<RunId>;
    fn history(entity: &Entity, limit: u32) -> Vec<HistoryRow>;
    fn transitions(shard: ShardId, after: i64, limit: u32) -> Vec<HistoryRow>;
    fn attempts(task: &TaskRunId, limit: u32) -> Vec<AttemptRow>;
    fn put_logs(lines: &[LogLine]) -> usize;
    fn logs(query: &LogQuery) -> Vec<StoredLine>;
    fn claim_cluster(id: &str, adopt: bool) -> ();
    fn ping() -> ();
}
