//! What is done beside the runs, now and then, for the shards that are led: days are made ahead, and what ended long ago goes.
//!
//! A pass is made of short steps. After each it rests for a multiple of the time that the step took, so it takes a share of
//! what the store can do, and a smaller one of a store that is busy.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::Outlook;
use crate::model::{change::Fence, ids::ShardId};
use crate::store::{Cursor, Expiry, Removed, StoreError, Upkeep};

/// From the end of a pass to the next.
const PASS_EVERY: Duration = Duration::from_secs(600);
/// From a pass that failed to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Rows that one step removes.
const ROWS: u32 = 100;
/// A step's own time is followed by so many times as long a rest, ...
const RESTS: u32 = 9;
/// ... which is at least so long.
const REST: Duration = Duration::from_millis(20);

/// Looks after a store for whoever leads.
pub struct Housekeeping {
    /// The store.
    pub store: Arc<dyn Upkeep>,
    /// The time.
    pub clock: Clock,
    /// Says what is led, while it is.
    pub outlook: Arc<Outlook>,
    /// The shards that may be.
    pub shards: BTreeSet<ShardId>,
    /// How long what ended is kept; none: for ever.
    pub retention: Option<Duration>,
}

impl Housekeeping {
    /// Works until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            let passed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                passed = self.pass() => passed,
            };
            let wait = match passed {
                Ok(()) => {
                    failing = false;
                    PASS_EVERY
                }
                Err(_) if failing => AGAIN_AFTER,
                Err(error) => {
                    failing = true;
                    tracing::warn!(%error, error.label = error.label(), "Old runs cannot be removed, or days not be made, for now");
                    AGAIN_AFTER
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    /// Does all that there is to do once, and says what was removed.
    async fn pass(&self) -> Result<(), StoreError> {
        if self.fences().is_empty() {
            return Ok(());
        }
        // Whether or not there is room for the days to come, what is too old goes.
        let made = self.store.add_days().await.map(|made| {
            if made > 0 {
                tracing::debug!(made, "Days of history and logs were made ahead");
            }
        });
        let Some(before) = self.retention.and_then(|keep| earlier(self.clock.now(), keep)) else {
            return made;
        };
        let mut removed = Removed::default();
        let ended = self.expire(before, &mut removed).await;
        if removed != Removed::default() {
            tracing::info!(
                runs = removed.runs,
                task_runs = removed.task_runs,
                revisions = removed.revisions,
                days = removed.days,
                rows = removed.rows,
                ended_before = %before,
                "What ended long ago was removed, as --retention says"
            );
        }
        made.and(ended)
    }

    async fn expire(&self, before: Timestamp, removed: &mut Removed) -> Result<(), StoreError> {
        let mut cursor = Cursor::default();
        loop {
            let fences = self.fences();
            if fences.is_empty() {
                // Another one leads by now.
                return Ok(());
            }
            let began = self.clock.running();
            match self.step(Expiry { fences, before, rows: ROWS }, cursor, removed).await? {
                ControlFlow::Continue(next) => cursor = next,
                ControlFlow::Break(()) => return Ok(()),
            }
            let took = self.clock.running().saturating_sub(began);
            self.clock.sleep((took * RESTS).max(REST)).await;
        }
    }

    async fn step(
        &self,
        ask: Expiry,
        cursor: Cursor,
        removed: &mut Removed,
    ) -> Result<ControlFlow<(), Cursor>, StoreError> {
        let (more, next) = self.store.expire(&ask, cursor).await?;
        *removed = removed.and(more);
        Ok(next.map_or(ControlFlow::Break(()), ControlFlow::Continue))
    }

    /// Of the shards those that it is certain are led.
    fn fences(&self) -> Vec<Fence> {
        self.shards.iter().filter_map(|shard| self.outlook.fence(*shard)).collect()
    }
}

/// None where that is before all time: nothing ended then.
fn earlier(now: Timestamp, keep: Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(keep).ok()?).ok()
}
