//! Looking at a run without changing it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::engine::{Run, Slot};
use crate::model::{
    ids::TaskKey,
    run::RunRow,
    status::TaskStatus,
    task::TaskNo,
    task_run::{ApprovalRow, TaskRow},
    workflow::Workflow,
};

/// What a forEach is in the eyes of a rule, from the counts of its final items.
pub fn aggregate(failed: usize, cancelled: usize, success: usize) -> TaskStatus {
    match (failed, cancelled, success) {
        (1.., _, _) => TaskStatus::Failed,
        (0, 1.., _) => TaskStatus::Cancelled,
        (0, 0, 1..) => TaskStatus::Success,
        (0, 0, 0) => TaskStatus::Skipped,
    }
}

impl Run {
    /// Its row.
    pub fn row(&self) -> &RunRow {
        &self.row
    }

    /// Its revision.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// A task run of the newest rounds.
    pub fn task_run(&self, key: TaskKey) -> Option<TaskRow> {
        self.row_of(key).map(|slot| slot.row(key))
    }

    /// Where a task run of the newest rounds is, and its attempt.
    pub fn standing(&self, key: TaskKey) -> Option<(TaskStatus, u32)> {
        self.row_of(key).map(|slot| (slot.status, slot.attempt))
    }

    /// When it last became READY.
    pub fn ready_since(&self, key: TaskKey) -> Option<Timestamp> {
        self.row_of(key)?.ready_at()
    }

    /// A task's row of its newest round.
    pub fn newest(&self, no: TaskNo) -> Option<TaskRow> {
        self.nodes.get(no as usize).map(|node| node.row.row(node.key))
    }

    /// Every task run of the newest rounds: a task, then its items. The list of a forEach that runs is left out of its row.
    pub fn task_runs(&self) -> impl Iterator<Item = TaskRow> {
        self.slots().map(|(key, slot)| slot.row(key))
    }

    /// Where each of them is.
    pub fn places(&self) -> impl Iterator<Item = (TaskKey, TaskStatus)> {
        self.slots().map(|(key, slot)| (key, slot.status))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (TaskKey, &Slot)> {
        self.nodes.iter().flat_map(|node| {
            let items: &[Slot] = node.group.as_ref().map_or(&[], |group| &group.items);
            let items = items.iter().enumerate().map(|(item, slot)| (node.key.with_item(item as u32), slot));
            std::iter::once((node.key, &node.row)).chain(items)
        })
    }

    /// The approvals given to a task in its newest round.
    pub fn approvals(&self, key: TaskKey) -> &[ApprovalRow] {
        self.nodes.get(key.task as usize).map_or(&[], |n| &n.approvals)
    }

    /// The element of a forEach item.
    pub fn element(&self, key: TaskKey) -> Option<Value> {
        self.nodes.get(key.task as usize)?.group.as_ref()?.list.get(key.item? as usize)
    }
}
