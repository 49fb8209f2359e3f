//! What there is to say about a run at a moment: small, whatever its size; what a Run's status and its events follow from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{ids::TaskKey, reason::Reason, run::RunRow, status::TaskStatus, task_run::ApprovalRow};

/// Askings and failures that a view lists; more are only counted.
pub const VIEW_LIST_MAX: usize = 20;

/// A task that waits for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The task's name.
    pub task: String,
    /// Which asking of it: the round.
    pub number: u32,
    /// What people are asked.
    pub question: Option<String>,
    /// How many must approve.
    pub required: u32,
    /// Who said what so far.
    pub words: Vec<ApprovalRow>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// A task run that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The task's name.
    pub task: String,
    /// Which task run.
    pub key: TaskKey,
    /// Its attempts.
    pub attempts: u32,
    /// Why.
    pub reason: Option<Reason>,
    /// What to say of it beyond the reason.
    pub error: Option<String>,
    /// The exit status of its last attempt, if that had one.
    pub exit_code: Option<i32>,
}

/// A run at a moment, as committed.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    /// Its row.
    pub row: RunRow,
    /// The position of its shard then: a view with a smaller one is older.
    pub position: i64,
    /// Its tasks of the newest rounds by status; a forEach counts once, by its group.
    pub tasks: BTreeMap<TaskStatus, u32>,
    /// Tasks that wait for people, in their order; at most [`VIEW_LIST_MAX`].
    pub askings: Vec<Asking>,
    /// How many more there are.
    pub more_askings: u32,
    /// Task runs that failed, items among them, in their order; at most [`VIEW_LIST_MAX`].
    pub failures: Vec<Failure>,
    /// How many more there are.
    pub more_failures: u32,
    /// Pools for which READY and QUEUED tasks wait, by their names in the run's namespace; at most [`VIEW_LIST_MAX`].
    pub waits_for: BTreeSet<String>,
    /// Why it was set aside: it cannot go on until a person mends what is said here.
    pub aside: Option<String>,
}

impl RunView {
    /// What its row alone tells.
    pub fn bare(row: RunRow, position: i64) -> RunView {
        RunView {
            row,
            position,
            tasks: BTreeMap::new(),
            askings: Vec::new(),
            more_askings: 0,
            failures: Vec::new(),
            more_failures: 0,
            waits_for: BTreeSet::new(),
            aside: None,
        }
    }
}
