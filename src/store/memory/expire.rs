//! Retention in memory: beside the bound on their number, finished runs go by their age.

use async_trait::async_trait;

use crate::model::ids::RunId;
use crate::store::{
    Cursor, Expiry, Removed, StoreError, Upkeep,
    memory::{Inner, MemoryStore},
};

#[async_trait]
impl Upkeep for MemoryStore {
    /// There are no days here.
    async fn add_days(&self) -> Result<u32, StoreError> {
        Ok(0)
    }

    /// Revisions stay: they go with the process.
    async fn expire(&self, ask: &Expiry, _: Cursor) -> Result<(Removed, Option<Cursor>), StoreError> {
        Ok(self.inner().expire(ask))
    }
}

impl Inner {
    fn expire(&mut self, ask: &Expiry) -> (Removed, Option<Cursor>) {
        let led = |id: &RunId| {
            let run = self.runs.get(id).map(|kept| &kept.run);
            run.is_some_and(|run| {
                let own = ask.fences.iter().find(|fence| fence.shard == run.shard());
                own.is_some_and(|fence| self.check_epoch(fence).is_ok())
                    && run.status.is_final()
                    && run.finished_at.is_some_and(|at| at < ask.before)
            })
        };
        let due: Vec<RunId> = self.finished.iter().filter(|id| led(id)).cloned().collect();
        let mut removed = Removed::default();
        let mut left = due.iter();
        // Whole runs: the last one may be more than was asked for.
        while removed.task_runs + removed.runs < u64::from(ask.rows.max(1)) {
            let Some(id) = left.next() else { return (removed, None) };
            removed.runs += 1;
            removed.task_runs += self.runs.get(id).map_or(0, |kept| kept.tasks.len() as u64);
            self.finished.retain(|other| other != id);
            self.forget(id);
        }
        (removed, left.next().map(|_| Cursor::default()))
    }
}
