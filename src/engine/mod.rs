//! The verbs, pure: a run and an event in, a plan out. No clock, no I/O, no async; `now` is an argument.
//!
//! ```text
//!  Event ──> Run::apply ──> Plan { changes, effects }
//!              │  report.rs   what workers tell          approve.rs  what people say
//!              │  stop.rs     cancel, timeouts, failFast  expand.rs   forEach: chunks of items
//!              │  pause.rs    pause, resume, the clock of a run's timeout
//!              │  advance.rs  a task leaves PENDING       finish.rs   ends, finally, the run's end
//!              └─ offer.rs    which READY tasks may be dispatched (maxParallel)
//! ```
//!
//! `apply` changes the run in memory and says what to write; whoever cannot write it throws the run away and
//! restores it from its rows (`restore.rs`), so memory never holds what was not committed.

mod advance;
mod approve;
mod expand;
mod finish;
mod job;
mod list;
mod offer;
mod outline;
mod pause;
mod report;
mod restore;
mod scope;
mod sheet;
mod slot;
mod stop;
mod view;
mod waiting;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;

use crate::model::{
    change::Changes,
    ids::TaskKey,
    job::Outcome,
    json::Text,
    reason::Reason,
    run::{Actor, RunRow},
    status::{RunStatus, TaskStatus},
    task::TaskNo,
    task_run::{ApprovalRow, Decision},
    workflow::Workflow,
};

use list::List;
use slot::Slot;
use waiting::Waiting;

pub use outline::outline;
pub use view::aggregate;

/// Workers that one task run may lose before it is given up.
pub const LOSSES_MAX: u32 = 3;
/// Item rows that one commit may bear.
pub const EXPAND_CHUNK: usize = 500;
/// Longest error text kept on a row, in characters.
pub const ERROR_CHARS: usize = 2_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The conductor gives an offered task run a place in the queue.
    Dispatched(TaskKey),
    /// A worker started an attempt.
    Started {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
        /// Which worker.
        worker: String,
    },
    /// A worker ended an attempt.
    Ended {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
        /// Which worker.
        worker: String,
        /// How.
        outcome: Outcome,
    },
    /// The worker of an attempt is gone, or the job of a queued one.
    Lost {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
    },
    /// The job was taken back from the queue, and no worker had seen it.
    Removed {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
    },
    /// The job is taken back, and a worker may have seen it: the queue does not have it, or it was published twice and
    /// may have been claimed in between.
    Forgotten {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
    },
    /// A person decided.
    Decided {
        /// Of which task.
        task: TaskNo,
        /// Which asking: the round.
        asking: u32,
        /// Who.
        user: String,
        /// What.
        decision: Decision,
        /// Why.
        note: Option<String>,
        /// Did the API server's admission policy vouch for the user?
        verified: bool,
    },
    /// The last chunk of items is committed: go on.
    Expand(TaskKey),
    /// Time passed.
    Tick,
    /// A user cancels the run.
    Cancel {
        /// Do the finally tasks still run?
        finally: bool,
    },
    /// A user pauses the run: nothing further is published.
    Pause,
    /// A user lets it go on.
    Resume,
}

/// What the conductor does once the changes are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A READY task run may be dispatched.
    Offer(TaskKey),
    /// It may no longer be dispatched.
    Withdraw(TaskKey),
    /// A QUEUED task run's job is new, and belongs in the queue.
    Publish(TaskKey),
    /// A QUEUED task run's job belongs in the queue, and may have been there before.
    Republish(TaskKey),
    /// Take the job of an attempt back.
    Remove {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
        /// If a worker has it: stop it?
        kill: bool,
    },
    /// The start of an attempt is committed: its worker, which waits for this word, may begin.
    Go {
        /// Of which task run.
        key: TaskKey,
        /// Which attempt.
        attempt: u32,
    },
    /// More items of a group are to be born: send `Event::Expand` after this commit.
    Expand(TaskKey),
    /// The run is final.
    Ended,
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To be committed, all or nothing.
    pub changes: Changes,
    /// To be done after that.
    pub effects: Vec<Effect>,
}

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Of an older attempt, or said before: count it and drop it.
    #[error("task run {key:?} is past attempt {attempt} (it is {status}, attempt {current})")]
    Stale {
        /// Which task run.
        key: TaskKey,
        /// The event's attempt.
        attempt: u32,
        /// Where the row is.
        status: TaskStatus,
        /// The row's attempt.
        current: u32,
    },
    /// No such task run.
    #[error("the run has no task run {0:?}")]
    Unknown(TaskKey),
    /// Nobody asks, or asks something else by now.
    #[error("task `{task}` does not wait for this approval (it is {status}, asking {asking})")]
    NotAsking {
        /// Its name.
        task: String,
        /// Where it is.
        status: TaskStatus,
        /// The newest asking.
        asking: u32,
    },
    /// The run has ended.
    #[error("the run has ended: {0}")]
    Ended(RunStatus),
    /// It is being stopped, and so is not to be paused: what still runs of it ends or cleans up.
    #[error("the run is being stopped ({}) and cannot be paused", .0.sentence())]
    Stopping(Reason),
    /// A transition that the table does not have: a defect of the engine; the run is set aside.
    #[error("{key:?} cannot go from {from} to {to}")]
    Illegal {
        /// Which task run.
        key: TaskKey,
        /// From where.
        from: TaskStatus,
        /// To where.
        to: TaskStatus,
    },
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Run,
    Finally,
    Task(TaskKey),
}

/// A forEach at work: its list, its items, and what has become of them.
#[derive(Clone, Debug)]
struct Group {
    list: List,
    /// Born so far, in index order.
    items: Vec<Slot>,
    open: usize,
    success: usize,
    failed: usize,
    cancelled: usize,
    /// Places taken of `forEach.maxParallel`.
    used: u32,
    /// READY items that have such a place, and are not dispatched yet.
    admitted: usize,
    /// READY items that wait for one.
    waiting: Waiting,
}

/// A task in its newest round.
#[derive(Clone, Debug)]
struct Node {
    key: TaskKey,
    row: Slot,
    /// Upstreams that are not final.
    open: u32,
    /// Upstreams that failed, in the eyes of a rule.
    failed: u32,
    /// Upstreams that were skipped.
    skipped: u32,
    group: Option<Box<Group>>,
    approvals: Vec<ApprovalRow>,
    /// What its jobs share of `$RELAY_INPUT`, made for the first of them and dropped when it ends.
    document: OnceLock<Option<Text>>,
}

/// A live run.
#[derive(Clone, Debug)]
pub struct Run {
    workflow: Arc<Workflow>,
    row: RunRow,
    /// By task number.
    nodes: Vec<Node>,
    timers: BTreeSet<(Timestamp, Timer)>,
    offers: offer::Offers,
    /// Tasks outside finally that are not final.
    open_main: usize,
    /// Finally tasks that are not final.
    open_finally: usize,
    /// A task outside finally failed, without `onError: Continue`.
    main_failed: bool,
    /// A finally task did.
    finally_failed: bool,
    /// Rows of the run.
    rows: usize,
    /// Tasks that became final and whose dependents do not know yet.
    ended: VecDeque<TaskNo>,
    /// Names of workers that ran something of it.
    workers: BTreeSet<Arc<str>>,
    sheet: sheet::Sheet,
}

impl Run {
    /// A new run: its rows are born, and what can start is offered. A row that is FAILED already is born so, alone:
    /// the run was refused, and its row says why.
    pub fn begin(workflow: Arc<Workflow>, row: RunRow, now: Timestamp) -> Result<(Run, Plan), Refused> {
        let mut run = Run::bare(workflow, row, now);
        run.sheet.open(now, Actor::Engine);
        run.born_run();
        if run.row.status.is_final() {
            // Refused before anything could start: it has no task runs.
            run.row.finished_at = Some(now);
            run.sheet.effect(Effect::Ended);
            return run.take_plan().map(|plan| (run, plan));
        }
        for no in 0..run.nodes.len() {
            run.sheet.birth(TaskKey::of_task(no as TaskNo));
        }
        run.arm_run_timers();
        for no in 0..run.nodes.len() {
            run.settle(no as TaskNo);
        }
        run.close().map(|plan| (run, plan))
    }

    /// Takes an event. On `Err` nothing was changed, but for `Illegal`, after which the run must be restored.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<Plan, Refused> {
        if self.row.status.is_final() {
            return Err(Refused::Ended(self.row.status));
        }
        self.sheet.open(now, Run::actor(&event));
        match event {
            Event::Dispatched(key) => self.dispatched(key)?,
            Event::Started { key, attempt, worker } => self.started(key, attempt, worker)?,
            Event::Ended { key, attempt, worker, outcome } => {
                self.attempt_ended(key, attempt, worker, outcome)?
            }
            Event::Lost { key, attempt } => self.lost(key, attempt)?,
            Event::Removed { key, attempt } => self.removed(key, attempt)?,
            Event::Forgotten { key, attempt } => self.forgotten(key, attempt)?,
            Event::Decided { task, asking, user, decision, note, verified } => {
                let key = TaskKey::of_task(task);
                self.decided(task, asking, ApprovalRow { key, user, decision, note, verified, at: now })?;
            }
            Event::Expand(key) => self.expand_further(key)?,
            Event::Tick => self.tick(),
            Event::Cancel { finally } => self.cancel(finally),
            Event::Pause => self.pause()?,
            Event::Resume => self.resume(),
        }
        self.close()
    }

    /// When the next `Event::Tick` is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn actor(event: &Event) -> Actor {
        match event {
            Event::Started { .. } | Event::Ended { .. } => Actor::Worker,
            Event::Decided { .. } | Event::Cancel { .. } | Event::Pause | Event::Resume => Actor::User,
            Event::Tick => Actor::Timer,
            Event::Dispatched(_)
            | Event::Lost { .. }
            | Event::Removed { .. }
            | Event::Forgotten { .. }
            | Event::Expand(_) => Actor::Engine,
        }
    }

    /// Lets every consequence follow, then hands out what is to be written.
    fn close(&mut self) -> Result<Plan, Refused> {
        self.drain();
        self.check_end();
        self.offer_waiting();
        self.take_plan()
    }
}
