//! The model's times: what is due, and what a pause holds up.

use std::time::Duration;

use jiff::Timestamp;
use relay::model::{ids::TaskKey, status::TaskStatus::*};

use super::{Cell, Picture, seconds_after};
use crate::support::dawn;

impl Picture<'_> {
    /// Timers, in the order of their times; of two at once the run's goes first, then finally's.
    pub(super) fn tick(&mut self) {
        while let Some((_, what)) = self.timers().first().filter(|(due, _)| *due <= self.now).copied() {
            match what {
                (0, _) => {
                    self.timed_out = true;
                    self.halt(false);
                }
                (1, _) => self.halt(true),
                (_, key) if self.rows[&key].status == Retrying => self.cell(key).status = Ready,
                (_, key) if self.plot.tasks[key.task as usize].else_skip => self.cell(key).status = Skipped,
                (_, key) => self.cell(key).status = Failed,
            }
            self.follow();
        }
    }

    fn timers(&self) -> Vec<(Timestamp, (u8, TaskKey))> {
        let waits = |c: &Cell| matches!(c.status, Blocked | Retrying);
        let due = |(key, cell): (&TaskKey, &Cell)| Some((cell.due.filter(|_| waits(cell))?, (2, *key)));
        let mut timers: Vec<_> = self.rows.iter().filter_map(due).collect();
        let none = TaskKey::of_task(0);
        if self.cancelled.is_none() && !self.timed_out && self.finally_at.is_none() && self.paused.is_none() {
            timers.extend(self.plot.timeout.map(|t| (seconds_after(dawn(), t) + self.held_up, (0, none))));
        }
        // It has nothing more to do once everything in finally has started.
        let startable = |(key, cell): (&TaskKey, &Cell)| {
            self.is_finally(*key) && matches!(cell.status, Pending | Ready | Blocked | Retrying)
        };
        let counts = self.paused.is_none() && self.rows.iter().any(startable);
        if let (Some(at), true) = (self.finally_at, counts) {
            timers
                .extend(self.plot.finally_timeout.map(|t| (seconds_after(at, t) + self.held_up, (1, none))));
        }
        if self.run.is_final() {
            timers.clear();
        }
        timers.sort();
        timers
    }

    pub(super) fn resume(&mut self) {
        if let Some(since) = self.paused.take() {
            self.held_up += Duration::try_from(self.now.duration_since(since)).expect("time goes on");
        }
    }

    /// A timeout counts from its moment, noticed or not.
    pub(super) fn is_being_stopped(&self) -> bool {
        let over = self.timers().iter().any(|(due, (of, _))| *due <= self.now && *of == 0);
        self.cancelled.is_some() || self.timed_out || over || self.finally_over()
    }

    pub(super) fn finally_over(&self) -> bool {
        let now = self.paused.unwrap_or(self.now);
        let over = |at| self.plot.finally_timeout.is_some_and(|t| now >= seconds_after(at, t) + self.held_up);
        self.finally_at.is_some_and(over)
    }
}
