//! Who leads, as the store gave it, and who may not believe any longer that he does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use relay::{
    conductor::{Handle, Outlook},
    model::{
        change::Fence,
        ids::{RunId, ShardId},
    },
    queue::Epochs,
};

use super::{
    life::Life,
    world::{Shared, lock},
};

/// Who leads, as the store saw it.
#[derive(Default)]
pub struct Reign {
    newest: u64,
    /// By shard: the incarnation that won the epoch.
    epochs: BTreeMap<(ShardId, i64), u64>,
    /// By shard: who won it last.
    latest: BTreeMap<ShardId, u64>,
    handle: BTreeMap<u64, Handle>,
    lives: BTreeMap<u64, Arc<Life>>,
    outlooks: BTreeMap<u64, Arc<Outlook>>,
}

impl Shared {
    /// A conductor is born.
    pub fn enthrone(&self, life: &Arc<Life>, handle: Handle, outlook: Arc<Outlook>) {
        let mut reign = lock(&self.reign);
        reign.outlooks.insert(life.number, outlook);
        reign.handle.insert(life.number, handle);
        reign.lives.insert(life.number, life.clone());
    }

    /// A conductor won a shard: nobody else may believe any longer that he leads it, asleep or awake.
    pub fn won(&self, life: &Life, fence: &Fence) {
        self.trace.say(format!("{} leads {} in epoch {}", life.name, fence.shard.number(), fence.epoch));
        let mut reign = lock(&self.reign);
        for (number, outlook) in reign.outlooks.iter().filter(|(number, _)| **number != life.number) {
            if let Some(old) = outlook.fence(fence.shard) {
                self.trace
                    .wrong(format!("c{number} trusts in epoch {}, and {} is won", old.epoch, fence.epoch));
            }
        }
        if let Some(other) = reign.epochs.insert((fence.shard, fence.epoch), life.number) {
            self.trace.wrong(format!("epoch {} was won by {other} and {}", fence.epoch, life.number));
        }
        reign.newest = life.number;
        reign.latest.insert(fence.shard, life.number);
    }

    /// By which people speak to the leader of a run's shard.
    pub fn leader_of(&self, run: &RunId) -> Option<(Handle, Arc<Life>)> {
        let shard = self.shards.get(run)?;
        let reign = lock(&self.reign);
        let number = reign.latest.get(shard)?;
        Some((reign.handle.get(number)?.clone(), reign.lives.get(number)?.clone()))
    }

    /// Whoever won a shard last, one by one.
    pub fn leaders(&self) -> Vec<Arc<Life>> {
        let reign = lock(&self.reign);
        let numbers: BTreeSet<u64> = reign.latest.values().copied().collect();
        numbers.iter().filter_map(|number| reign.lives.get(number)).cloned().collect()
    }

    /// The number of who won a shard last.
    pub fn won_last(&self, shard: ShardId) -> Option<u64> {
        lock(&self.reign).latest.get(&shard).copied()
    }

    /// The newest epoch of each shard, as the store gave it.
    pub fn newest_epochs(&self) -> Epochs {
        lock(&self.reign).epochs.keys().copied().collect()
    }

    /// By which people speak to the leader.
    pub fn leader(&self) -> Option<(Handle, Arc<Life>)> {
        let reign = lock(&self.reign);
        Some((reign.handle.get(&reign.newest)?.clone(), reign.lives.get(&reign.newest)?.clone()))
    }

    /// Every conductor that ever was.
    pub fn conductors(&self) -> Vec<Arc<Life>> {
        lock(&self.reign).lives.values().cloned().collect()
    }

    /// All is said: those who knew of each other would keep each other in memory for ever.
    pub fn part(&self) {
        *lock(&self.reign) = Reign::default();
    }

    /// Did this one win the epoch?
    pub fn is_of(&self, life: &Life, fence: &Fence) -> bool {
        lock(&self.reign).epochs.get(&(fence.shard, fence.epoch)) == Some(&life.number)
    }
}
