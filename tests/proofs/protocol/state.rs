//! What there is: the row, Redis, two conductors, two workers.

/// How far the task run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    #[default]
    Ready,
    Queued,
    /// Of a task that is made at most once: a worker may begin it.
    Running,
    Success,
    /// Of such a task: whoever might have begun it is gone.
    Failed,
}

impl Status {
    pub fn is_final(self) -> bool {
        matches!(self, Status::Success | Status::Failed)
    }
}

/// The committed row, and what a conductor believes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    pub status: Status,
    pub attempt: u8,
    /// Of RUNNING: whose.
    pub worker: usize,
}

/// A job in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub attempt: u8,
    pub worker: usize,
    pub ended: bool,
    /// Its worker may begin it.
    pub go: bool,
}

/// What a worker told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    pub attempt: u8,
    pub worker: usize,
    /// It would begin; otherwise it has ended.
    pub start: bool,
}

/// Redis. Incarnation 0: it knows of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Redis {
    pub incarnation: u8,
    pub epoch: u8,
    pub pending: Vec<u8>,
    pub leases: Vec<Lease>,
    pub reports: Vec<Report>,
    /// Workers that have not told yet what they hold.
    pub announcing: [bool; 2],
}

impl Redis {
    pub fn lease(&mut self, attempt: u8) -> Option<&mut Lease> {
        self.leases.iter_mut().find(|lease| lease.attempt == attempt)
    }

    pub fn knows(&self, attempt: u8) -> bool {
        self.pending.contains(&attempt) || self.leases.iter().any(|lease| lease.attempt == attempt)
    }
}

/// What a conductor is about to say to Redis, as it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    Publish(u8),
    /// Forget this attempt, and its reports.
    Settle(u8),
    /// Begin it.
    Go(u8, usize),
}

/// A conductor. Epoch 0: it leads nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conductor {
    pub epoch: u8,
    /// The incarnation that it knows.
    pub incarnation: u8,
    pub row: Row,
    /// What it offered last, and in which incarnation.
    pub offered: (u8, u8),
    /// On its way, with the epoch and the incarnation in which it was decided.
    pub word: Option<(Word, u8, u8)>,
}

/// A worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Worker {
    pub dead: bool,
    pub incarnation: u8,
    /// The attempt that it would begin, once it may.
    pub waits: Option<u8>,
    /// The attempt that it runs.
    pub runs: Option<u8>,
    /// The attempt whose end it told, or has to tell again.
    pub kept: Option<u8>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub takeovers: u8,
    pub flushes: u8,
    pub deaths: u8,
    /// A worker that lives is taken for dead.
    pub silences: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub epoch: u8,
    pub row: Row,
    pub redis: Redis,
    pub incarnations: u8,
    pub conductors: [Conductor; 2],
    pub workers: [Worker; 2],
    pub budget: Budget,
    /// Somebody's time was over, or a worker died: what was begun may begin again.
    pub waited_enough: bool,
    /// Which attempts were begun, a bit each.
    pub begun: u16,
    // What went wrong.
    pub ends: u8,
    pub wrong_end: bool,
    pub published_late: bool,
    pub begun_more: bool,
    pub begun_again: bool,
    pub begun_twice: bool,
    pub thrown_away: bool,
}

impl State {
    pub fn new(budget: Budget) -> State {
        State {
            epoch: 0,
            row: Row::default(),
            redis: Redis::default(),
            incarnations: 0,
            conductors: Default::default(),
            workers: Default::default(),
            budget,
            waited_enough: false,
            begun: 0,
            ends: 0,
            wrong_end: false,
            published_late: false,
            begun_more: false,
            begun_again: false,
            begun_twice: false,
            thrown_away: false,
        }
    }

    /// The task has ended, and Redis holds nothing of it.
    pub fn is_clean(&self) -> bool {
        let Redis { pending, leases, reports, .. } = &self.redis;
        self.row.status.is_final() && pending.is_empty() && leases.is_empty() && reports.is_empty()
    }
}
