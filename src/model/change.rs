//! What one commit writes: the changes of many runs, each with the state that it expects to find.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{
    ids::{RunId, ShardId, TaskKey},
    reason::Reason,
    run::{Actor, RunRow},
    status::{RunStatus, TaskStatus},
    task_run::{ApprovalRow, AttemptRow, TaskRow},
};

/// One edge taken, as `state_history` keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<S> {
    /// Left state; none for a birth.
    pub from: Option<S>,
    /// Entered state.
    pub to: S,
    /// The attempt it belongs to (0 for a run).
    pub attempt: u32,
    /// Why.
    pub reason: Option<Reason>,
    /// By what or whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// A row of `task_runs` as it shall be, and the state in which it must be found.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskChange {
    /// Expected status and attempt; none for a new row.
    pub expect: Option<(TaskStatus, u32)>,
    /// The row as it shall be.
    pub row: TaskRow,
    /// The edges taken, in order; a birth in PENDING is none.
    pub steps: Vec<Step<TaskStatus>>,
    /// Rows of `attempts` as they shall be, each number once: whole, new or not.
    pub attempts: Vec<AttemptRow>,
}

/// Notes how a row of `attempts` shall be: of one number the last word counts.
pub fn note_attempt(attempts: &mut Vec<AttemptRow>, row: AttemptRow) {
    match attempts.iter_mut().find(|noted| noted.attempt == row.attempt) {
        Some(noted) => *noted = row,
        None => attempts.push(row),
    }
}

/// A row of `runs` as it shall be, and the state in which it must be found.
#[derive(Clone, Debug, PartialEq)]
pub struct RunChange {
    /// Expected status; none for a new row.
    pub expect: Option<RunStatus>,
    /// The row as it shall be.
    pub row: RunRow,
    /// The edges taken, in order.
    pub steps: Vec<Step<RunStatus>>,
}

/// Everything that one commit changes in one run. Most are of one row, made and merged by the thousand: what is large lies in boxes,
/// for a map makes room for eleven at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The run's shard.
    pub shard: ShardId,
    /// The run's own row.
    pub run: Option<Box<RunChange>>,
    /// Its task runs.
    pub tasks: BTreeMap<TaskKey, Box<TaskChange>>,
    /// New words of people.
    pub approvals: Vec<ApprovalRow>,
}

impl Changes {
    /// None yet.
    pub fn new(shard: ShardId) -> Changes {
        Changes { shard, run: None, tasks: BTreeMap::new(), approvals: Vec::new() }
    }

    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        self.run.is_none() && self.tasks.is_empty() && self.approvals.is_empty()
    }

    /// How many rows of history they make.
    pub fn history_rows(&self) -> usize {
        self.run.as_ref().map_or(0, |r| r.steps.len())
            + self.tasks.values().map(|t| t.steps.len()).sum::<usize>()
    }

    /// Adds what happened to the same run after these: several edges of a row become one write.
    pub fn merge(&mut self, later: Changes) {
        match (&mut self.run, later.run) {
            (Some(earlier), Some(later)) => {
                earlier.row = later.row;
                earlier.steps.extend(later.steps);
            }
            (earlier, Some(later)) => *earlier = Some(later),
            (_, None) => {}
        }
        for (key, change) in later.tasks {
            match self.tasks.get_mut(&key) {
                Some(earlier) => {
                    // A later row may leave out what is written once, when the row leaves PENDING.
                    let input = earlier.row.input.take();
                    earlier.row = change.row;
                    earlier.row.input = earlier.row.input.take().or(input);
                    earlier.steps.extend(change.steps);
                    change.attempts.into_iter().for_each(|row| note_attempt(&mut earlier.attempts, row));
                }
                None => drop(self.tasks.insert(key, change)),
            }
        }
        self.approvals.extend(later.approvals);
    }
}

/// Leadership of a shard, proven at each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Which shard.
    pub shard: ShardId,
    /// One more at each change of leader.
    pub epoch: i64,
    /// How many rows of history the shard has.
    pub seq: i64,
}

/// One commit: the changes of many runs, in shards of one leader.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Who may write, and after which row of history; one for each shard of `runs`.
    pub fences: BTreeMap<ShardId, Fence>,
    /// By run.
    pub runs: BTreeMap<RunId, Changes>,
}

impl Batch {
    /// Nothing to write?
    pub fn is_empty(&self) -> bool {
        self.runs.values().all(Changes::is_empty)
    }

    /// A shard's position once this is committed: history has one row a position, without gaps.
    pub fn seq_after(&self, fence: &Fence) -> i64 {
        let rows = self.runs.values().filter(|c| c.shard == fence.shard).map(Changes::history_rows);
        fence.seq + rows.sum::<usize>() as i64
    }
}
