//! A run again from its rows: everything else in memory follows from them.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use crate::engine::{
    Effect, Group, List, Node, Plan, Refused, Run, Slot, Timer, offer::Offers, sheet::Sheet,
};
use crate::model::{
    ids::TaskKey,
    reason::Reason,
    run::{Actor, RunRow},
    status::TaskStatus,
    task::TaskNo,
    task_run::{ApprovalRow, TaskRow},
    workflow::Workflow,
};

impl Run {
    /// A run without a history: every task PENDING.
    pub(super) fn bare(workflow: Arc<Workflow>, row: RunRow, now: Timestamp) -> Run {
        let node = |no: usize| Node {
            key: TaskKey::of_task(no as TaskNo),
            row: Slot::new(now),
            open: workflow.tasks[no].depends_on.len() as u32,
            failed: 0,
            skipped: 0,
            group: None,
            approvals: Vec::new(),
            document: Default::default(),
        };
        let count = |finally| workflow.tasks.iter().filter(|t| t.finally == finally).count();
        Run {
            nodes: (0..workflow.tasks.len()).map(node).collect(),
            timers: BTreeSet::new(),
            offers: Offers::default(),
            open_main: count(false),
            open_finally: count(true),
            main_failed: false,
            finally_failed: false,
            rows: workflow.tasks.len(),
            ended: Default::default(),
            workers: BTreeSet::new(),
            sheet: Sheet::new(now),
            row,
            workflow,
        }
    }

    /// The run of these rows. The plan writes nothing in the normal case; its effects are what was left to be done.
    pub fn restore(
        workflow: Arc<Workflow>,
        row: RunRow,
        tasks: Vec<TaskRow>,
        approvals: Vec<ApprovalRow>,
        now: Timestamp,
    ) -> Result<(Run, Plan), Refused> {
        let ended = row.status.is_final();
        let mut run = Run::bare(workflow, row, now);
        run.sheet.open(now, Actor::Engine);
        run.place(tasks)?;
        for word in approvals {
            let node = run.nodes.get_mut(word.key.task as usize);
            if let Some(node) = node.filter(|n| n.key.round == word.key.round) {
                node.approvals.push(word);
            }
        }
        run.recount();
        if ended {
            return run.take_plan().map(|plan| (run, plan));
        }
        run.arm();
        run.stop_again();
        for no in 0..run.nodes.len() {
            run.settle(no as TaskNo);
        }
        run.close().map(|plan| (run, plan))
    }

    /// Puts each row in its place: tasks and groups of the newest round first, then items by index.
    fn place(&mut self, mut tasks: Vec<TaskRow>) -> Result<(), Refused> {
        tasks.sort_by_key(|t| (t.key.task, t.key.round, t.key.item));
        self.rows = tasks.len();
        for row in tasks {
            let key = row.key;
            let node = self.nodes.get_mut(key.task as usize).ok_or(Refused::Unknown(key))?;
            match key.item {
                None => {
                    let of_each = self.workflow.tasks[key.task as usize].for_each.is_some();
                    let list = row.input.as_ref().filter(|_| of_each).and_then(List::of);
                    node.group = list.map(|list| Box::new(Group::new(list)));
                    (node.key, node.row) = (key, Slot::of(row));
                    self.unpack_no_more(key);
                }
                Some(item) => {
                    let group = node.group.as_mut().ok_or(Refused::Unknown(key))?;
                    if group.items.len() != item as usize {
                        return Err(Refused::Unknown(key));
                    }
                    group.bear(Slot::of(row));
                }
            }
        }
        for node in &mut self.nodes {
            let Some(group) = &mut node.group else { continue };
            self.rows += group.list.len() - group.items.len().min(group.list.len());
            let statuses: Vec<TaskStatus> = group.items.iter().map(|i| i.status).collect();
            group.open = statuses.iter().filter(|s| !s.is_final()).count();
            statuses.into_iter().for_each(|s| group.count(s));
        }
        Ok(())
    }

    /// Counts again what final tasks mean for their dependents and for the run.
    fn recount(&mut self) {
        for no in 0..self.nodes.len() as TaskNo {
            if self.node(no).row.status.is_final() {
                self.count_ended(no);
            }
        }
    }

    /// Timers, places and effects, as the rows ask for them.
    fn arm(&mut self) {
        self.arm_run_timers();
        let keys: Vec<TaskKey> = self.places().map(|(key, _)| key).collect();
        let mut ready: Vec<(Option<Timestamp>, TaskKey)> = Vec::new();
        for key in keys {
            let Some(row) = self.row_of(key) else { continue };
            let group = key.item.is_none() && self.node(key.task).group.is_some();
            match row.status {
                TaskStatus::Ready => ready.push((row.ready_at(), key)),
                TaskStatus::Blocked | TaskStatus::Retrying => {
                    if let Some(due) = row.due_at() {
                        self.timers.insert((due, Timer::Task(key)));
                    }
                }
                TaskStatus::Running if group && self.more_items(self.workflow.at(key.task)) => {
                    self.sheet.effect(Effect::Expand(key));
                }
                TaskStatus::Running if group => {}
                TaskStatus::Queued | TaskStatus::Running => self.arm_live(key),
                _ => {}
            }
        }
        ready.sort();
        for (_, key) in ready {
            self.ready(key);
        }
    }

    fn arm_live(&mut self, key: TaskKey) {
        self.occupy(key);
        let queued = self.row_of(key).is_some_and(|r| r.status == TaskStatus::Queued);
        if queued && self.unwanted(key).is_none() {
            self.sheet.effect(Effect::Republish(key));
        }
    }

    /// Asks again for what was asked when the run, a part of it or a forEach was stopped, or the run paused.
    fn stop_again(&mut self) {
        for finally in [false, true] {
            if let Some(reason) = self.part_halted(finally) {
                self.halt(finally, reason, Run::kills(reason));
            }
        }
        let workflow = self.workflow.clone();
        for task in &workflow.tasks {
            if self.part_halted(task.finally).is_none() && self.sealed(task) {
                self.halt_items(task.no, Reason::FailFast, false);
            }
        }
        if self.paused() {
            self.take_back_queued();
        }
    }
}
