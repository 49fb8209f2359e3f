//! In which epochs one side of a queue leads, and of which pools.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::ids::ShardId;
use crate::queue::{Epochs, QueueError};

/// What a conductor said of its leadership.
#[derive(Debug, Default)]
pub(super) struct Reign {
    epochs: Mutex<Epochs>,
}

impl Reign {
    pub(super) fn set(&self, epochs: &Epochs) {
        self.epochs().clone_from(epochs);
    }

    /// The epoch of a pool's shard.
    pub(super) fn of(&self, pool: &str) -> Result<i64, QueueError> {
        let epoch = self.epochs().get(&ShardId::of_pool(pool)).copied();
        epoch.ok_or_else(|| QueueError::NotLed(pool.to_owned()))
    }

    /// Is the pool's shard led from here?
    pub(super) fn leads(&self, pool: &str) -> bool {
        self.epochs().contains_key(&ShardId::of_pool(pool))
    }

    /// Is any shard led from here?
    pub(super) fn any(&self) -> bool {
        !self.epochs().is_empty()
    }

    /// Every shard that is led from here, with its epoch.
    pub(super) fn all(&self) -> Epochs {
        self.epochs().clone()
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
