//! A task leaves PENDING: its rule, its `when`, its expressions, its approval.

use serde_json::Map;

use crate::engine::{ERROR_CHARS, Group, List, Run};
use crate::model::{
    expr::{Refs, Scope, Template},
    ids::TaskKey,
    job::{Inputs, Listed},
    reason::Reason,
    status::TaskStatus,
    task::{Action, Task, TaskNo},
    time::later,
    workflow::limits,
};

/// A text for a row: bounded.
pub(super) fn bounded(text: &str) -> String {
    if text.chars().count() <= ERROR_CHARS {
        return text.to_owned();
    }
    text.chars().take(ERROR_CHARS).chain(" …".chars()).collect()
}

fn argv_of(task: &Task) -> &[Template] {
    match &task.action {
        Action::Command(argv) => argv,
        Action::Script(_) | Action::Gate | Action::Noop => &[],
    }
}

/// Evaluates argv and environment.
pub(super) fn inputs(task: &Task, scope: &Scope) -> Result<Inputs, String> {
    let mut inputs = Inputs::default();
    for (n, template) in argv_of(task).iter().enumerate() {
        let arg = template.render(scope).map_err(|e| format!("command[{n}]: {e}"))?;
        inputs.argv.get_or_insert_default().push(arg);
    }
    for (name, template) in &task.env {
        let value = template.render(scope).map_err(|e| format!("env {name}: {e}"))?;
        inputs.env.push((name.clone(), value));
    }
    Ok(inputs)
}

impl Run {
    /// Looks whether a PENDING task can leave that state, and lets it.
    pub(super) fn settle(&mut self, no: TaskNo) {
        let node = self.node(no);
        if node.row.status != TaskStatus::Pending {
            return;
        }
        let key = node.key;
        let (open, failed, skipped) = (node.open, node.failed, node.skipped);
        if failed > 0 {
            return self.end(key, TaskStatus::UpstreamFailed, Some(Reason::UpstreamFailed));
        }
        if let Some(reason) = self.halted(no) {
            return self.end(key, TaskStatus::Cancelled, Some(reason));
        }
        let workflow = self.workflow.clone();
        let task = workflow.at(no);
        if task.finally && self.row.finally_at.is_none() {
            return;
        }
        if open > 0 {
            return;
        }
        if skipped > 0 {
            return self.end(key, TaskStatus::Skipped, Some(Reason::UpstreamSkipped));
        }
        if let Some(when) = &task.when {
            match when.eval_bool(&self.run_scope(when.refs(), task.finally)) {
                Ok(true) => {}
                Ok(false) => return self.end(key, TaskStatus::Skipped, Some(Reason::WhenFalse)),
                Err(e) => return self.fail(key, Reason::ExpressionError, &format!("when: {e}")),
            }
        }
        match self.evaluate(task) {
            Ok(Some(list)) if list.is_empty() => {
                self.end(key, TaskStatus::Skipped, Some(Reason::EmptyForEach))
            }
            Ok(list) => self.leave_pending(task, key, list),
            Err((reason, why)) => self.fail(key, reason, &why),
        }
    }

    /// Evaluates all that a task's row holds: the list of a forEach, or the argv and environment. Of a forEach gives the list.
    fn evaluate(&mut self, task: &Task) -> Result<Option<List>, (Reason, String)> {
        let key = TaskKey { round: self.node(task.no).key.round, ..TaskKey::of_task(task.no) };
        let question = self.ask(task).map_err(|why| (Reason::ExpressionError, why))?;
        let Some(for_each) = &task.for_each else {
            let mut inputs =
                inputs(task, &self.input_scope(task)).map_err(|why| (Reason::ExpressionError, why))?;
            inputs.question = question;
            let stored = inputs.to_json().map_err(|why| (Reason::ExpressionError, why))?;
            self.touch(key).input = Some(stored);
            return Ok(None);
        };
        // What it is made of is gone before its text is written: a long one would lie below that, and stay.
        let list = for_each.from.eval_list(&self.run_scope(for_each.from.refs(), task.finally));
        let list = list.map_err(|e| (Reason::ExpressionError, format!("forEach.from: {e}")))?;
        let most = limits::ITEMS.min(limits::ROWS.saturating_sub(self.rows));
        if list.len() > most {
            return Err((
                Reason::ListTooLong,
                format!("forEach.from gave {} items, and {most} are allowed", list.len()),
            ));
        }
        self.rows += list.len();
        if list.is_empty() {
            return Ok(Some(List::default()));
        }
        let stored = Listed { items: &list, question }.to_json();
        drop(list);
        let stored = stored.map_err(|why| (Reason::ExpressionError, why))?;
        let list = List::of(&stored).ok_or_else(|| {
            (Reason::ListTooLong, "forEach.from gave a list of more than 4 GiB of text".to_owned())
        })?;
        self.touch(key).input = Some(stored);
        Ok(Some(list))
    }

    /// What a person will be asked, if the task asks with a message.
    fn ask(&self, task: &Task) -> Result<Option<String>, String> {
        let Some(message) = task.approval.as_ref().and_then(|a| a.message.as_ref()) else { return Ok(None) };
        let mut refs = Refs::default();
        message.exprs().for_each(|expr| super::scope::union(&mut refs, expr.refs()));
        let text = message.render(&self.run_scope(&refs, task.finally));
        text.map(|text| Some(bounded(&text))).map_err(|e| format!("approval.message: {e}"))
    }

    /// PENDING -> READY, and on from there.
    fn leave_pending(&mut self, task: &Task, key: TaskKey, list: Option<List>) {
        self.nodes[task.no as usize].group = list.map(|list| Box::new(Group::new(list)));
        self.step(key, TaskStatus::Ready, None);
        let Some(approval) = &task.approval else { return self.proceed(task, key) };
        self.step(key, TaskStatus::Blocked, Some(Reason::AwaitingApproval));
        if let Some(timeout) = approval.timeout {
            self.wake_at(key, later(self.sheet.now, timeout));
        }
    }

    /// From READY, with nothing more to ask: expand, end a gate, or wait for a worker.
    pub(super) fn proceed(&mut self, task: &Task, key: TaskKey) {
        if task.for_each.is_some() && key.item.is_none() {
            self.step(key, TaskStatus::Running, None);
            self.expand(task.no);
        } else if task.action == Action::Gate {
            self.touch(key).set_output(Map::new());
            self.end(key, TaskStatus::Success, None);
        } else {
            self.ready(key);
        }
    }

    /// What a task's argv and environment see; an item's element comes on top.
    pub(super) fn input_scope(&self, task: &Task) -> Scope {
        let mut refs = Refs::default();
        let templates = argv_of(task).iter().chain(task.env.iter().map(|(_, t)| t));
        for expr in templates.flat_map(|t| t.exprs()) {
            super::scope::union(&mut refs, expr.refs());
        }
        self.run_scope(&refs, task.finally)
    }

    /// FAILED for good, with a text.
    pub(super) fn fail(&mut self, key: TaskKey, reason: Reason, why: &str) {
        self.touch(key).set_error(Some(bounded(why)));
        self.end(key, TaskStatus::Failed, Some(reason));
    }
}
