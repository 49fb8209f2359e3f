//! A run in few words: the same of a live one and of one that is read from its rows.

use std::collections::BTreeMap;

use crate::engine::Run;
use crate::model::{
    ids::TaskKey,
    reason::Reason,
    run::RunRow,
    status::TaskStatus,
    task::{Task, TaskNo},
    task_run::{ApprovalRow, TaskRow},
    view::{Asking, Failure, RunView, VIEW_LIST_MAX},
    workflow::Workflow,
};

impl Run {
    /// What there is to say about it. `position`: that of its shard now.
    pub fn outline(&self, position: i64) -> RunView {
        let approvals = |row: &TaskRow| self.approvals(row.key).to_vec();
        let mut view = RunView::bare(self.row().clone(), position);
        for (key, slot) in self.slots() {
            // A run that was refused at birth has no rows, only places for them.
            if slot.status != TaskStatus::Pending || !self.row().status.is_final() {
                add(&mut view, self.workflow(), (key, slot.status), &|| slot.row(key), &approvals);
            }
        }
        view
    }
}

/// What there is to say about a run that is not live, from its rows.
pub fn outline(
    workflow: &Workflow,
    row: &RunRow,
    rows: &[TaskRow],
    approvals: &[ApprovalRow],
    position: i64,
) -> RunView {
    let mut newest: BTreeMap<(TaskNo, Option<u32>), &TaskRow> = BTreeMap::new();
    for row in rows {
        let place = newest.entry((row.key.task, row.key.item)).or_insert(row);
        if row.key.round > place.key.round {
            *place = row;
        }
    }
    let words = |row: &TaskRow| approvals.iter().filter(|a| a.key == row.key).cloned().collect();
    let mut view = RunView::bare(row.clone(), position);
    for row in newest.values() {
        add(&mut view, workflow, (row.key, row.status), &|| (*row).clone(), &words);
    }
    view
}

/// Adds a task run; most need no more than where they are.
fn add(
    view: &mut RunView,
    workflow: &Workflow,
    (key, status): (TaskKey, TaskStatus),
    row: &dyn Fn() -> TaskRow,
    words: &dyn Fn(&TaskRow) -> Vec<ApprovalRow>,
) {
    let Some(task) = workflow.task(key.task) else { return };
    if key.item.is_none() {
        *view.tasks.entry(status).or_default() += 1;
    }
    match status {
        TaskStatus::Blocked if view.askings.len() >= VIEW_LIST_MAX => view.more_askings += 1,
        TaskStatus::Blocked => {
            let row = row();
            view.askings.push(Asking {
                task: task.name.clone(),
                number: key.round,
                question: row.question(),
                required: task.approval.as_ref().map_or(1, |a| a.required.max(1)),
                words: words(&row),
                since: row.ready_at,
                until: row.due_at,
            });
        }
        TaskStatus::Failed => add_failure(view, task, row()),
        // A forEach has no job of its own.
        TaskStatus::Ready | TaskStatus::Queued if task.for_each.is_none() || key.item.is_some() => {
            let known = view.waits_for.contains(&task.pool);
            if !known && view.waits_for.len() < VIEW_LIST_MAX {
                view.waits_for.insert(task.pool.clone());
            }
        }
        _ => {}
    }
}

fn add_failure(view: &mut RunView, task: &Task, row: TaskRow) {
    // A forEach that failed says so by its items.
    if row.reason == Some(Reason::ItemFailed) {
        return;
    }
    if view.failures.len() >= VIEW_LIST_MAX {
        view.more_failures += 1;
        return;
    }
    view.failures.push(Failure {
        task: task.name.clone(),
        key: row.key,
        attempts: row.attempt,
        reason: row.reason,
        error: row.error,
        exit_code: row.exit_code,
    });
}
