//! Ends: of a task run, of the run; what they mean for the others; finally.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use crate::engine::{Effect, Node, Run};
use crate::model::{
    ids::TaskKey,
    reason::Reason,
    status::{RunStatus, TaskStatus},
    task::{OnError, TaskNo},
};

impl Node {
    /// Counts an upstream that is final, as AllSuccess sees it; `forgiven` is a failure with `onError: Continue`.
    pub(super) fn upstream_ended(&mut self, status: TaskStatus, forgiven: bool) {
        self.open = self.open.saturating_sub(1);
        match status {
            TaskStatus::Failed if forgiven => {}
            TaskStatus::Failed | TaskStatus::UpstreamFailed | TaskStatus::Cancelled => self.failed += 1,
            TaskStatus::Skipped => self.skipped += 1,
            _ => {}
        }
    }
}

impl Run {
    /// Makes a row final. Whoever calls this has vacated its place.
    pub(super) fn end(&mut self, key: TaskKey, status: TaskStatus, reason: Option<Reason>) {
        self.step(key, status, reason);
        if key.item.is_none() {
            self.nodes[key.task as usize].document.take();
            self.ended.push_back(key.task);
            return;
        }
        let workflow = self.workflow.clone();
        let task = workflow.at(key.task);
        if let Some(group) = &mut self.nodes[key.task as usize].group {
            group.open = group.open.saturating_sub(1);
            group.count(status);
        }
        if status == TaskStatus::Failed {
            self.after_item_failed(task);
        }
        self.end_group_if_done(task);
    }

    /// Tells every ended task's dependents, and so on until nothing follows any more.
    pub(super) fn drain(&mut self) {
        let failed_before = self.main_failed;
        self.tell_dependents();
        // After the failure's own consequences: those are UPSTREAM_FAILED, failFast or not.
        if self.workflow.fail_fast && self.main_failed && !failed_before {
            self.halt(false, Reason::FailFast, false);
            self.tell_dependents();
        }
    }

    fn tell_dependents(&mut self) {
        let workflow = self.workflow.clone();
        while let Some(no) = self.ended.pop_front() {
            self.count_ended(no);
            for down in &workflow.at(no).dependents {
                self.settle(*down);
            }
        }
    }

    /// Counts a task that is final, for the run and for its dependents: as it ends, and again when the run is restored.
    pub(super) fn count_ended(&mut self, no: TaskNo) {
        let workflow = self.workflow.clone();
        let task = workflow.at(no);
        let status = self.node(no).row.status;
        let forgiven = task.on_error == OnError::Continue && status == TaskStatus::Failed;
        let (open, failed) = match task.finally {
            true => (&mut self.open_finally, &mut self.finally_failed),
            false => (&mut self.open_main, &mut self.main_failed),
        };
        *open = open.saturating_sub(1);
        *failed |= status == TaskStatus::Failed && !forgiven;
        for down in &task.dependents {
            self.nodes[*down as usize].upstream_ended(status, forgiven);
        }
    }

    /// The status and reason that the run will have if finally goes well: what finally sees, whatever the order of its tasks.
    pub(super) fn coming_status(&self) -> (RunStatus, Option<Reason>) {
        match &self.row.stop {
            Some(stop) if stop.reason == Reason::Cancelled => (RunStatus::Cancelled, Some(Reason::Cancelled)),
            Some(stop) => (RunStatus::Failed, Some(stop.reason)),
            None if self.main_failed => (RunStatus::Failed, Some(Reason::TaskFailed)),
            None => (RunStatus::Success, None),
        }
    }

    fn end_status(&self) -> (RunStatus, Option<Reason>) {
        match self.coming_status() {
            (RunStatus::Success, _) if self.finally_timed_out() => {
                (RunStatus::Failed, Some(Reason::FinallyTimeout))
            }
            (RunStatus::Success, _) if self.finally_failed => {
                (RunStatus::Failed, Some(Reason::FinallyFailed))
            }
            coming => coming,
        }
    }

    fn finally_timed_out(&self) -> bool {
        self.row.finally_at.is_some()
            && self.slots().any(|(_, slot)| slot.reason == Some(Reason::FinallyTimeout))
    }

    /// Lets finally go when the others are through, and ends the run when all is through.
    pub(super) fn check_end(&mut self) {
        if self.row.status != RunStatus::Running || self.open_main > 0 {
            return;
        }
        if self.row.finally_at.is_none() && self.open_finally > 0 {
            if self.paused() {
                return;
            }
            self.begin_finally();
            self.drain();
        }
        if self.open_finally > 0 {
            return;
        }
        let (mut status, mut reason) = self.end_status();
        if status == RunStatus::Success {
            match self.run_outputs() {
                Ok(outputs) => self.touch_run().outputs = outputs.map(Arc::new),
                Err(why) => {
                    (status, reason) = (RunStatus::Failed, Some(Reason::ExpressionError));
                    self.touch_run().error = Some(super::advance::bounded(&why));
                }
            }
        }
        self.end_pause();
        self.timers.clear();
        self.step_run(status, reason);
        self.sheet.effect(Effect::Ended);
    }

    fn begin_finally(&mut self) {
        let now = self.sheet.now;
        let row = self.touch_run();
        row.finally_at = Some(now);
        // Another timeout counts from here on, which no pause has held up yet.
        row.paused_for = Duration::ZERO;
        self.disarm();
        self.arm_run_timers();
        for no in 0..self.nodes.len() {
            if self.workflow.tasks[no].finally {
                self.settle(no as TaskNo);
            }
        }
    }

    fn run_outputs(&self) -> Result<Option<Value>, String> {
        if self.workflow.outputs.is_empty() {
            return Ok(None);
        }
        let mut outputs = Map::new();
        for output in &self.workflow.outputs {
            let scope = self.run_scope(output.value.refs(), true);
            let value = output.value.eval(&scope).map_err(|e| format!("outputs.{}: {e}", output.name))?;
            outputs.insert(output.name.clone(), value);
        }
        Ok(Some(Value::Object(outputs)))
    }
}
