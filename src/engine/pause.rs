//! Pause: no job goes out, what runs goes on, and the timeout that counts stands still.
//!
//! A pause is a flag of the run's row and no state. What needs no worker goes on: rules and expressions, gates, the items
//! of a forEach, approvals and their deadlines, delays of retries. Finally does not begin. A run that is being stopped is
//! not paused, and a cancel ends a pause.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Effect, Refused, Run, Timer};
use crate::model::{
    ids::TaskKey,
    reason::Reason,
    status::TaskStatus,
    time::{between, later},
};

impl Run {
    pub(super) fn paused(&self) -> bool {
        self.row.paused_at.is_some()
    }

    /// Said again it changes nothing.
    pub(super) fn pause(&mut self) -> Result<(), Refused> {
        if self.paused() {
            return Ok(());
        }
        if let Some(reason) = self.stopping() {
            return Err(Refused::Stopping(reason));
        }
        self.touch_run().paused_at = Some(self.sheet.now);
        self.disarm();
        self.call_in();
        self.take_back_queued();
        Ok(())
    }

    /// Said again it changes nothing.
    pub(super) fn resume(&mut self) {
        if !self.paused() {
            return;
        }
        self.end_pause();
        // What was not taken back yet belongs in the queue again.
        for key in self.queued() {
            if self.stopped(key).is_none() {
                self.sheet.effect(Effect::Republish(key));
            }
        }
    }

    /// Takes the flag back; the timeout counts on, with the time of the pause put on top.
    pub(super) fn end_pause(&mut self) {
        let Some(since) = self.row.paused_at else { return };
        let stood = between(since, self.sheet.now);
        let row = self.touch_run();
        row.paused_at = None;
        row.paused_for = row.paused_for.saturating_add(stood);
        self.arm_run_timers();
    }

    /// What was QUEUED shall not start, if no worker has it yet.
    pub(super) fn take_back_queued(&mut self) {
        for key in self.queued() {
            if self.stopped(key).is_none()
                && let Some(attempt) = self.row_of(key).map(|row| row.attempt)
            {
                self.sheet.effect(Effect::Remove { key, attempt, kill: false });
            }
        }
    }

    fn queued(&self) -> Vec<TaskKey> {
        self.places().filter(|(_, status)| *status == TaskStatus::Queued).map(|(key, _)| key).collect()
    }

    /// Why the run, or its finally, is being stopped, if so; a timeout counts from its moment, noticed or not.
    fn stopping(&self) -> Option<Reason> {
        let due = self.run_due().is_some_and(|due| self.sheet.now >= due);
        let stop = self.row.stop.as_ref().map(|stop| stop.reason);
        stop.or(due.then_some(Reason::RunTimeout)).or(self.finally_over().then_some(Reason::FinallyTimeout))
    }

    /// When the run takes too long, as far as its timeout counts and nothing has stopped it.
    fn run_due(&self) -> Option<Timestamp> {
        let counts = self.row.finally_at.is_none() && self.row.stop.is_none();
        let timeout = self.workflow.timeouts.run.filter(|_| counts)?;
        Some(self.held_up(self.row.started_at, timeout))
    }

    /// When finally takes too long, once it has begun.
    pub(super) fn finally_due(&self) -> Option<Timestamp> {
        Some(self.held_up(self.row.finally_at?, self.workflow.timeouts.finally?))
    }

    /// When a timeout that began then is over, with what earlier pauses put on top.
    fn held_up(&self, began: Timestamp, timeout: Duration) -> Timestamp {
        later(began, timeout.saturating_add(self.row.paused_for))
    }

    /// Sets the timer of the timeout that counts now: the run's, or finally's. None while it stands still.
    pub(super) fn arm_run_timers(&mut self) {
        if self.paused() {
            return;
        }
        self.timers.extend(self.run_due().map(|due| (due, Timer::Run)));
        let finally = self.finally_due().filter(|_| !self.finally_over());
        self.timers.extend(finally.map(|due| (due, Timer::Finally)));
    }

    /// Takes both timers away.
    pub(super) fn disarm(&mut self) {
        self.timers.retain(|(_, timer)| matches!(timer, Timer::Task(_)));
    }
}
