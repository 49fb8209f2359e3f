//! A run as it is stored: one row.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    ids::{RunId, ShardId, WorkflowId},
    json::Text,
    names::words,
    reason::Reason,
    status::RunStatus,
};

words! {
    /// Who or what made a transition.
    Actor {
        /// The engine, by its rules.
        Engine = "engine",
        /// A worker's report.
        Worker = "worker",
        /// A clock: a timeout, a delay that is over.
        Timer = "timer",
        /// A person.
        User = "user",
    }
}

/// A run that is being stopped, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Cancelled by a user, or RunTimeout.
    pub reason: Reason,
    /// Do the finally tasks still run?
    pub finally: bool,
}

/// A row of `runs`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The revision that it pins for life.
    pub workflow: WorkflowId,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub status: RunStatus,
    /// Why.
    pub reason: Option<Reason>,
    /// What to say of it beyond the reason.
    pub error: Option<String>,
    /// Its params, complete.
    pub params: Text,
    /// Its outputs, once it is SUCCESS.
    pub outputs: Option<Arc<Value>>,
    /// Is it being stopped?
    pub stop: Option<Stop>,
    /// Since when nothing of it is published: it is paused.
    pub paused_at: Option<Timestamp>,
    /// How long earlier pauses held up the timeout that counts now: the run's, and once finally began, finally's.
    pub paused_for: Duration,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it became RUNNING.
    pub started_at: Timestamp,
    /// When its finally tasks were let go.
    pub finally_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl RunRow {
    /// A run that is accepted now and RUNNING; without params.
    pub fn new(id: RunId, workflow: WorkflowId, namespace: String, name: String, now: Timestamp) -> RunRow {
        RunRow {
            id,
            workflow,
            namespace,
            name,
            status: RunStatus::Running,
            reason: None,
            error: None,
            params: Text::default(),
            outputs: None,
            stop: None,
            paused_at: None,
            paused_for: Duration::ZERO,
            created_at: now,
            started_at: now,
            finally_at: None,
            finished_at: None,
        }
    }

    /// The shard that its namespace falls into.
    pub fn shard(&self) -> ShardId {
        ShardId::of_namespace(&self.namespace)
    }
}
