//! Which shards a process should lead where several do. Pure: the same roll gives each process a part of its own, and all parts
//! together are every shard.

use std::collections::BTreeSet;

use crate::model::ids::ShardId;
use crate::store::{Member, Roll};

/// What the roll comes to for one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    /// So many shards are its own.
    own: usize,
    /// Whoever has more than so many gives some up: for a remainder alone nobody does.
    most: usize,
    /// The first shard that it would rather have than others.
    first: usize,
}

/// What `holder` should lead, which leads `held` now. Of those it keeps what it may; beyond them it takes only what nobody
/// leads. Processes that come at once each take the free shards from a place of their own on, so that they seldom meet.
pub fn share(roll: &Roll, holder: &str, held: &BTreeSet<ShardId>) -> BTreeSet<ShardId> {
    // Whoever is not on the roll has not been heard: nothing is known of its rank.
    let Some(rank) = roll.members.iter().position(|member| member.holder == holder) else {
        return held.clone();
    };
    let quota = quota(rank, &roll.members);
    let nearest = |shards: &mut Vec<ShardId>| {
        let all = usize::from(ShardId::COUNT);
        shards.sort_by_key(|shard| (usize::from(shard.number()) + all - quota.first) % all);
    };
    let mut mine: Vec<ShardId> = held.iter().copied().collect();
    nearest(&mut mine);
    if mine.len() > quota.most {
        mine.truncate(quota.own);
    }
    let is_free =
        |shard: &ShardId| !held.contains(shard) && roll.led.get(shard).is_none_or(|leader| leader == holder);
    let mut free: Vec<ShardId> = every_shard().filter(is_free).collect();
    nearest(&mut free);
    let room = quota.own.saturating_sub(mine.len());
    mine.into_iter().chain(free.into_iter().take(room)).collect()
}

/// All of them.
pub fn every_shard() -> impl Iterator<Item = ShardId> {
    (0..ShardId::COUNT).filter_map(ShardId::new)
}

fn quota(rank: usize, members: &[Member]) -> Quota {
    // Two may have been told otherwise, in the middle of an upgrade: the fewest that anybody was told holds for all.
    let leaders = members.iter().map(|member| member.leaders as usize).min().unwrap_or(1);
    let parts = leaders.clamp(1, members.len().max(1));
    let all = usize::from(ShardId::COUNT);
    let (each, more) = (all / parts, all % parts);
    match rank < parts {
        true => Quota {
            own: each + usize::from(rank < more),
            most: each + usize::from(more > 0),
            first: rank * each + rank.min(more),
        },
        false => Quota { own: 0, most: 0, first: 0 },
    }
}
