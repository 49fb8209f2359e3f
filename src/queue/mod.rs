//! The transport between the conductor and its workers: it may vanish, and nothing is lost.
//!
//! A job is at every moment in `pending`, in a lease that names its worker, or final in the store. Only the
//! conductor ends a lease (`settle`), after the commit. Two sides of one thing: `Queue` is the conductor's,
//! `Jobs` the worker's. One conformance suite runs over every implementation (tests/it/conformance).

pub mod memory;
pub mod postgres;
pub mod redis;
mod reign;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    ids::ShardId,
    job::{Job, JobId, Report},
};

/// What can go wrong in a queue.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Not reachable; it may or may not have been done. Every verb may be said again.
    #[error("the queue cannot be reached: {0}")]
    Unavailable(String),
    /// The bound that was reached.
    #[error("the queue is full: {0}")]
    Full(&'static str),
    /// Another leader has spoken to the pool since: it was not done.
    #[error("pool {pool} has heard a newer leader (epoch {epoch})")]
    Deposed {
        /// Which.
        pool: String,
        /// In which epoch that leader spoke.
        epoch: i64,
    },
    /// It was not done: who does not lead the pool's shard says nothing to it.
    #[error("this process does not lead pool {0}")]
    NotLed(String),
    /// The queue's server lets this process make no users: somebody must change that, or the setting.
    #[error("{0}")]
    UsersRefused(String),
}

impl QueueError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            QueueError::Unavailable(_) => "unavailable",
            QueueError::Full(_) => "full",
            QueueError::Deposed { .. } => "deposed",
            QueueError::NotLed(_) => "not_led",
            QueueError::UsersRefused(_) => "users_refused",
        }
    }
}

/// What `remove` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was pending, and is gone: no worker has seen it, none will.
    Removed,
    /// A worker has it.
    Claimed,
    /// The queue does not hold it.
    Absent,
}

/// A job that a queue can never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Which.
    pub job: JobId,
    /// Why, and what to do, as a sentence without a full stop.
    pub why: String,
}

/// A place in the stream of reports; `Position::START` is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// Before the first report.
    pub const START: Position = Position(0);
}

/// A job where it runs. The pool is what the conductor knows, or what the books were in which the job was seen: a job that
/// is in another pool's books is another job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// `<namespace>/<pool>`.
    pub pool: Arc<str>,
    /// Which.
    pub job: JobId,
}

/// A job that a worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which, and in whose books.
    pub place: Placed,
    /// Who.
    pub worker: String,
    /// Is the worker's last beat, to this pool, younger than the presence TTL?
    pub present: bool,
}

/// The start of a job is committed, and whoever said that it would start it may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Go {
    /// Which, and in whose books.
    pub place: Placed,
    /// The worker that said so: nobody else may.
    pub worker: String,
}

/// A report as the conductor reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Where it stands.
    pub at: Position,
    /// `<namespace>/<pool>`: the pool whose workers alone can have told it. Of another pool's task it is no report.
    pub pool: Arc<str>,
    /// What was told.
    pub report: Report,
}

/// What the queue holds, for the sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// The newest report that waits to be settled, or the start when none does: read so far before believing that a
    /// report is missing.
    pub reported: Position,
    /// Jobs that no worker has claimed.
    pub pending: Vec<Placed>,
    /// Jobs that workers hold, until `settle`.
    pub leases: Vec<Lease>,
    /// Workers whose last beat is younger than the presence TTL, of every pool.
    pub present: Vec<String>,
    /// The queue lost its books, and workers may still hold jobs that these do not show: a job that is missing here
    /// is not believed to be missing yet.
    pub announcing: bool,
    /// Which life of its books this is: another word once the queue lost them and began anew, always the same in a queue
    /// that loses nothing. What was offered in another life may have been claimed there, by a worker that cannot tell it.
    pub life: String,
}

/// The epochs in which a process leads, by shard. A pool is of its namespace's shard.
pub type Epochs = BTreeMap<ShardId, i64>;

/// The conductor's side.
///
/// Each verb that changes anything is said in the epoch of its pool's shard. A pool that has heard a newer leader refuses
/// (`QueueError::Deposed`); one that has not remembers this one. So a leader that was replaced without knowing it changes
/// nothing where its successor has spoken, however late its words come.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The store gave these shards in these epochs, and no others: pools of other shards are neither spoken to nor read
    /// from here on. Nothing is sent.
    fn lead(&self, epochs: &Epochs);

    /// The store has just said that this process leads, and the pool refuses it for an epoch that it has `heard`: that one
    /// is none of this store, and is forgotten, unless another was heard since.
    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError>;

    /// Offers jobs to the workers of their pools. A job that is pending or leased already (its end reported or not)
    /// stays as it is. When the queue is full, some may have been taken: say it again later. Gives the jobs that this queue
    /// can never take, however empty it is; all others are not held up by them.
    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError>;

    /// Takes a job back that nobody has claimed.
    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError>;

    /// Asks the worker that holds the job to stop it. Nothing is remembered of a job that nobody holds: `remove` it.
    async fn cancel(&self, job: &Placed) -> Result<(), QueueError>;

    /// Lets workers begin jobs that wait for that word (`Job::at_most_once`). Of a job that its worker does not hold any
    /// longer, or has ended, nothing is remembered. A word that is lost is asked for: the worker tells its start again.
    async fn go(&self, begun: &[Go]) -> Result<(), QueueError>;

    /// Reports after a position, oldest first, at most `max` (but at least one); waits until there is one. Reports
    /// stay until settled, so that a new conductor reads them again from the start. One may come twice.
    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError>;

    /// For as long as it is waited for: fetches reports, as far as there is room, which `reports` then gives at once. What
    /// hinders it is told by that one, if it lasts.
    async fn read_ahead(&self) {
        std::future::pending().await
    }

    /// What these reports told is committed, or was refused for good: forget the reports up to a position, and
    /// forget these jobs in their pools, pending or leased. A worker that still runs one is called.
    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError>;

    /// What is pending, leased and present. A lease is shown as long as its job was not settled, even when its
    /// worker is gone.
    async fn census(&self, now: Timestamp) -> Result<Census, QueueError>;
}

/// Which jobs a worker takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pools {
    /// Those of every pool: the worker of a laptop.
    Every,
    /// Those of one pool, `<namespace>/<pool>`.
    One(String),
}

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who asks.
    pub worker: String,
    /// Whose jobs.
    pub pools: Pools,
    /// At most so many; 0 is answered at once with none.
    pub slots: usize,
    /// The jobs it knows that it holds: running, or ended but not yet reported. A job that it holds by the queue's
    /// books, and that is neither here nor reported as ended, was in an answer that got lost: it is given again.
    pub holding: Vec<JobId>,
}

/// The answer to a beat: what the worker should be doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Jobs that it holds and should stop (a lost cancel heals here).
    pub cancel: Vec<JobId>,
    /// Jobs that it holds, and may begin if they waited for that.
    pub go: Vec<JobId>,
    /// Jobs that it believes to hold and does not: stop them, nobody waits for their result.
    pub abandoned: Vec<JobId>,
    /// It should claim nothing more: its pod is about to go. False again: it may go on.
    pub retired: bool,
    /// Ends that it told, that the conductor has not settled, and that would be lost with both the queue's content and this
    /// worker.
    pub unsettled: usize,
}

/// The worker's side.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Takes jobs, smallest rank first, into leases of the worker; waits until there is one. Dropping the future, or
    /// an error, loses nothing: a job is pending, or the worker's next claim gives it. A worker that is retired gets
    /// nothing new.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError>;

    /// Tells what happened to a job. Kept until the conductor settles it. News of a job that the worker does not hold
    /// (settled meanwhile) is dropped without an error. Said twice, it counts once for the conductor.
    async fn report(&self, report: Report) -> Result<(), QueueError>;

    /// The same, of several that belong together, in their order. After an error some of them may have been told, of which the
    /// first ones: say all of them again.
    async fn report_all(&self, reports: Vec<Report>) -> Result<(), QueueError> {
        for report in reports {
            self.report(report).await?;
        }
        Ok(())
    }

    /// Says that the worker is alive, and which jobs it holds (as `Claim::holding`).
    async fn beat(&self, worker: &str, holding: &[JobId], now: Timestamp) -> Result<Orders, QueueError>;

    /// Waits until there may be new orders for the worker; the next beat gives them, and until then this returns
    /// at once.
    async fn called(&self, worker: &str) -> Result<(), QueueError>;

    /// Gives back what it holds by the queue's books, has not reported as ended, and does not know (as `Claim::holding`): jobs
    /// in an answer that it did not wait for. They are pending again, and nobody has seen them. For a worker that claims
    /// nothing more.
    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError>;

    /// Says good-bye: the worker is present no longer. A lease that it leaves behind stays until it is settled.
    async fn leave(&self, worker: &str) -> Result<(), QueueError>;
}

/// A worker of a pool, as the queue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub worker: String,
    /// Jobs that it holds.
    pub held: usize,
    /// Was it told to claim nothing more?
    pub retired: bool,
}

/// The keeper of pools: who may work for them, and who should stop. `pool` is `<namespace>/<pool>`. It speaks as the
/// leader that `Queue::lead` was told of.
#[async_trait]
pub trait Roster: Send + Sync {
    /// Lets workers of the pool in, by this password, to this pool's jobs alone; said again it changes nothing, or
    /// the password. Until then nobody hears of jobs of this pool. Where somebody else makes the users, it opens the pool
    /// and nothing else.
    async fn admit(&self, pool: &str, password: &str) -> Result<(), QueueError>;

    /// The name by which workers of the pool log in.
    fn user(&self, pool: &str) -> String;

    /// The pools whose workers are let in, whichever process let them in; none where somebody else makes the users.
    async fn admitted(&self) -> Result<Vec<String>, QueueError>;

    /// Lets nobody in any longer, and throws out who is in. Jobs that wait stay.
    async fn dismiss(&self, pool: &str) -> Result<(), QueueError>;

    /// Who is present.
    async fn members(&self, pool: &str) -> Result<Vec<Member>, QueueError>;

    /// Tells workers that hold nothing to claim nothing more, so many that `most` are retired in all; gives how many
    /// are. A worker that holds a job, or gets one in between, is never retired.
    async fn retire(&self, pool: &str, most: usize) -> Result<usize, QueueError>;

    /// Takes back that workers are retired: all of them may claim again.
    async fn recall(&self, pool: &str) -> Result<(), QueueError>;
}

/// How long a worker counts as present after its last beat.
pub const PRESENCE_TTL: std::time::Duration = std::time::Duration::from_secs(30);
