//! A task run as it lies in memory: a row of `task_runs`, packed. A run of 100,000 items has as many of these, and nothing
//! else for each of them but the element of its list.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::{ids::TaskKey, json::Text, reason::Reason, status::TaskStatus, task_run::TaskRow};

/// A time to the microsecond, or none, in eight bytes. Clocks and stores know no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(i64);

impl Moment {
    const NONE: Moment = Moment(i64::MIN);

    fn get(self) -> Option<Timestamp> {
        (self != Moment::NONE).then(|| Timestamp::from_microsecond(self.0).ok()).flatten()
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Moment {
        Moment(at.as_microsecond())
    }
}

impl From<Option<Timestamp>> for Moment {
    fn from(at: Option<Timestamp>) -> Moment {
        at.map_or(Moment::NONE, Moment::from)
    }
}

/// What few rows have.
#[derive(Clone, Debug, Default)]
struct Rare {
    failures: u32,
    losses: u32,
    error: Option<String>,
    due_at: Option<Timestamp>,
    /// Not 0.
    exit_code: Option<i32>,
}

/// A row but for its key, which its place says.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) status: TaskStatus,
    pub(super) reason: Option<Reason>,
    /// READY, and offered to the conductor. No column: a restored run offers anew.
    pub(super) offered: bool,
    /// Its last process ended with status 0. Another status is rare.
    ended_well: bool,
    pub(super) attempt: u32,
    pub(super) input: Option<Text>,
    pub(super) output: Option<Arc<Value>>,
    pub(super) worker: Option<Arc<str>>,
    ready_at: Moment,
    started_at: Moment,
    finished_at: Moment,
    created_at: Moment,
    rare: Option<Box<Rare>>,
}

impl Slot {
    /// A new row in PENDING.
    pub(super) fn new(now: Timestamp) -> Slot {
        Slot {
            status: TaskStatus::Pending,
            reason: None,
            offered: false,
            ended_well: false,
            attempt: 0,
            input: None,
            output: None,
            worker: None,
            ready_at: Moment::NONE,
            started_at: Moment::NONE,
            finished_at: Moment::NONE,
            created_at: now.into(),
            rare: None,
        }
    }

    /// A stored row.
    pub(super) fn of(row: TaskRow) -> Slot {
        let TaskRow { failures, losses, error, due_at, .. } = row;
        let rare = failures > 0 || losses > 0 || error.is_some() || due_at.is_some();
        let mut slot = Slot {
            status: row.status,
            reason: row.reason,
            offered: false,
            ended_well: false,
            attempt: row.attempt,
            input: row.input,
            output: row.output.map(shared),
            worker: row.worker,
            ready_at: row.ready_at.into(),
            started_at: row.started_at.into(),
            finished_at: row.finished_at.into(),
            created_at: row.created_at.into(),
            rare: rare.then(|| Box::new(Rare { failures, losses, error, due_at, exit_code: None })),
        };
        slot.set_exit_code(row.exit_code);
        slot
    }

    /// The row.
    pub(super) fn row(&self, key: TaskKey) -> TaskRow {
        let rare = self.rare.as_deref();
        TaskRow {
            key,
            status: self.status,
            attempt: self.attempt,
            failures: self.failures(),
            losses: self.losses(),
            reason: self.reason,
            error: rare.and_then(|rare| rare.error.clone()),
            exit_code: self.exit_code(),
            input: self.input.clone(),
            output: self.output.clone(),
            worker: self.worker.clone(),
            ready_at: self.ready_at(),
            due_at: self.due_at(),
            started_at: self.started_at(),
            finished_at: self.finished_at.get(),
            created_at: self.created_at.get().unwrap_or_default(),
        }
    }

    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        self.ready_at.get()
    }

    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.started_at.get()
    }

    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.rare.as_ref().and_then(|rare| rare.due_at)
    }

    pub(super) fn exit_code(&self) -> Option<i32> {
        if self.ended_well { Some(0) } else { self.rare.as_ref()?.exit_code }
    }

    pub(super) fn failures(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.failures)
    }

    pub(super) fn losses(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.losses)
    }

    /// Enters a state: the times that follow from that alone.
    pub(super) fn enter(&mut self, status: TaskStatus, now: Timestamp) {
        self.status = status;
        match status {
            TaskStatus::Ready => self.ready_at = now.into(),
            TaskStatus::Running => self.started_at = now.into(),
            status if status.is_final() => self.finished_at = now.into(),
            _ => {}
        }
    }

    pub(super) fn set_due(&mut self, due_at: Option<Timestamp>) {
        if due_at.is_some() || self.rare.is_some() {
            self.rare().due_at = due_at;
        }
    }

    pub(super) fn set_error(&mut self, error: Option<String>) {
        if error.is_some() || self.rare.is_some() {
            self.rare().error = error;
        }
    }

    pub(super) fn set_exit_code(&mut self, exit_code: Option<i32>) {
        self.ended_well = exit_code == Some(0);
        let other = exit_code.filter(|code| *code != 0);
        if other.is_some() || self.rare.is_some() {
            self.rare().exit_code = other;
        }
    }

    /// Its outputs; many tasks have none, and these are one.
    pub(super) fn set_output(&mut self, output: Map<String, Value>) {
        self.output = Some(shared(Arc::new(Value::Object(output))));
    }

    pub(super) fn count_failure(&mut self) {
        self.rare().failures += 1;
    }

    /// Counts a lost worker; gives how many there were.
    pub(super) fn count_loss(&mut self) -> u32 {
        let rare = self.rare();
        rare.losses += 1;
        rare.losses
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// The same value, and of all empty objects the same one.
fn shared(value: Arc<Value>) -> Arc<Value> {
    static EMPTY: OnceLock<Arc<Value>> = OnceLock::new();
    match value.as_object() {
        Some(object) if object.is_empty() => EMPTY.get_or_init(|| value).clone(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small_and_gives_its_row_back() {
        assert!(size_of::<Slot>() <= 88, "{}", size_of::<Slot>());
        let at = |s: i64| Timestamp::from_microsecond(1_800_000_000_000_000 + s).ok();
        let key = TaskKey { task: 3, item: Some(2), round: 1 };
        let bare = TaskRow::new(key, Timestamp::UNIX_EPOCH);
        assert_eq!(Slot::of(bare.clone()).row(key), bare);
        assert_eq!(Slot::new(Timestamp::UNIX_EPOCH).row(key), bare);
        let row = TaskRow {
            status: TaskStatus::Retrying,
            attempt: 3,
            failures: 2,
            losses: 1,
            reason: Some(Reason::ExitCode),
            error: Some("it broke".to_owned()),
            exit_code: Some(-1),
            input: Some(Text::from(&serde_json::json!({ "env": [["A", "1"]] }))),
            output: Some(Arc::new(serde_json::json!({ "n": 1 }))),
            worker: Some("w".into()),
            ready_at: at(1),
            due_at: at(2),
            started_at: at(3),
            finished_at: at(4),
            ..bare
        };
        assert_eq!(Slot::of(row.clone()).row(key), row);
        for exit_code in [None, Some(0), Some(7)] {
            let mut slot = Slot::of(row.clone());
            slot.set_exit_code(exit_code);
            assert_eq!(slot.row(key), TaskRow { exit_code, ..row.clone() });
        }
    }
}
