//! What there is: the row, Redis, two conductors, two workers.

/// How far the task run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    #[default]
    Ready,
    Queued,
    Success,
}

/// The committed row, and what a conductor believes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    pub status: Status,
    pub attempt: u8,
}

/// A job in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub attempt: u8,
    pub worker: usize,
    pub ended: bool,
}

/// Redis. Incarnation 0: it knows of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Redis {
    pub incarnation: u8,
    pub epoch: u8,
    pub pending: Vec<u8>,
    pub leases: Vec<Lease>,
    pub reports: Vec<u8>,
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
}

/// A conductor. Epoch 0: it leads nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conductor {
    pub epoch: u8,
    /// The incarnation that it knows.
    pub incarnation: u8,
    pub row: Row,
    /// On its way, with the epoch and the incarnation in which it was decided.
    pub word: Option<(Word, u8, u8)>,
}

/// A worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Worker {
    pub dead: bool,
    pub incarnation: u8,
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
    /// The newest attempt that a worker took.
    pub begun: u8,
    // What went wrong.
    pub ends: u8,
    pub wrong_end: bool,
    pub published_late: bool,
    pub begun_again: bool,
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
            begun_again: false,
            thrown_away: false,
        }
    }

    /// The task has ended, and Redis holds nothing of it.
    pub fn is_clean(&self) -> bool {
        let Redis { pending, leases, reports, .. } = &self.redis;
        self.row.status == Status::Success && pending.is_empty() && leases.is_empty() && reports.is_empty()
    }
}
