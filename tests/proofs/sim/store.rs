//! The store as one conductor sees it, with everything that a network and a database can do to it.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use relay::{
    model::{
        change::{Batch, Fence},
        head::Head,
        ids::{RunId, ShardId, TaskRunId, WorkflowId},
        log::{LogLine, LogQuery, StoredLine},
        task_run::AttemptRow,
    },
    store::{
        Entity, HistoryRow, Leadership, Revision, Roll, RunRecord, Store, StoreError, memory::MemoryStore,
    },
};

use super::{
    faults::{Fault, Faults},
    world::{Mutation, pass},
};

pub struct FaultyStore {
    pub faults: Faults,
    pub store: Arc<MemoryStore>,
}

fn unavailable(_done: bool) -> StoreError {
    StoreError::unreachable("the simulation says so")
}

impl FaultyStore {
    async fn up(&self) -> Result<(), StoreError> {
        let shared = &self.faults.shared;
        shared.travel().await;
        if shared.store_outage.lasts(shared.clock.now()) { Err(unavailable(false)) } else { Ok(()) }
    }

    async fn through<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.up().await?;
        self.faults.through(verb, call, unavailable).await
    }

    async fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.poisoned(batch)?;
        if self.faults.shared.settings.mutation == Some(Mutation::NoStoreFence) {
            let mut batch = batch.clone();
            for fence in batch.fences.values_mut() {
                *fence = self.store.position(fence.shard).await?;
            }
            return self.written(&batch).await;
        }
        self.written(batch).await
    }

    async fn written(&self, batch: &Batch) -> Result<(), StoreError> {
        let done = self.store.commit(batch).await;
        if done.is_ok() {
            self.faults.shared.wrote(&self.faults.life, batch);
        }
        done
    }

    fn poisoned(&self, batch: &Batch) -> Result<(), StoreError> {
        let shared = &self.faults.shared;
        let spreads = shared.settings.mutation == Some(Mutation::PoisonSpreads) && shared.any_poisoned();
        let culprit = batch.runs.keys().find(|run| shared.is_poisoned(run) || spreads);
        if culprit.is_some() {
            shared.count(("a poisoned row", "commit"));
        }
        culprit.map_or(Ok(()), |run| Err(StoreError::Refused(format!("{run}: a poisoned row"))))
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn lead(&self, shards: &[ShardId], holder: &str) -> Result<Leadership, StoreError> {
        let leading = async {
            let answer = self.store.lead(shards, holder).await;
            if let Ok(Leadership::Won(fences)) = &answer {
                fences.values().for_each(|fence| self.faults.shared.won(&self.faults.life, fence));
            }
            answer
        };
        self.through("lead", leading).await
    }

    async fn renew(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.through("renew", self.store.renew(fences)).await
    }

    async fn release(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.through("release", self.store.release(fences)).await
    }

    async fn attend(&self, holder: &str, leaders: u32) -> Result<Roll, StoreError> {
        self.through("attend", self.store.attend(holder, leaders)).await
    }

    async fn depart(&self, holder: &str) -> Result<(), StoreError> {
        self.through("depart", self.store.depart(holder)).await
    }

    async fn raise(&self, fence: &Fence, to: i64) -> Result<Fence, StoreError> {
        self.through("raise", self.store.raise(fence, to)).await
    }

    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError> {
        self.through("position", self.store.position(shard)).await
    }

    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError> {
        self.through("put_revision", self.store.put_revision(revision)).await
    }

    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError> {
        self.through("revision", self.store.revision(id)).await
    }

    async fn put_head(&self, head: &Head, fence: &Fence) -> Result<(), StoreError> {
        self.through("put_head", self.store.put_head(head, fence)).await
    }

    async fn drop_head(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), StoreError> {
        self.through("drop_head", self.store.drop_head(namespace, name, fence)).await
    }

    async fn head(&self, namespace: &str, name: &str) -> Result<Option<Head>, StoreError> {
        self.through("head", self.store.head(namespace, name)).await
    }

    async fn head_names(
        &self,
        after: Option<(String, String)>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.through("head_names", self.store.head_names(after, limit)).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.up().await?;
        let unknown = || StoreError::Unknown("the simulation says so".to_owned());
        let fault = self.faults.roll("commit");
        if matches!(fault, Fault::DiesBefore) {
            return self.faults.life.die().await;
        }
        match fault {
            Fault::None | Fault::DiesBefore | Fault::Lost | Fault::Again(_) => self.write(batch).await,
            Fault::Slow(wait) => {
                pass(wait).await;
                self.write(batch).await
            }
            Fault::Freezes(wait) => {
                self.faults.freeze(wait).await;
                self.write(batch).await
            }
            Fault::Before if self.faults.shared.dice.chance(500) => Err(unavailable(false)),
            Fault::Before => Err(unknown()),
            Fault::After => {
                self.write(batch).await?;
                Err(unknown())
            }
            Fault::DiesAfter => {
                drop(self.write(batch).await);
                self.faults.life.die().await
            }
            // Still on its way while the conductor asks what became of it.
            Fault::Late(wait) => {
                let late = FaultyStore { faults: self.faults.clone(), store: self.store.clone() };
                let batch = batch.clone();
                self.faults.shared.later(async move {
                    pass(wait).await;
                    let landed = late.write(&batch).await;
                    late.faults.shared.trace.say(format!("a late commit came: {landed:?}"));
                });
                Err(unknown())
            }
        }
    }

    async fn live_runs(&self, shard: ShardId) -> Result<Vec<RunId>, StoreError> {
        self.through("live_runs", self.store.live_runs(shard)).await
    }

    async fn runs(&self, ids: &[RunId]) -> Result<Vec<Result<Option<RunRecord>, StoreError>>, StoreError> {
        self.through("runs", self.store.runs(ids)).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.through("run", self.store.run(id)).await
    }

    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError> {
        self.through("history", self.store.history(entity, limit)).await
    }

    async fn attempts(&self, task: &TaskRunId, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
        self.through("attempts", self.store.attempts(task, limit)).await
    }

    async fn transitions(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.through("transitions", self.store.transitions(shard, after, limit)).await
    }

    async fn which_are_there(&self, ids: &[RunId]) -> Result<BTreeSet<RunId>, StoreError> {
        self.through("which_are_there", self.store.which_are_there(ids)).await
    }

    async fn find_runs(&self, namespace: &str, name: &str, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.through("find_runs", self.store.find_runs(namespace, name, limit)).await
    }

    async fn put_logs(&self, lines: &[LogLine]) -> Result<usize, StoreError> {
        self.through("put_logs", self.store.put_logs(lines)).await
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError> {
        self.through("logs", self.store.logs(query)).await
    }

    async fn claim_cluster(&self, id: &str, adopt: bool) -> Result<(), StoreError> {
        self.through("claim_cluster", self.store.claim_cluster(id, adopt)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.through("ping", self.store.ping()).await
    }
}
