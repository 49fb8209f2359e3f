//! What stops a run or keeps tasks from starting: a cancel, the timeouts, failFast.

use crate::engine::{Effect, Run, Slot, Timer};
use crate::model::{
    ids::TaskKey,
    reason::Reason,
    run::Stop,
    status::TaskStatus,
    task::{OnTimeout, TaskNo},
};

impl Run {
    /// Why nothing of this task may start any more, if so. Follows from rows alone, so a restart finds it again.
    pub(super) fn halted(&self, no: TaskNo) -> Option<Reason> {
        self.part_halted(self.workflow.at(no).finally)
    }

    /// The same of all tasks in finally, or of all outside it.
    pub(super) fn part_halted(&self, finally: bool) -> Option<Reason> {
        let stops = |stop: &&Stop| !finally || (stop.reason == Reason::Cancelled && !stop.finally);
        if let Some(stop) = self.row.stop.as_ref().filter(stops) {
            return Some(stop.reason);
        }
        if finally {
            return self.finally_over().then_some(Reason::FinallyTimeout);
        }
        (self.workflow.fail_fast && self.main_failed).then_some(Reason::FailFast)
    }

    /// Is the time of finally over?
    pub(super) fn finally_over(&self) -> bool {
        let now = self.row.paused_at.unwrap_or(self.sheet.now);
        self.finally_due().is_some_and(|due| now >= due && self.open_finally > 0)
    }

    /// Does this reason stop an attempt that runs, or only keep further ones from starting?
    pub(super) fn kills(reason: Reason) -> bool {
        reason != Reason::FailFast
    }

    /// A user's cancel; it ends a pause. Said again it changes nothing; without finally after with finally it goes
    /// further.
    pub(super) fn cancel(&mut self, finally: bool) {
        if let Some(stop) = &self.row.stop {
            let further = stop.reason != Reason::Cancelled || (stop.finally && !finally);
            if !further {
                return;
            }
        }
        self.end_pause();
        self.touch_run().stop = Some(Stop { reason: Reason::Cancelled, finally });
        self.timers.retain(|(_, timer)| *timer != Timer::Run);
        self.halt(false, Reason::Cancelled, true);
        if !finally {
            self.halt(true, Reason::Cancelled, true);
        }
    }

    /// Everything whose time has come.
    pub(super) fn tick(&mut self) {
        let now = self.sheet.now;
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Run => {
                    if self.row.stop.is_none() && self.row.finally_at.is_none() {
                        self.touch_run().stop = Some(Stop { reason: Reason::RunTimeout, finally: true });
                        self.halt(false, Reason::RunTimeout, true);
                    }
                }
                Timer::Finally => {
                    self.halt(true, Reason::FinallyTimeout, true);
                }
                Timer::Task(key) => self.task_due(key),
            }
            self.drain();
            self.check_end();
        }
    }

    fn task_due(&mut self, key: TaskKey) {
        let Some(status) = self.row_of(key).map(|r| r.status) else { return };
        match status {
            TaskStatus::Retrying => {
                self.step(key, TaskStatus::Ready, None);
                self.ready(key);
            }
            TaskStatus::Blocked => {
                let approval = &self.workflow.at(key.task).approval;
                let skip = approval.as_ref().is_some_and(|a| a.on_timeout == OnTimeout::Skip);
                let end = if skip { TaskStatus::Skipped } else { TaskStatus::Failed };
                self.end(key, end, Some(Reason::ApprovalTimedOut));
            }
            _ => {}
        }
    }

    /// Ends what has not started, in finally or outside it, and asks for what has started to be stopped (`kill`) or let be.
    pub(super) fn halt(&mut self, finally: bool, reason: Reason, kill: bool) {
        for no in 0..self.nodes.len() as TaskNo {
            if self.workflow.tasks[no as usize].finally != finally {
                continue;
            }
            if self.node(no).group.is_some() && self.node(no).row.status == TaskStatus::Running {
                self.halt_items(no, reason, kill);
                let workflow = self.workflow.clone();
                self.end_group_if_done(workflow.at(no));
            } else {
                self.halt_row(self.node(no).key, reason, kill);
            }
        }
    }

    pub(super) fn halt_items(&mut self, no: TaskNo, reason: Reason, kill: bool) {
        let group_key = self.node(no).key;
        let born = self.node(no).group.as_ref().map_or(0, |g| g.items.len());
        for item in 0..born as u32 {
            self.halt_row(group_key.with_item(item), reason, kill);
        }
    }

    fn halt_row(&mut self, key: TaskKey, reason: Reason, kill: bool) {
        let Some((status, attempt)) = self.row_of(key).map(|r| (r.status, r.attempt)) else { return };
        match status {
            TaskStatus::Pending | TaskStatus::Ready | TaskStatus::Blocked | TaskStatus::Retrying => {
                self.vacate_if_ready(key);
                self.end(key, TaskStatus::Cancelled, Some(reason));
            }
            TaskStatus::Queued => self.sheet.effect(Effect::Remove { key, attempt, kill }),
            TaskStatus::Running if kill => self.sheet.effect(Effect::Remove { key, attempt, kill }),
            _ => {}
        }
    }

    fn vacate_if_ready(&mut self, key: TaskKey) {
        if self.row_of(key).is_some_and(|r| r.status == TaskStatus::Ready) {
            self.vacate(key);
        }
    }

    /// The jobs that should be stopped or taken back: said again until they are gone.
    pub fn to_stop(&self) -> Vec<Effect> {
        let each = self.workflow.tasks.iter().any(|t| t.for_each.as_ref().is_some_and(|f| f.fail_fast));
        let halted = self.row.stop.is_some() || self.row.finally_at.is_some();
        if !halted && !self.paused() && !self.workflow.fail_fast && !each {
            return Vec::new();
        }
        let stop = |(key, slot): (TaskKey, &Slot)| {
            let kill = self.unwanted(key)?;
            Some(Effect::Remove { key, attempt: slot.attempt, kill })
        };
        self.slots().filter_map(stop).collect()
    }

    /// Should the job of this task run not be in the queue, or not run on? With true, a worker that has it stops it.
    pub fn unwanted(&self, key: TaskKey) -> Option<bool> {
        let row = self.row_of(key).filter(|r| r.attempt > 0)?;
        let queued = row.status == TaskStatus::Queued;
        let Some(reason) = self.stopped(key) else { return (queued && self.paused()).then_some(false) };
        let kill = Run::kills(reason);
        (queued || (kill && row.status == TaskStatus::Running)).then_some(kill)
    }
}
