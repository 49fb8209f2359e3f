//! Which READY task runs may be dispatched: `maxParallel` of the run and of each forEach.
//!
//! Places are counted from rows (offered, QUEUED, RUNNING), never kept apart, so none can leak. Of a forEach without a bound
//! of its own a part is offered at a time, or the conductor would hold what the run holds: more follow as these go out.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::engine::{Effect, Refused, Run, Slot};
use crate::model::{ids::TaskKey, status::TaskStatus, task::TaskNo};

/// Items of one forEach that are READY, with a place, and not dispatched: more than any commit dispatches.
const ADMITTED_MOST: usize = 5_000;

/// The places of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    /// READY and within their forEach's bound, by the time they became READY: they wait for the run's bound.
    eligible: BTreeSet<(Timestamp, TaskKey)>,
    /// Places taken: offered, QUEUED and RUNNING.
    used: usize,
    /// Tasks whose forEach may have both a free place and an item that waits for it.
    loose: BTreeSet<TaskNo>,
}

impl Run {
    /// A task run became READY and needs a worker.
    pub(super) fn ready(&mut self, key: TaskKey) {
        let at = self.row_of(key).and_then(Slot::ready_at).unwrap_or(self.sheet.now);
        match (key.item, &mut self.nodes[key.task as usize].group) {
            (Some(item), Some(group)) => {
                group.waiting.insert(at, item);
                self.offers.loose.insert(key.task);
            }
            _ => drop(self.offers.eligible.insert((at, key))),
        }
    }

    /// Offers as many as the bounds allow: once an event, by the time they became READY, so that a restart offers the same.
    pub(super) fn offer_waiting(&mut self) {
        if self.paused() {
            return;
        }
        while let Some(no) = self.offers.loose.pop_first() {
            self.admit_items(no);
        }
        let bound = self.workflow.max_parallel.map_or(usize::MAX, |max| max.max(1) as usize);
        while self.offers.used < bound {
            let Some((_, key)) = self.offers.eligible.pop_first() else { return };
            self.offers.used += 1;
            self.mark_offered(key, true);
            self.sheet.effect(Effect::Offer(key));
        }
    }

    /// Items of a forEach get its free places.
    fn admit_items(&mut self, no: TaskNo) {
        let bound = self.workflow.task(no).and_then(|t| t.for_each.as_ref()?.max_parallel);
        let bound = bound.map_or(u32::MAX, |max| max.max(1));
        let group_key = self.node(no).key;
        let Some(group) = &mut self.nodes[no as usize].group else { return };
        while group.used < bound && group.admitted < ADMITTED_MOST {
            let Some((at, item)) = group.waiting.pop_first() else { return };
            group.used += 1;
            group.admitted += 1;
            self.offers.eligible.insert((at, group_key.with_item(item)));
        }
    }

    /// An offered task run gets a place in the queue.
    pub(super) fn dispatched(&mut self, key: TaskKey) -> Result<(), Refused> {
        let row = self.row_of(key).ok_or(Refused::Unknown(key))?;
        let (status, current) = (row.status, row.attempt);
        if status != TaskStatus::Ready || !row.offered {
            return Err(Refused::Stale { key, attempt: current, status, current });
        }
        self.mark_offered(key, false);
        self.admitted_one_less(key);
        let attempt = current + 1;
        // The edge is of the new attempt, so that history tells which try was queued.
        self.touch(key).attempt = attempt;
        self.step(key, TaskStatus::Queued, None);
        self.sheet.effect(Effect::Publish(key));
        Ok(())
    }

    /// Takes every offer back: what is READY waits as it does in a run that was just restored.
    pub(super) fn call_in(&mut self) {
        let offered: Vec<TaskKey> =
            self.slots().filter(|(_, slot)| slot.offered).map(|(key, _)| key).collect();
        let eligible = std::mem::take(&mut self.offers.eligible);
        self.offers.used -= offered.len();
        for key in &offered {
            self.mark_offered(*key, false);
            self.sheet.effect(Effect::Withdraw(*key));
        }
        for key in offered.into_iter().chain(eligible.into_iter().map(|(_, key)| key)) {
            self.admitted_one_less(key);
            if let (Some(_), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
                group.used = group.used.saturating_sub(1);
            }
            self.ready(key);
        }
    }

    /// No column of the row, so nothing is to be written.
    fn mark_offered(&mut self, key: TaskKey, offered: bool) {
        let node = &mut self.nodes[key.task as usize];
        match (key.item, &mut node.group) {
            (Some(item), Some(group)) => group.items[item as usize].offered = offered,
            _ => node.row.offered = offered,
        }
    }

    /// An item that had a place is dispatched, or is READY no more: the next one may come.
    fn admitted_one_less(&mut self, key: TaskKey) {
        if let (Some(_), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
            group.admitted = group.admitted.saturating_sub(1);
            self.offers.loose.insert(key.task);
        }
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
        let Some(slot) = self.row_of(key) else { return };
        let (status, offered, at) = (slot.status, slot.offered, slot.ready_at().unwrap_or(self.sheet.now));
        if status == TaskStatus::Ready {
            if offered {
                self.offers.used -= 1;
                self.mark_offered(key, false);
                self.sheet.effect(Effect::Withdraw(key));
            } else if !self.offers.eligible.remove(&(at, key)) {
                if let (Some(item), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
                    group.waiting.remove(at, item);
                }
                return;
            }
            self.admitted_one_less(key);
        } else {
            self.offers.used = self.offers.used.saturating_sub(1);
        }
        if let (Some(_), Some(group)) = (key.item, &mut self.nodes[key.task as usize].group) {
            group.used = group.used.saturating_sub(1);
            self.offers.loose.insert(key.task);
        }
    }
}
