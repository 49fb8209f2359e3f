//! forEach: items are born in chunks, in index order, until the list is through or nothing new may start.

use crate::engine::{EXPAND_CHUNK, Effect, Group, List, Refused, Run, Slot, Waiting, advance, scope, view};
use crate::model::{
    expr::Scope,
    ids::TaskKey,
    reason::Reason,
    status::TaskStatus,
    task::{Task, TaskNo},
};

impl Group {
    pub(super) fn new(list: List) -> Group {
        Group {
            list,
            items: Vec::new(),
            open: 0,
            success: 0,
            failed: 0,
            cancelled: 0,
            used: 0,
            admitted: 0,
            waiting: Waiting::default(),
        }
    }

    /// One more item. What it was told is what the one before it was told, as often as not.
    pub(super) fn bear(&mut self, mut item: Slot) {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(self.list.len());
        }
        if let Some(before) = self.items.last().filter(|before| before.input == item.input) {
            item.input = before.input.clone();
        }
        self.items.push(item);
    }

    /// Counts an item that is, or was just made, final.
    pub(super) fn count(&mut self, status: TaskStatus) {
        match status {
            TaskStatus::Success => self.success += 1,
            TaskStatus::Failed => self.failed += 1,
            TaskStatus::Cancelled => self.cancelled += 1,
            _ => {}
        }
    }
}

impl Run {
    /// Goes on with a group whose last items are committed.
    pub(super) fn expand_further(&mut self, key: TaskKey) -> Result<(), Refused> {
        self.row_of(key).filter(|_| key.item.is_none()).ok_or(Refused::Unknown(key))?;
        self.expand(key.task);
        Ok(())
    }

    /// Bears the next items of a group, or ends the group when there is nothing more to come.
    pub(super) fn expand(&mut self, no: TaskNo) {
        let workflow = self.workflow.clone();
        let task = workflow.at(no);
        let group_key = self.node(no).key;
        if self.node(no).row.status != TaskStatus::Running {
            return;
        }
        // Put together once: a clone shares what it holds.
        let base = self.input_scope(task);
        for _ in 0..EXPAND_CHUNK {
            if self.sealed(task) || !self.bear_item(task, group_key, &base) {
                break;
            }
        }
        if self.more_items(task) {
            self.sheet.effect(Effect::Expand(group_key));
        }
        self.end_group_if_done(task);
    }

    /// Will items be born that are not there yet?
    pub(super) fn more_items(&self, task: &Task) -> bool {
        let unborn = self.node(task.no).group.as_ref().is_some_and(|g| g.items.len() < g.list.len());
        unborn && !self.sealed(task)
    }

    /// May no item of this task start any more?
    pub(super) fn sealed(&self, task: &Task) -> bool {
        let failed = self.node(task.no).group.as_ref().is_some_and(|g| g.failed > 0);
        let own = task.for_each.as_ref().is_some_and(|f| f.fail_fast) && failed;
        own || self.halted(task.no).is_some()
    }

    fn bear_item(&mut self, task: &Task, group_key: TaskKey, base: &Scope) -> bool {
        let (Some(group), Some(for_each)) = (&self.node(task.no).group, &task.for_each) else { return false };
        let index = group.items.len();
        if index >= group.list.len() {
            return false;
        }
        let element =
            group.list.get(index).ok_or_else(|| "forEach.from: its element is nested too deep".to_owned());
        let key = group_key.with_item(index as u32);
        let mut row = Slot::new(self.sheet.now);
        let inputs = element
            .and_then(|element| advance::inputs(task, &scope::with_item(base, for_each, index, element)));
        match inputs.and_then(|inputs| inputs.to_json()) {
            Ok(inputs) => {
                row.enter(TaskStatus::Ready, self.sheet.now);
                row.input = Some(inputs);
            }
            Err(why) => {
                row.enter(TaskStatus::Failed, self.sheet.now);
                row.reason = Some(Reason::ExpressionError);
                row.set_error(Some(advance::bounded(&why)));
            }
        }
        let (status, reason) = (row.status, row.reason);
        if let Some(group) = &mut self.nodes[task.no as usize].group {
            group.bear(row);
            group.open += usize::from(!status.is_final());
            group.count(status);
        }
        self.born_in(key, status, reason);
        if status == TaskStatus::Ready {
            self.proceed(task, key);
        } else {
            self.after_item_failed(task);
        }
        true
    }

    /// An item failed: with `forEach.failFast` nothing more of this group starts. The first failure says it for all.
    pub(super) fn after_item_failed(&mut self, task: &Task) {
        let first = self.node(task.no).group.as_ref().is_some_and(|g| g.failed == 1);
        if first && task.for_each.as_ref().is_some_and(|f| f.fail_fast) {
            self.halt_items(task.no, Reason::FailFast, false);
        }
    }

    /// Ends the group when every item is final and none is to come.
    pub(super) fn end_group_if_done(&mut self, task: &Task) {
        let node = self.node(task.no);
        let Some(group) = &node.group else { return };
        if node.row.status != TaskStatus::Running || group.open > 0 || self.more_items(task) {
            return;
        }
        let key = node.key;
        // What was stopped before its last item was born is not a success.
        let unborn = group.list.len() - group.items.len().min(group.list.len());
        let status = view::aggregate(group.failed, group.cancelled + unborn, group.success);
        let reason = match status {
            TaskStatus::Failed => Some(Reason::ItemFailed),
            TaskStatus::Cancelled => self.halted(task.no).or(Some(Reason::FailFast)),
            _ => None,
        };
        let (failed, of) = (group.failed, group.list.len());
        if status == TaskStatus::Failed {
            self.touch(key).set_error(Some(format!("{failed} of {of} items failed")));
        }
        self.end(key, status, reason);
    }
}
