//! Which READY task runs may be dispatched: `maxParallel` of the run and of each forEach.
//!
//! Places are counted from rows (offered, QUEUED, RUNNING), never kept apart, so none can leak.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::{Effect, Refused, Run};
use crate::model::{ids::TaskKey, status::TaskStatus};

/// The places of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    /// READY and within their forEach's bound, by the time they became READY: they wait for the run's bound.
    eligible: BTreeSet<(Timestamp, TaskKey)>,
    /// READY and offered.
    offered: BTreeMap<TaskKey, Timestamp>,
    /// Places taken: offered, QUEUED and RUNNING.
    used: usize,
}

impl Run {
    /// A task run became READY and needs a worker.
    pub(super) fn ready(&mut self, key: TaskKey) {
        let at = self.row_of(key).and_then(|r| r.ready_at).unwrap_or(self.sheet.now);
        if let Some(item) = key.item {
            let bound = self.workflow.task(key.task).and_then(|t| t.for_each.as_ref()?.max_parallel);
            if let Some(group) = &mut self.nodes[key.task as usize].group {
                if bound.is_some_and(|max| group.used >= max) {
                    group.waiting.insert(item);
                    return;
                }
                group.used += 1;
            }
        }
        self.offers.eligible.insert((at, key));
    }

    /// Offers as many as the run's bound allows.
    pub(super) fn offer_waiting(&mut self) {
        let bound = self.workflow.max_parallel.map_or(usize::MAX, |max| max as usize);
        while self.offers.used < bound {
            let Some((at, key)) = self.offers.eligible.pop_first() else { return };
            self.offers.used += 1;
            self.offers.offered.insert(key, at);
            self.sheet.effect(Effect::Offer(key));
        }
    }

    /// An offered task run gets a place in the queue.
    pub(super) fn dispatched(&mut self, key: TaskKey) -> Result<(), Refused> {
        let row = self.row_of(key).ok_or(Refused::Unknown(key))?;
        let (status, current) = (row.status, row.attempt);
        if status != TaskStatus::Ready || self.offers.offered.remove(&key).is_none() {
            return Err(Refused::Stale { key, attempt: current, status, current });
        }
        let attempt = current + 1;
        // The edge is of the new attempt, so that history tells which try was queued.
        self.touch(key).attempt = attempt;
        self.step(key, TaskStatus::Queued, None);
        self.sheet.effect(Effect::Publish(key));
        Ok(())
    }

    /// A restored row holds a place already.
    pub(super) fn occupy(&mut self, key: TaskKey) {
        self.offers.used += 1;
        if let (Some(_), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
            group.used += 1;
        }
    }

    /// A task run gives its place back: called before it leaves READY otherwise than by dispatch, QUEUED or RUNNING.
    pub(super) fn vacate(&mut self, key: TaskKey) {
        let Some((status, at)) = self.row_of(key).map(|r| (r.status, r.ready_at)) else { return };
        let in_group = key.item.is_some();
        if status == TaskStatus::Ready {
            let at = at.unwrap_or(self.sheet.now);
            if self.offers.offered.remove(&key).is_some() {
                self.offers.used -= 1;
                self.sheet.effect(Effect::Withdraw(key));
            } else if !self.offers.eligible.remove(&(at, key)) {
                if let (Some(item), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
                    group.waiting.remove(&item);
                }
                return;
            }
        } else {
            self.offers.used = self.offers.used.saturating_sub(1);
        }
        if in_group {
            self.next_item(key.task);
        }
    }

    /// A place of a forEach is free: its next item gets it.
    fn next_item(&mut self, no: u32) {
        let round = self.node(no).row.key;
        let Some(group) = &mut self.nodes[no as usize].group else { return };
        group.used = group.used.saturating_sub(1);
        if let Some(item) = group.waiting.pop_first() {
            self.ready(round.with_item(item));
        }
    }
}
