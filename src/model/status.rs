//! The state machines of a task run and of a run: one table each, and everything else is printed from it
//! (the SQL CHECK of the migrations, the diagrams in ARCHITECTURE.md; tests/core compares them).

use crate::model::names::words;

words! {
    /// Where a task run is. The last five are final: such a row never changes again.
    TaskStatus {
        /// Waits for its upstream tasks.
        Pending = "PENDING",
        /// May start: waits for a place in the queue.
        Ready = "READY",
        /// A job for it is, or is about to be, in the queue.
        Queued = "QUEUED",
        /// A worker runs it (or, of a forEach group, its items).
        Running = "RUNNING",
        /// Waits for a person.
        Blocked = "BLOCKED",
        /// Failed or lost its worker, and waits for its next attempt.
        Retrying = "RETRYING",
        /// Ended well.
        Success = "SUCCESS",
        /// Ended badly.
        Failed = "FAILED",
        /// Not needed: its `when` was false, or an upstream task was skipped.
        Skipped = "SKIPPED",
        /// Never started, because an upstream task failed.
        UpstreamFailed = "UPSTREAM_FAILED",
        /// Stopped, or never started, by a cancel.
        Cancelled = "CANCELLED",
    }
}

words! {
    /// Where a run is.
    RunStatus {
        /// Held back by a limit.
        Queued = "QUEUED",
        /// Live.
        Running = "RUNNING",
        /// Ended well.
        Success = "SUCCESS",
        /// Ended badly.
        Failed = "FAILED",
        /// Ended by a user's cancel.
        Cancelled = "CANCELLED",
    }
}

/// One edge of a state machine, and when it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Edge<S: 'static> {
    /// Left state.
    pub from: S,
    /// Entered state.
    pub to: S,
    /// When it is taken, for the diagram.
    pub when: &'static str,
}

const fn edge<S>(from: S, to: S, when: &'static str) -> Edge<S> {
    Edge { from, to, when }
}

use TaskStatus::{
    Blocked, Cancelled, Failed, Pending, Queued, Ready, Retrying, Running, Skipped, Success, UpstreamFailed,
};

/// The transition table of a task run.
pub const TASK_EDGES: &[Edge<TaskStatus>] = &[
    edge(Pending, Ready, "its rule holds"),
    edge(Pending, Skipped, "when is false, or an upstream was skipped"),
    edge(Pending, UpstreamFailed, "an upstream failed"),
    edge(Pending, Failed, "expression error, list too long"),
    edge(Pending, Cancelled, "cancel"),
    edge(Ready, Queued, "dispatched"),
    edge(Ready, Blocked, "approval needed"),
    edge(Ready, Success, "gate, cache"),
    edge(Ready, Running, "forEach group, child run"),
    edge(Ready, Skipped, "by a user"),
    edge(Ready, Failed, "queueTimeout"),
    edge(Ready, Cancelled, "cancel"),
    edge(Blocked, Ready, "approved"),
    edge(Blocked, Failed, "rejected, timed out"),
    edge(Blocked, Skipped, "timed out with onTimeout Skip"),
    edge(Blocked, Cancelled, "cancel"),
    edge(Queued, Running, "claimed"),
    edge(Queued, Ready, "to be published again"),
    edge(Queued, Failed, "queueTimeout, poison, image"),
    edge(Queued, Cancelled, "cancel"),
    edge(Running, Success, "ended well"),
    edge(Running, Failed, "failed for good"),
    edge(Running, Skipped, "group, every item skipped"),
    edge(Running, Retrying, "failed, or its worker was lost"),
    edge(Running, Cancelled, "cancel"),
    edge(Retrying, Ready, "delay over"),
    edge(Retrying, Cancelled, "cancel"),
];

/// The transition table of a run.
pub const RUN_EDGES: &[Edge<RunStatus>] = &[
    edge(RunStatus::Queued, RunStatus::Running, "limit free"),
    edge(RunStatus::Queued, RunStatus::Cancelled, "cancel"),
    edge(RunStatus::Running, RunStatus::Success, "every task ended well"),
    edge(RunStatus::Running, RunStatus::Failed, "a task failed, run timeout"),
    edge(RunStatus::Running, RunStatus::Cancelled, "cancel"),
    edge(RunStatus::Success, RunStatus::Running, "a user's retry"),
    edge(RunStatus::Failed, RunStatus::Running, "a user's retry"),
];

/// The states in which a task run may be born: a task PENDING, a forEach item READY or FAILED;
/// the final ones by a user's skip or mark.
pub const TASK_BIRTHS: &[TaskStatus] = &[Pending, Ready, Failed, Success, Skipped];

/// The states in which a run may be born: a refused one FAILED, one that was cancelled before it was accepted CANCELLED.
pub const RUN_BIRTHS: &[RunStatus] =
    &[RunStatus::Queued, RunStatus::Running, RunStatus::Failed, RunStatus::Cancelled];

impl TaskStatus {
    /// May a row go from here to `to`?
    pub fn can_become(self, to: TaskStatus) -> bool {
        TASK_EDGES.iter().any(|e| e.from == self && e.to == to)
    }

    /// Every state that can follow this one.
    pub fn next(self) -> impl Iterator<Item = TaskStatus> {
        TASK_EDGES.iter().filter(move |e| e.from == self).map(|e| e.to)
    }

    /// Does a row stay in this state for ever?
    pub const fn is_final(self) -> bool {
        matches!(self, Success | Failed | Skipped | UpstreamFailed | Cancelled)
    }
}

impl RunStatus {
    /// May a run go from here to `to`?
    pub fn can_become(self, to: RunStatus) -> bool {
        RUN_EDGES.iter().any(|e| e.from == self && e.to == to)
    }

    /// Every state that can follow this one.
    pub fn next(self) -> impl Iterator<Item = RunStatus> {
        RUN_EDGES.iter().filter(move |e| e.from == self).map(|e| e.to)
    }

    /// Has the run ended? (A user's retry may open it again.)
    pub const fn is_final(self) -> bool {
        matches!(self, RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled)
    }
}
