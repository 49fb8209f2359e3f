//! Looking at a run without changing it.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::{Node, Run};
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
    pub fn task_run(&self, key: TaskKey) -> Option<&TaskRow> {
        self.row_of(key)
    }

    /// A task's row of its newest round.
    pub fn newest(&self, no: TaskNo) -> Option<&TaskRow> {
        self.nodes.get(no as usize).map(|node| &node.row)
    }

    /// Every task run of the newest rounds: a task, then its items.
    pub fn task_runs(&self) -> impl Iterator<Item = &TaskRow> {
        fn items(node: &Node) -> &[TaskRow] {
            node.group.as_ref().map_or(&[], |g| &g.items)
        }
        self.nodes.iter().flat_map(|node| std::iter::once(&node.row).chain(items(node)))
    }

    /// The approvals given to a task in its newest round.
    pub fn approvals(&self, key: TaskKey) -> &[ApprovalRow] {
        self.nodes.get(key.task as usize).map_or(&[], |n| &n.approvals)
    }

    /// The element of a forEach item.
    pub fn element(&self, key: TaskKey) -> Option<&Value> {
        self.nodes.get(key.task as usize)?.group.as_ref()?.list.get(key.item? as usize)
    }
}
