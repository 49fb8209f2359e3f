//! The truth: what is committed here happened, and nothing else did.
//!
//! One trait in the domain's words, two stores behind it (`postgres`, `memory`), one conformance suite over both
//! (tests/it/conformance). Every write is fenced twice: by the shard's epoch and position, and by the status and
//! attempt that each row is expected to have.

pub use crate::model::revision::{Revision, TaskRecord};

pub mod memory;
pub mod postgres;
mod prepare;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    change::{Batch, Fence},
    ids::{BadId, RunId, ShardId, WorkflowId},
    reason::Reason,
    run::{Actor, RunRow},
    task_run::{ApprovalRow, TaskRow},
};

/// A leader that has not renewed its shard for so long may be replaced.
pub const TAKEOVER_AFTER: Duration = Duration::from_secs(4);

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another leader has taken over: step down, write nothing.
    #[error("shard {} has a new leader (epoch {epoch} is over)", shard.number())]
    Deposed {
        /// Which shard was lost.
        shard: ShardId,
        /// The epoch that is over.
        epoch: i64,
    },
    /// A row is not in the state in which it was expected: load the runs again.
    #[error("{count} of the batch's rows are not as expected")]
    Conflict {
        /// How many.
        count: usize,
    },
    /// It may or may not have been done: ask for the position before anything else.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// It was not done, and may work later.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It was not done, and trying again would not help.
    #[error("the store refused: {0}")]
    Refused(String),
    /// A row cannot be read.
    #[error("a row of {table} cannot be read: {why}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Why.
        why: String,
    },
}

impl StoreError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            StoreError::Deposed { .. } => "deposed",
            StoreError::Conflict { .. } => "conflict",
            StoreError::Unknown(_) => "unknown",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Refused(_) => "refused",
            StoreError::Corrupt { .. } => "corrupt",
        }
    }
}

impl From<BadId> for StoreError {
    fn from(e: BadId) -> StoreError {
        StoreError::Corrupt { table: "task_runs", why: e.to_string() }
    }
}

/// The answer to `lead`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// The shard is ours, from this position on.
    Won(Fence),
    /// Somebody else leads it, and is alive.
    Held {
        /// Who.
        holder: String,
        /// How long ago it was last renewed, in milliseconds of the store's clock.
        renewed_ms_ago: u64,
    },
}

/// A run with everything that the engine needs to go on with it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Its row.
    pub run: RunRow,
    /// Its task runs, by key.
    pub tasks: Vec<TaskRow>,
    /// What people said, oldest first.
    pub approvals: Vec<ApprovalRow>,
}

/// A row of `state_history`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Its shard.
    pub shard: ShardId,
    /// Its position there, without gaps.
    pub seq: i64,
    /// The run or task run.
    pub entity: Entity,
    /// Left state; none for a birth.
    pub old_state: Option<String>,
    /// Entered state.
    pub new_state: String,
    /// The attempt (0 for a run).
    pub attempt: u32,
    /// Why.
    pub reason: Option<Reason>,
    /// By what or whom.
    pub actor: Actor,
    /// When.
    pub changed_at: Timestamp,
}

/// What a row of history is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity {
    /// `entity_type` run.
    Run(RunId),
    /// `entity_type` task_run.
    TaskRun(crate::model::ids::TaskRunId),
}

impl Entity {
    /// `entity_type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Entity::Run(_) => "run",
            Entity::TaskRun(_) => "task_run",
        }
    }

    /// `entity_id`.
    pub fn id(&self) -> String {
        match self {
            Entity::Run(id) => id.to_string(),
            Entity::TaskRun(id) => id.to_string(),
        }
    }
}

/// The store's verbs.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes the shard for `holder` unless another holder renewed it less than `TAKEOVER_AFTER` ago. A holder that asks
    /// again gets a new epoch: what it sent under the old one and has not been committed never will be.
    async fn lead(&self, shard: ShardId, holder: &str) -> Result<Leadership, StoreError>;

    /// Says that the leader is alive. `Deposed` when the epoch is over.
    async fn renew(&self, fence: &Fence) -> Result<(), StoreError>;

    /// Gives the shard up and ends the epoch, so that the next leader need not wait. No error when it was lost before.
    async fn release(&self, fence: &Fence) -> Result<(), StoreError>;

    /// The shard's epoch and position as committed: the answer to an unknown outcome.
    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError>;

    /// Keeps a revision; one that is there already stays as it is. `Refused` when two tasks have one name, or when
    /// a task depends on a name that is not there.
    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError>;

    /// A revision, if it is there.
    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError>;

    /// Writes all of it or nothing of it. Times are kept to the microsecond; a NUL in a text becomes U+FFFD.
    ///
    /// `Deposed` when a fence's epoch or position is not the shard's; `Conflict` when a row is not as expected, or a
    /// new one is there already; `Refused` for what can never be written: a shard without its fence, a change to a
    /// final task run, a row whose revision, run or task is not there. Of a row that is there, what it was born with
    /// stays: of a run its revision, namespace, name, params and created_at, of a task run its key and created_at, and,
    /// once it has left PENDING, its input.
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// The runs of a shard that are not final, oldest first.
    async fn live_runs(&self, shard: ShardId) -> Result<Vec<RunId>, StoreError>;

    /// A run, if it is there.
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// The history of a run or task run, newest first, at most `limit` rows.
    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError>;
}
