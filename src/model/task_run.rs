//! A task run as it is stored: one row, and what people decided of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    ids::{RunId, TaskKey, TaskRunId},
    json::Text,
    names::words,
    reason::Reason,
    status::TaskStatus,
};

/// A row of `task_runs`.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Which, within its run.
    pub key: TaskKey,
    /// Where it is.
    pub status: TaskStatus,
    /// The fence: 0 before, 1 when first queued, one more at each later READY -> QUEUED.
    pub attempt: u32,
    /// Failures that count against `retry.limit`.
    pub failures: u32,
    /// Workers lost, with a bound of its own.
    pub losses: u32,
    /// Why it is there.
    pub reason: Option<Reason>,
    /// What to say of it beyond the reason: the last failure.
    pub error: Option<String>,
    /// The exit status of the last attempt that had one.
    pub exit_code: Option<i32>,
    /// Its expressions, evaluated once: `Inputs`, or of a group `{"items": [...], "question": "..."}`.
    pub input: Option<Text>,
    /// Its outputs: an object.
    pub output: Option<Arc<Value>>,
    /// Who runs it, or ran it last.
    pub worker: Option<Arc<str>>,
    /// When it last became READY.
    pub ready_at: Option<Timestamp>,
    /// When its delay or its approval's time is over.
    pub due_at: Option<Timestamp>,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl TaskRow {
    /// A new row in PENDING.
    pub fn new(key: TaskKey, now: Timestamp) -> TaskRow {
        TaskRow {
            key,
            status: TaskStatus::Pending,
            attempt: 0,
            failures: 0,
            losses: 0,
            reason: None,
            error: None,
            exit_code: None,
            input: None,
            output: None,
            worker: None,
            ready_at: None,
            due_at: None,
            started_at: None,
            finished_at: None,
            created_at: now,
        }
    }

    /// What a person is asked before it starts, if the approval has a message.
    pub fn question(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Asked {
            question: Option<String>,
        }
        self.input.as_ref()?.read::<Asked>()?.question
    }

    /// Its id in `run`.
    pub fn id(&self, run: &RunId) -> TaskRunId {
        TaskRunId { run: run.clone(), key: self.key }
    }
}

/// A row of `attempts`: who made one attempt of a task run, from when to when, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number; the first is 1.
    pub attempt: u32,
    /// Who ran it; none when it was lost before any worker told of it.
    pub worker: Option<Arc<str>>,
    /// When it became RUNNING, by the conductor's clock.
    pub started_at: Option<Timestamp>,
    /// When its end was committed; none while it runs.
    pub ended_at: Option<Timestamp>,
    /// Why it ended; none while it runs, or when it ended well.
    pub reason: Option<Reason>,
    /// Its exit status, if it had one.
    pub exit_code: Option<i32>,
}

words! {
    /// What a person said.
    Decision {
        /// Yes.
        Approved = "approved",
        /// No.
        Rejected = "rejected",
    }
}

/// One person's word on one asking: a row of `approvals`, which is only ever added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// The task asked about.
    pub key: TaskKey,
    /// Who.
    pub user: String,
    /// What.
    pub decision: Decision,
    /// Why, in their words.
    pub note: Option<String>,
    /// Did the API server's admission policy vouch for the user? Without it, as on a laptop, the name is what was said.
    pub verified: bool,
    /// When.
    pub at: Timestamp,
}
