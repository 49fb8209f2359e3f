//! A model too simple to be wrong: it keeps no counters and remembers nothing. From the whole list of accepted events
//! it works out every status anew, by applying rules until none applies any more. The engine must agree after each.

mod clock;
mod plot;
mod properties;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use relay::{
    engine::Event,
    model::{
        ids::TaskKey,
        job::Outcome,
        status::{RunStatus, TaskStatus},
        task_run::Decision,
    },
};

use crate::support::dawn;
use TaskStatus::*;
use plot::{Plot, When};

/// What a row is like.
#[derive(Clone, Debug)]
pub struct Cell {
    pub status: TaskStatus,
    pub attempt: u32,
    failures: u32,
    losses: u32,
    yes: BTreeSet<String>,
    due: Option<Timestamp>,
}

/// Every status, worked out from scratch.
pub struct Picture<'p> {
    plot: &'p Plot,
    pub rows: BTreeMap<TaskKey, Cell>,
    pub run: RunStatus,
    now: Timestamp,
    cancelled: Option<bool>,
    timed_out: bool,
    finally_at: Option<Timestamp>,
    paused: Option<Timestamp>,
    /// How long earlier pauses held up the timeout that counts now.
    held_up: Duration,
    /// Something in finally was stopped because its time was over.
    finally_cut: bool,
}

fn cell(status: TaskStatus) -> Cell {
    Cell { status, attempt: 0, failures: 0, losses: 0, yes: BTreeSet::new(), due: None }
}

fn seconds_after(at: Timestamp, seconds: u64) -> Timestamp {
    at.checked_add(Duration::from_secs(seconds)).expect("tests end before time does")
}

impl Picture<'_> {
    /// After these events, each with its time.
    pub fn of<'p>(plot: &'p Plot, past: &[(Timestamp, Event)]) -> Picture<'p> {
        let rows = (0..plot.tasks.len()).map(|no| (TaskKey::of_task(no as u32), cell(Pending))).collect();
        let mut picture = Picture {
            plot,
            rows,
            run: RunStatus::Running,
            now: dawn(),
            cancelled: None,
            timed_out: false,
            finally_at: None,
            paused: None,
            held_up: Duration::ZERO,
            finally_cut: false,
        };
        picture.follow();
        for (at, event) in past {
            picture.now = *at;
            picture.happen(event);
            picture.follow();
        }
        picture
    }

    /// Is it news, of a row that it can be news of?
    pub fn accepts(&self, event: &Event) -> bool {
        let is = |key: &TaskKey, attempt: Option<u32>, wanted: &[TaskStatus]| {
            let group = key.item.is_none()
                && self.plot.tasks.get(key.task as usize).is_some_and(|t| t.items.is_some());
            let fits = |c: &Cell| wanted.contains(&c.status) && attempt.is_none_or(|n| n == c.attempt);
            self.rows.get(key).is_some_and(fits) && (!group || wanted == [Blocked])
        };
        let live = self.run == RunStatus::Running;
        live && match event {
            Event::Dispatched(key) => is(key, None, &[Ready]),
            Event::Started { key, attempt, .. } | Event::Removed { key, attempt } => {
                is(key, Some(*attempt), &[Queued])
            }
            Event::Ended { key, attempt, .. }
            | Event::Lost { key, attempt }
            | Event::Forgotten { key, attempt } => is(key, Some(*attempt), &[Queued, Running]),
            Event::Decided { task, asking, .. } => {
                *asking == 1 && is(&TaskKey::of_task(*task), None, &[Blocked])
            }
            Event::Expand(key) => key.item.is_none() && self.rows.contains_key(key),
            Event::Pause => self.paused.is_some() || !self.is_being_stopped(),
            Event::Tick | Event::Cancel { .. } | Event::Resume => true,
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Dispatched(key) => {
                self.cell(*key).attempt += 1;
                self.cell(*key).status = Queued;
            }
            Event::Started { key, .. } => self.cell(*key).status = Running,
            Event::Ended { key, outcome: Outcome::Success { .. }, .. } => self.cell(*key).status = Success,
            Event::Ended { key, outcome: Outcome::Failed { .. }, .. } => self.failed(*key),
            Event::Ended { key, outcome: Outcome::Cancelled, .. } | Event::Lost { key, .. } => {
                self.lost(*key)
            }
            Event::Removed { key, .. } if self.stopped(*key) => self.cut(*key),
            Event::Removed { key, .. } => {
                self.cell(*key).attempt -= 1;
                self.cell(*key).status = Ready;
            }
            Event::Forgotten { key, .. } if self.rows[key].status == Running => self.lost(*key),
            Event::Forgotten { key, .. } if self.stopped(*key) => self.cut(*key),
            Event::Forgotten { key, .. } => self.cell(*key).status = Ready,
            Event::Decided { task, user, decision, .. } => self.decided(*task, user, *decision),
            Event::Pause => self.paused = self.paused.or(Some(self.now)),
            Event::Resume => self.resume(),
            Event::Cancel { finally } => {
                self.resume();
                self.cancelled = Some(self.cancelled.unwrap_or(true) && *finally);
                self.halt(false);
                if self.cancelled == Some(false) {
                    self.halt(true);
                }
            }
            Event::Tick => self.tick(),
            Event::Expand(_) => {}
        }
    }

    fn failed(&mut self, key: TaskKey) {
        let (stopped, now, task) = (self.stopped(key), self.now, &self.plot.tasks[key.task as usize]);
        let cell = self.cell(key);
        cell.failures += 1;
        (cell.status, cell.due) = match cell.failures <= task.retry && !stopped {
            false => (Failed, None),
            true if task.delay == 0 => (Ready, None),
            true => (Retrying, Some(seconds_after(now, task.delay))),
        };
    }

    fn lost(&mut self, key: TaskKey) {
        let stopped = self.stopped(key);
        if stopped {
            return self.cut(key);
        }
        let cell = self.cell(key);
        cell.losses += 1;
        cell.status = if cell.losses > 3 { Failed } else { Ready };
    }

    fn cut(&mut self, key: TaskKey) {
        self.cell(key).status = Cancelled;
        self.finally_cut |= self.is_finally(key) && self.finally_over();
    }

    fn decided(&mut self, no: u32, user: &str, decision: Decision) {
        let key = TaskKey::of_task(no);
        if decision == Decision::Rejected {
            self.cell(key).status = Failed;
            return;
        }
        self.cell(key).yes.insert(user.to_owned());
        if self.cell(key).yes.len() >= self.plot.tasks[no as usize].ask as usize {
            self.go(no);
        }
    }

    /// Applies rules until none applies any more.
    fn follow(&mut self) {
        while self.items_follow()
            || self.failures_follow()
            || self.fail_fast_follows()
            || self.starts_follow()
            || self.finally_follows()
        {}
        if self.rows.values().all(|c| c.status.is_final()) {
            self.run = self.end();
        }
    }

    fn items_follow(&mut self) -> bool {
        for no in 0..self.plot.tasks.len() {
            let key = TaskKey::of_task(no as u32);
            if self.rows[&key].status != Running || self.plot.tasks[no].items.is_none() {
                continue;
            }
            if self.plot.tasks[no].item_fail_fast && self.items_of(key).contains(&Failed) {
                self.end_waiting_items(key);
            }
            let items = self.items_of(key);
            if items.iter().all(|s| s.is_final()) {
                let worst = [Failed, Cancelled, Success].into_iter().find(|s| items.contains(s));
                self.cell(key).status = worst.unwrap_or(Skipped);
                return true;
            }
        }
        false
    }

    fn failures_follow(&mut self) -> bool {
        let bad = |no: &usize| {
            let status = self.rows[&TaskKey::of_task(*no as u32)].status;
            let forgiven = status == Failed && self.plot.tasks[*no].carry_on;
            matches!(status, Failed | UpstreamFailed | Cancelled) && !forgiven
        };
        let hit = |no: &usize| {
            let pending = self.rows[&TaskKey::of_task(*no as u32)].status == Pending;
            pending && self.plot.tasks[*no].ups.iter().any(bad)
        };
        let found = (0..self.plot.tasks.len()).find(hit);
        found.map(|no| self.cell(TaskKey::of_task(no as u32)).status = UpstreamFailed).is_some()
    }

    fn fail_fast_follows(&mut self) -> bool {
        let before = self.open();
        if self.plot.fail_fast && self.any_failed(false) {
            self.halt(false);
        }
        self.open() < before
    }

    fn starts_follow(&mut self) -> bool {
        for (no, task) in self.plot.tasks.iter().enumerate() {
            let key = TaskKey::of_task(no as u32);
            let ups: Vec<TaskStatus> =
                task.ups.iter().map(|up| self.rows[&TaskKey::of_task(*up as u32)].status).collect();
            let held = task.finally && self.finally_at.is_none();
            if self.rows[&key].status != Pending || held || !ups.iter().all(|s| s.is_final()) {
                continue;
            }
            let due = task.within.map(|t| seconds_after(self.now, t));
            if self.halted(task.finally) {
                self.cut(key);
                return true;
            }
            self.cell(key).status = match task.when {
                _ if ups.contains(&Skipped) => Skipped,
                When::False => Skipped,
                When::Error => Failed,
                _ if task.items == Some(0) => Skipped,
                _ => Blocked,
            };
            self.cell(key).due = due;
            if self.rows[&key].status == Blocked && task.ask == 0 {
                self.go(no as u32);
            }
            return true;
        }
        false
    }

    fn finally_follows(&mut self) -> bool {
        let through = self.rows.iter().all(|(key, c)| self.is_finally(*key) || c.status.is_final());
        let waiting = self.rows.iter().any(|(key, c)| self.is_finally(*key) && c.status == Pending);
        let begins = through && waiting && self.finally_at.is_none() && self.paused.is_none();
        if begins {
            (self.finally_at, self.held_up) = (Some(self.now), Duration::ZERO);
        }
        begins
    }

    fn go(&mut self, no: u32) {
        let (key, task) = (TaskKey::of_task(no), &self.plot.tasks[no as usize]);
        let begun = if task.gate { Success } else { Ready };
        self.cell(key).status = if task.items.is_some() { Running } else { begun };
        for item in 0..task.items.unwrap_or(0) as u32 {
            self.rows.insert(key.with_item(item), cell(begun));
        }
    }

    /// Ends what has not started, in finally or outside it.
    fn halt(&mut self, finally: bool) {
        let waits = |c: &Cell| matches!(c.status, Pending | Ready | Blocked | Retrying);
        let keys: Vec<TaskKey> = self.rows.iter().filter(|(_, c)| waits(c)).map(|(key, _)| *key).collect();
        for key in keys.into_iter().filter(|key| self.plot.tasks[key.task as usize].finally == finally) {
            self.cut(key);
        }
    }

    fn items_of(&self, group: TaskKey) -> Vec<TaskStatus> {
        let of_group = |key: &TaskKey| key.task == group.task && key.item.is_some();
        self.rows.iter().filter(|(key, _)| of_group(key)).map(|(_, c)| c.status).collect()
    }

    fn end_waiting_items(&mut self, group: TaskKey) {
        for (key, cell) in &mut self.rows {
            if key.task == group.task && key.item.is_some() && matches!(cell.status, Ready | Retrying) {
                cell.status = Cancelled;
            }
        }
    }

    /// May nothing more start in this part of the run?
    fn halted(&self, finally: bool) -> bool {
        match finally {
            true => self.cancelled == Some(false) || self.finally_over(),
            false => {
                let failed = self.plot.fail_fast && self.any_failed(false);
                self.cancelled.is_some() || self.timed_out || failed
            }
        }
    }

    /// May this row not start again?
    fn stopped(&self, key: TaskKey) -> bool {
        let failed = |(k, c): (&TaskKey, &Cell)| k.task == key.task && k.item.is_some() && c.status == Failed;
        let sealed = self.plot.tasks[key.task as usize].item_fail_fast && self.rows.iter().any(failed);
        self.halted(self.is_finally(key)) || (key.item.is_some() && sealed)
    }

    fn end(&self) -> RunStatus {
        match self.cancelled {
            Some(_) => RunStatus::Cancelled,
            None if self.timed_out || self.any_failed(false) => RunStatus::Failed,
            None if self.any_failed(true) || self.finally_cut => RunStatus::Failed,
            None => RunStatus::Success,
        }
    }

    fn any_failed(&self, finally: bool) -> bool {
        let failed = |(key, c): (&TaskKey, &Cell)| {
            let task = &self.plot.tasks[key.task as usize];
            key.item.is_none() && task.finally == finally && c.status == Failed && !task.carry_on
        };
        self.rows.iter().any(failed)
    }

    fn open(&self) -> usize {
        self.rows.values().filter(|c| !c.status.is_final()).count()
    }

    fn is_finally(&self, key: TaskKey) -> bool {
        self.plot.tasks[key.task as usize].finally
    }

    fn cell(&mut self, key: TaskKey) -> &mut Cell {
        self.rows.get_mut(&key).expect("an accepted event is of a row that is there")
    }
}
