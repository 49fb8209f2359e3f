//! READY task runs wait here by rank; only a window of each pool is QUEUED, so that a cancel acts at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::conductor::{Conductor, commit::Draft};
use crate::engine::Event;
use crate::model::ids::{RunId, TaskKey};

/// Jobs that are QUEUED for each slot of a pool's workers, where that is more than the usual window, ...
const WINDOW_A_SLOT: usize = 4;
/// ... and never more than this, however many slots there are.
const WINDOW_MOST: usize = 50_000;

type Place = (i64, RunId, TaskKey);

/// The READY tasks of every pool, and how many are QUEUED or RUNNING in each.
#[derive(Default)]
pub(super) struct Ready {
    pools: BTreeMap<String, BTreeSet<Place>>,
    by_key: BTreeMap<(RunId, TaskKey), (String, i64)>,
}

impl Ready {
    pub(super) fn offer(&mut self, pool: String, rank: i64, run: &RunId, key: TaskKey) {
        self.withdraw(run, key);
        self.pools.entry(pool.clone()).or_default().insert((rank, run.clone(), key));
        self.by_key.insert((run.clone(), key), (pool, rank));
    }

    pub(super) fn withdraw(&mut self, run: &RunId, key: TaskKey) {
        let Some((pool, rank)) = self.by_key.remove(&(run.clone(), key)) else { return };
        if let Some(waiting) = self.pools.get_mut(&pool) {
            waiting.remove(&(rank, run.clone(), key));
            if waiting.is_empty() {
                self.pools.remove(&pool);
            }
        }
    }

    /// How many wait in each pool.
    pub(super) fn count(&self, mut tell: impl FnMut(&str, usize)) {
        self.pools.iter().for_each(|(pool, waiting)| tell(pool, waiting.len()));
    }

    /// Forgets a run: it is final, or will be loaded again.
    pub(super) fn forget(&mut self, run: &RunId) {
        let from = (run.clone(), TaskKey { task: 0, item: None, round: 0 });
        let keys: Vec<TaskKey> =
            self.by_key.range(from..).take_while(|((r, _), _)| r == run).map(|((_, key), _)| *key).collect();
        for key in keys {
            self.withdraw(run, key);
        }
    }

    /// Takes the `most` places of smallest rank out.
    fn take(&mut self, pool: &str, most: usize, only: Option<&BTreeSet<RunId>>) -> Vec<(RunId, TaskKey)> {
        let Some(waiting) = self.pools.get(pool) else { return Vec::new() };
        let chosen = waiting.iter().filter(|(_, run, _)| only.is_none_or(|runs| runs.contains(run)));
        let chosen: Vec<(RunId, TaskKey)> =
            chosen.take(most).map(|(_, run, key)| (run.clone(), *key)).collect();
        for (run, key) in &chosen {
            self.withdraw(run, *key);
        }
        chosen
    }
}

impl Conductor {
    /// Gives READY tasks places in the queue, smallest rank first, as far as the window and the batch allow;
    /// with `only`, those of these runs.
    pub(super) fn dispatch(&mut self, draft: &mut Draft, only: Option<&BTreeSet<RunId>>) {
        let pools: Vec<String> = self.ready.pools.keys().cloned().collect();
        for pool in pools {
            let room = self.window(&pool).saturating_sub(self.outbox.in_queue(&pool));
            let room = room.min((2 * self.limits.batch).saturating_sub(draft.size()));
            for (run, key) in self.ready.take(&pool, room, only) {
                if let Err(refused) = self.apply(draft, &run, Event::Dispatched(key)) {
                    tracing::warn!(run.id = %run, error = %refused, "An offered task could not be dispatched");
                }
            }
        }
    }

    /// Jobs of a pool that are QUEUED at a time: enough that no worker of it waits for the next commit.
    fn window(&self, pool: &str) -> usize {
        let slots = self.outlook.as_ref().map_or(0, |outlook| outlook.slots(pool));
        self.limits.window.max(slots.saturating_mul(WINDOW_A_SLOT).min(WINDOW_MOST))
    }

    /// Is something READY that could be dispatched now?
    pub(super) fn can_dispatch(&self) -> bool {
        self.ready.pools.keys().any(|pool| self.outbox.in_queue(pool) < self.window(pool))
    }
}
