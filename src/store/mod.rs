//! The truth: what is committed here happened, and nothing else did.
//!
//! One trait in the domain's words, two stores behind it (`postgres`, `memory`), one conformance suite over both
//! (tests/it/conformance). A batch is fenced twice: by the shard's epoch and position, and by the status and attempt
//! that each row is expected to have. A head is fenced by the epoch; a line of a log by nothing, for it decides nothing.

pub use crate::model::revision::{Revision, TaskRecord};
pub use outage::{Cause, Outage};
pub use upkeep::{Cursor, Expiry, Removed, Upkeep};

mod fit;
pub mod memory;
mod outage;
pub mod postgres;
mod prepare;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    change::{Batch, Fence},
    head::Head,
    ids::{BadId, RunId, ShardId, TaskRunId, WorkflowId},
    log::{LogLine, LogQuery, StoredLine},
    reason::Reason,
    run::{Actor, RunRow},
    task_run::{ApprovalRow, AttemptRow, TaskRow},
};

/// A leader that has not renewed its shard for so long may be replaced.
pub const TAKEOVER_AFTER: Duration = Duration::from_secs(4);
/// How often it is written down that a process is there.
pub const ATTEND_EVERY: Duration = Duration::from_secs(1);
/// Whoever was not there for so long is forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(60);
/// The most lines of logs that one answer holds.
pub const LOG_PAGE_LINES: u32 = 10_000;
/// An answer ends with the line that brings its texts to so many bytes.
pub const LOG_PAGE_BYTES: usize = 4 << 20;
/// The most rows of history that one answer holds.
pub const TRANSITIONS_PAGE: u32 = 10_000;
/// What a head's labels, unhashed fields and reason may come to, in bytes as JSON.
pub const HEAD_BYTES_MAX: usize = 1 << 20;

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
    #[error("{0}")]
    Unavailable(Outage),
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
    /// Nobody answered, or the connection broke.
    pub fn unreachable(why: impl Into<String>) -> StoreError {
        Outage::new(Cause::Unreachable, why).into()
    }

    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            StoreError::Deposed { .. } => "deposed",
            StoreError::Conflict { .. } => "conflict",
            StoreError::Unknown(_) => "unknown",
            StoreError::Unavailable(outage) => outage.cause.label(),
            StoreError::Refused(_) => "refused",
            StoreError::Corrupt { .. } => "corrupt",
        }
    }
}

impl From<Outage> for StoreError {
    fn from(outage: Outage) -> StoreError {
        StoreError::Unavailable(outage)
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
    /// The shards are ours, each from its position on.
    Won(BTreeMap<ShardId, Fence>),
    /// Somebody else leads one of them, and is alive: none was taken.
    Held {
        /// Which; the first of several.
        shard: ShardId,
        /// Who.
        holder: String,
        /// How long ago it was last renewed, in milliseconds of the store's clock.
        renewed_ms_ago: u64,
    },
}

/// A process that may lead a part of the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// By which it leads.
    pub holder: String,
    /// At most so many processes lead at a time, as it was told.
    pub leaders: u32,
}

/// The answer to `attend`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    /// Who was there less than `TAKEOVER_AFTER` ago, whoever came first first.
    pub members: Vec<Member>,
    /// Who renewed each shard less than `TAKEOVER_AFTER` ago; the others are free.
    pub led: BTreeMap<ShardId, String>,
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
    TaskRun(TaskRunId),
}

impl Entity {
    /// `entity_type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Entity::Run(_) => "run",
            Entity::TaskRun(_) => "task_run",
        }
    }

    /// The run that it is, or is of.
    pub fn run(&self) -> &RunId {
        match self {
            Entity::Run(id) => id,
            Entity::TaskRun(id) => &id.run,
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
    /// Takes the shards for `holder`, all or none: none when another holder renewed one of them less than
    /// `TAKEOVER_AFTER` ago. A holder that asks again gets new epochs: what it sent under the old ones and has not been
    /// committed never will be. To ask for what is held writes nothing.
    async fn lead(&self, shards: &[ShardId], holder: &str) -> Result<Leadership, StoreError>;

    /// Says that the leader of these shards is alive, at once for all of them. `Deposed` names the first whose epoch is
    /// over; the others are renewed all the same.
    async fn renew(&self, fences: &[Fence]) -> Result<(), StoreError>;

    /// Gives the shards up and ends their epochs, so that the next leader need not wait. No error when one was lost
    /// before.
    async fn release(&self, fences: &[Fence]) -> Result<(), StoreError>;

    /// Moves the shard's position forward to `to`, with no history in between: what a state that is lost gave to others is
    /// given to nobody again. A position that is there already stays. `Deposed` when the epoch is over. Gives the fence as
    /// it is then, so it may be said again.
    async fn raise(&self, fence: &Fence, to: i64) -> Result<Fence, StoreError>;

    /// Says that `holder` is there and may lead a part, and tells who else is and who leads what. Written at most once in
    /// `ATTEND_EVERY`, however often it is said; whoever was silent for `TAKEOVER_AFTER` comes anew, behind all others.
    async fn attend(&self, holder: &str, leaders: u32) -> Result<Roll, StoreError>;

    /// `holder` goes: it is on no roll any longer, and what it still leads is given up as by `release`. No error when it was
    /// not there.
    async fn depart(&self, holder: &str) -> Result<(), StoreError>;

    /// The shard's epoch and position as committed: the answer to an unknown outcome.
    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError>;

    /// Keeps a revision; one that is there already stays as it is. `Refused` when two tasks have one name, or when
    /// a task depends on a name that is not there.
    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError>;

    /// A revision, if it is there.
    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError>;

    /// Points a Workflow's name at its revision, or says why it has none. A head that is there as it is given is not
    /// written again. `Deposed` when the epoch of `fence`, which is of the namespace's shard, is over; `Refused` when the
    /// revision is not there, or the head larger than `HEAD_BYTES_MAX`.
    async fn put_head(&self, head: &Head, fence: &Fence) -> Result<(), StoreError>;

    /// The Workflow of this name is gone; its revisions stay. No error when there is no head. `Deposed` as of `put_head`.
    async fn drop_head(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), StoreError>;

    /// A Workflow's head, if it is there.
    async fn head(&self, namespace: &str, name: &str) -> Result<Option<Head>, StoreError>;

    /// Namespaces and names of Workflows that have a head, in an order of the store's own, at most `limit`, from the one
    /// behind `after` on.
    async fn head_names(
        &self,
        after: Option<(String, String)>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError>;

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

    /// The first of these runs, as many as are read well at once, at least one unless none is asked for; each as by
    /// [`Store::run`].
    async fn runs(&self, ids: &[RunId]) -> Result<Vec<Result<Option<RunRecord>, StoreError>>, StoreError> {
        match ids.first() {
            Some(id) => Ok(vec![self.run(id).await]),
            None => Ok(Vec::new()),
        }
    }

    /// A run's own row, if it is there: where it is, without its task runs, of which there may be very many.
    async fn run_row(&self, id: &RunId) -> Result<Option<RunRow>, StoreError> {
        Ok(self.run(id).await?.map(|record| record.run))
    }

    /// Those of these runs that are there.
    async fn which_are_there(&self, ids: &[RunId]) -> Result<BTreeSet<RunId>, StoreError> {
        let mut there = BTreeSet::new();
        for id in ids {
            if self.run_row(id).await?.is_some() {
                there.insert(id.clone());
            }
        }
        Ok(there)
    }

    /// The runs of this name, newest first, at most `limit`: a run that was deleted leaves its name to the next one.
    async fn find_runs(&self, namespace: &str, name: &str, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// The history of a run or task run, newest first, at most `limit` rows.
    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError>;

    /// What happened in a shard behind the position `after`, in the order in which it happened, at most `limit` rows and
    /// `TRANSITIONS_PAGE`; none: nothing further is committed. Whoever goes on after the last position that it read
    /// misses nothing and sees nothing twice, however many commits come meanwhile, and no commit waits for it. Positions
    /// have no gaps: where one is missing, its row is kept no longer.
    async fn transitions(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<HistoryRow>, StoreError>;

    /// The attempts of a task run, newest first, at most `limit`. One that was taken back before any worker saw it has no
    /// row: its number is used again.
    async fn attempts(&self, task: &TaskRunId, limit: u32) -> Result<Vec<AttemptRow>, StoreError>;

    /// Keeps lines of logs, in the order in which they are given; a line (attempt and number) that is there stays as it
    /// is, so this may be said again. Lines of task runs that are not there are dropped: it tells how many were not. A NUL
    /// becomes U+FFFD, a time before 1970 becomes 1970. Not fenced: a line changes nothing but the log. Lines go with
    /// their run.
    async fn put_logs(&self, lines: &[LogLine]) -> Result<usize, StoreError>;

    /// Lines of a run in the order in which they came, from `query.after` on. A page may be shorter than its limit
    /// (`LOG_PAGE_LINES`, `LOG_PAGE_BYTES`); only an empty one is the end. Whoever goes on after the last position misses
    /// nothing and sees nothing twice, also while lines are added. `Refused` for an item without its task.
    async fn logs(&self, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError>;

    /// Says that this store belongs to the cluster of this id (1 to 253 characters). The first one to say so owns it;
    /// another is `Refused`, unless it adopts the store.
    async fn claim_cluster(&self, id: &str, adopt: bool) -> Result<(), StoreError>;

    /// Does the store work? `Unavailable` also when it answers, and would take no writes or did not take the last ones.
    async fn ping(&self) -> Result<(), StoreError>;
}
