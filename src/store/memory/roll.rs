//! Who may lead a part of the shards.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::time::between;
use crate::store::{FORGET_AFTER, Member, Roll, TAKEOVER_AFTER, memory::Inner};

/// A row of `operators`.
pub(super) struct Operator {
    leaders: u32,
    joined: Timestamp,
    seen: Timestamp,
}

impl Inner {
    pub(super) fn attend(&mut self, holder: &str, leaders: u32, now: Timestamp) -> Roll {
        self.operators.retain(|_, other| between(other.seen, now) < FORGET_AFTER);
        let new = Operator { leaders, joined: now, seen: now };
        let own = self.operators.entry(holder.to_owned()).or_insert(new);
        if between(own.seen, now) >= TAKEOVER_AFTER {
            own.joined = now;
        }
        (own.leaders, own.seen) = (leaders, now);
        let there = self.operators.iter().filter(|(_, other)| between(other.seen, now) < TAKEOVER_AFTER);
        let ranks: BTreeSet<_> = there.map(|(holder, one)| (one.joined, holder, one.leaders)).collect();
        let member =
            |(_, holder, leaders): (Timestamp, &String, u32)| Member { holder: holder.clone(), leaders };
        let led = self.shards.iter().filter_map(|(shard, lead)| {
            let (holder, renewed) = lead.holder.as_ref()?;
            (between(*renewed, now) < TAKEOVER_AFTER).then(|| (*shard, holder.clone()))
        });
        Roll { led: led.collect(), members: ranks.into_iter().map(member).collect() }
    }

    pub(super) fn depart(&mut self, holder: &str) {
        self.operators.remove(holder);
        for lead in
            self.shards.values_mut().filter(|lead| lead.holder.as_ref().is_some_and(|(h, _)| h == holder))
        {
            lead.epoch += 1;
            lead.holder = None;
        }
    }
}
