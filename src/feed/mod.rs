//! What live views show: transitions as they are committed, and the lines that tasks write.
//!
//! A feed is no record. Whoever must know asks the store; whoever watches is told what it missed. Two kinds of
//! reader decide who waits: a `Reader::Watch` never holds anybody up and may miss something; a `Reader::Every` gets
//! each line, for the worker waits once its buffer is full (as a process waits at a full pipe: right on a laptop,
//! where the reader is the terminal). The conductor never waits for a reader of either kind.

pub mod memory;
pub mod redis;

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::model::log::{LogLine, Stream};

use crate::model::{
    change::{Changes, RunChange, Step, TaskChange},
    ids::{RunId, ShardId, TaskKey},
    reason::Reason,
    run::Actor,
    status::{RunStatus, TaskStatus},
    task::TaskNo,
};

/// An edge taken by a run or by a task run, as committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which run.
    pub run: RunId,
    /// Who took which edge.
    pub edge: Edge,
    /// Why.
    pub reason: Option<Reason>,
    /// By what or whom.
    pub actor: Actor,
    /// What to say of it beyond the reason; told with the last edge of a commit.
    pub error: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// The edge of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Edge {
    /// No edge: the run cannot go on, and is left as it stands for a person to look at; `error` says why.
    SetAside,
    /// The run's own.
    Run {
        /// Left state; none for a birth.
        from: Option<RunStatus>,
        /// Entered state.
        to: RunStatus,
    },
    /// A task run's.
    Task {
        /// Which.
        key: TaskKey,
        /// The attempt it belongs to.
        attempt: u32,
        /// Left state; none for a birth.
        from: Option<TaskStatus>,
        /// Entered state.
        to: TaskStatus,
        /// The exit status of the last attempt that had one; told with the last edge of a commit.
        exit_code: Option<i32>,
        /// Who runs it, or ran it last.
        worker: Option<String>,
        /// What a person is asked; told with the edge to BLOCKED.
        question: Option<String>,
    },
}

/// The events of what one commit changed in one run: the run's start first, then its tasks by number, its end last.
pub fn events_of(run: &RunId, changes: &Changes) -> Vec<Event> {
    let of_run = changes.run.iter().flat_map(|change| run_events(run, change));
    let of_tasks = changes.tasks.iter().flat_map(|(key, change)| task_events(run, *key, change));
    let mut events: Vec<Event> = of_run.chain(of_tasks).collect();
    events.sort_by_key(place);
    events
}

/// Its place among the events of one commit. A forEach ends after its items.
fn place(event: &Event) -> (bool, Option<TaskNo>, bool) {
    match event.edge {
        Edge::Run { to, .. } => (to.is_final(), None, false),
        Edge::Task { key, to, .. } => (false, Some(key.task), key.item.is_none() && to.is_final()),
        Edge::SetAside => (false, None, false),
    }
}

fn run_events<'a>(run: &'a RunId, change: &'a RunChange) -> impl Iterator<Item = Event> + 'a {
    let last = change.steps.len().saturating_sub(1);
    change.steps.iter().enumerate().map(move |(no, step)| {
        let edge = Edge::Run { from: step.from, to: step.to };
        event(run, step, edge, change.row.error.as_ref().filter(|_| no == last))
    })
}

fn task_events<'a>(run: &'a RunId, key: TaskKey, change: &'a TaskChange) -> impl Iterator<Item = Event> + 'a {
    let last = change.steps.len().saturating_sub(1);
    change.steps.iter().enumerate().map(move |(no, step)| {
        let edge = Edge::Task {
            key,
            attempt: step.attempt,
            from: step.from,
            to: step.to,
            exit_code: change.row.exit_code.filter(|_| no == last),
            worker: change.row.worker.as_deref().map(str::to_owned),
            question: (step.to == TaskStatus::Blocked).then(|| change.row.question()).flatten(),
        };
        event(run, step, edge, change.row.error.as_ref().filter(|_| no == last))
    })
}

fn event<S>(run: &RunId, step: &Step<S>, edge: Edge, error: Option<&String>) -> Event {
    Event {
        run: run.clone(),
        edge,
        reason: step.reason,
        actor: step.actor,
        error: error.cloned(),
        at: step.at,
    }
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Item {
    /// A transition.
    Event(Event),
    /// A line. The lines of an attempt come before the event of its end.
    Line(LogLine),
    /// The reader was too slow: here something is missing.
    Missed {
        /// So many events.
        events: u64,
        /// So many lines.
        lines: u64,
    },
}

/// Who waits when a reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Nobody: it is told how much it missed.
    Watch,
    /// Workers, with their lines, until it has read. Events it may miss, but only after a far larger bound.
    Every,
}

/// The feed's verbs.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Shows what was committed to whoever watches. Never waits.
    fn publish(&self, events: Vec<Event>);

    /// Shows lines of one attempt, all of them or, when the future is dropped, none; waits while a reader of every
    /// line has no room.
    async fn log(&self, lines: Vec<LogLine>);

    /// What comes from now on: of one run, or of all.
    fn subscribe(&self, run: Option<RunId>, reader: Reader) -> Box<dyn Subscription>;
}

/// One reader's end of a feed. Dropping it ends it.
#[async_trait]
pub trait Subscription: Send {
    /// What came since, oldest first, at most `max` items (but at least one); waits until there is one. None at all:
    /// the feed is closed. Dropping the future loses nothing.
    async fn next(&mut self, max: usize) -> Vec<Item>;
}

/// What can go wrong with a stream of lines.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not reachable; it may or may not have been done. Every verb may be said again.
    #[error("the log stream cannot be reached: {0}")]
    Unavailable(String),
}

impl FeedError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            FeedError::Unavailable(_) => "unavailable",
        }
    }
}

/// Lines of one pool's tasks, as its workers wrote them: only the pool is certain, for its workers cannot write elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// `<namespace>/<pool>`.
    pub pool: String,
    /// In the order in which they came.
    pub lines: Vec<LogLine>,
    /// Where in the pool's stream they end, in the stream's own words.
    pub end: String,
    /// What they take there, in bytes.
    pub bytes: u64,
}

/// Lines that wait to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// At most one a pool.
    pub pieces: Vec<LogPiece>,
}

/// Lines on their way from workers to the store: they wait here until they are stored.
#[async_trait]
pub trait LogStream: Send + Sync {
    /// The oldest lines that wait, about `max` of them; waits until there are some. They come again until `trim`.
    async fn read(&self, max: usize) -> Result<LogBatch, FeedError>;

    /// Lines of pools of these shards wait where they are, until it is said otherwise.
    fn leave_out(&self, shards: &BTreeSet<ShardId>);

    /// These lines are stored: forgets them.
    async fn trim(&self, batch: &LogBatch) -> Result<(), FeedError>;
}
