//! What a store needs done now and then: room for the days to come, and an end for what is too old.
//!
//! Nothing of it is part of a commit, and each call is one short transaction: whoever calls decides how much the rest of the
//! work is to feel of it.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    change::Fence,
    ids::{RunId, ShardId},
};
use crate::store::{Store, StoreError};

/// A store that can be looked after.
#[async_trait]
pub trait Upkeep: Store {
    /// Makes room for today and the days to come, where history and logs are kept by the day; tells how many were made. What
    /// has no day of its own is kept all the same. Two at once do no harm. `Unavailable` when a table was busy: try later.
    async fn add_days(&self) -> Result<u32, StoreError>;

    /// One step of a pass that removes what ended before a time; the answer names the next step, and none at the end.
    ///
    /// Finished runs go whole, those that started first first: from its first step on a run is not there for any reader, and
    /// a pass that ends in between is taken up by the next one. Only runs of shards whose epoch is not over are touched.
    /// Then go revisions that nothing refers to any longer, then whole days of history and logs that no run reaches back into,
    /// and rows without a run out of days that stay.
    async fn expire(&self, ask: &Expiry, cursor: Cursor) -> Result<(Removed, Option<Cursor>), StoreError>;
}

/// What is to be removed.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// Of these shards; whoever leads shard 0 removes what is nobody's in particular.
    pub fences: Vec<Fence>,
    /// Runs that ended before.
    pub before: Timestamp,
    /// At most about so many rows a step.
    pub rows: u32,
}

impl Expiry {
    /// Is what belongs to no shard ours to remove?
    pub(super) fn covers_the_rest(&self) -> bool {
        self.fences.iter().any(|fence| fence.shard.number() == 0)
    }

    pub(super) fn covers(&self, shard: ShardId) -> bool {
        self.fences.iter().any(|fence| fence.shard == shard)
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs.
    pub runs: u64,
    /// Task runs, each with its attempts, approvals and artifacts.
    pub task_runs: u64,
    /// Revisions.
    pub revisions: u64,
    /// Whole days of history or logs.
    pub days: u64,
    /// Rows of history and lines of logs beyond those.
    pub rows: u64,
}

impl Removed {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Removed) -> Removed {
        Removed {
            runs: self.runs.saturating_add(other.runs),
            task_runs: self.task_runs.saturating_add(other.task_runs),
            revisions: self.revisions.saturating_add(other.revisions),
            days: self.days.saturating_add(other.days),
            rows: self.rows.saturating_add(other.rows),
        }
    }
}

/// How far a pass has come. The first one is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(super) Place);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the run that started then.
    Runs(Option<(Timestamp, RunId)>),
    /// Behind this revision.
    Revisions(String),
    /// At the partition behind this one; so many times it could not be had.
    Days { after: String, tries: u32 },
    /// Within a partition that stays, behind this row.
    Rows { part: String, of_history: bool, after: RowKey },
}

impl Default for Place {
    fn default() -> Place {
        Place::Runs(None)
    }
}

/// The key of a row of history, or of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowKey {
    pub text: String,
    pub high: i64,
    pub low: i64,
}
