//! The worker: it claims jobs, runs them, streams what they write, tells how they ended. It knows jobs, never runs.
//!
//! One future is the whole worker, its processes included: whoever drops it leaves no process behind. (SIGKILL drops
//! nothing: the processes of its tasks then live on until they end by themselves.) Nothing in it depends on threads or
//! on the machine's clock, so the simulation runs it with an executor of its own.

mod attempt;
mod group;
mod lines;
pub mod log;
mod once;
pub mod outputs;
pub mod process;
mod pump;
pub mod reaper;
mod scratch;
mod shift;
mod spare;
mod spawn;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::feed::Feed;
use crate::model::{
    job::{Job, Outcome},
    workflow::limits,
};
use crate::queue::{Jobs, Pools};
use crate::worker::log::LogSink;

/// Makes one attempt of a job.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs the job to its end and tells how it ended. Once `cancel` is cancelled it stops it, and says `Cancelled`
    /// if it was that which ended it. Dropping the future stops it at once.
    async fn execute(&self, job: &Job, cancel: CancellationToken, log: LogSink) -> Outcome;
}

/// What one worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Its name, of no other worker at any time.
    pub id: String,
    /// Whose jobs it takes.
    pub pools: Pools,
    /// How many jobs it runs at a time.
    pub slots: usize,
    /// Its bounds in time.
    pub limits: Limits,
}

/// The bounds of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// It beats so often.
    pub beat: Duration,
    /// Once told to drain it waits so long for what runs.
    pub drain: Duration,
    /// What the queue did not take is said again after so long; twice as long after each further time, ...
    pub retry_first: Duration,
    /// ... up to so long.
    pub retry_longest: Duration,
    /// Once all is told it waits so long until it is acknowledged as committed.
    pub acknowledge: Duration,
    /// It waits so long for the queue to take its good-bye.
    pub farewell: Duration,
    /// A worker with several jobs at hand tells of a start after so long, or with the job's end.
    pub start_told: Duration,
    /// A worker that was given as much as it could take waits so long until a quarter of its slots is free.
    pub gather: Duration,
    /// Bytes of log that an attempt may write; the rest is dropped behind a visible mark.
    pub log: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            beat: Duration::from_secs(5),
            drain: Duration::from_secs(3600),
            retry_first: Duration::from_millis(50),
            retry_longest: Duration::from_secs(5),
            acknowledge: Duration::from_secs(30),
            farewell: Duration::from_secs(2),
            start_told: Duration::from_millis(10),
            gather: Duration::from_millis(2),
            log: limits::LOG_BYTES,
        }
    }
}

/// What a worker talks to.
#[derive(Clone)]
pub struct Links {
    /// Where its jobs come from and its reports go.
    pub jobs: Arc<dyn Jobs>,
    /// Where its log lines go.
    pub feed: Arc<dyn Feed>,
    /// What runs its jobs.
    pub executor: Arc<dyn Executor>,
    /// What time it is.
    pub clock: Clock,
}

/// How a worker is told to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Claim nothing more, wait for what runs (at most `Limits::drain`), then end.
    pub drain: CancellationToken,
    /// End now: kill what runs, and report nothing of it.
    pub kill: CancellationToken,
}

/// A worker.
pub struct Worker {
    params: Params,
    links: Links,
    ready: watch::Sender<bool>,
}

impl Worker {
    /// A worker that does nothing until it is `run`.
    pub fn new(params: Params, links: Links) -> Worker {
        Worker { params, links, ready: watch::Sender::new(false) }
    }

    /// Whether others may count on it, as it changes: from when the queue has heard of it, but not while it is retired
    /// and holds nothing, for then its pod is the one to go.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Works until it is told to end.
    pub async fn run(self, shutdown: Shutdown) {
        shift::Shift::new(self.params, self.links, self.ready).work(shutdown).await;
    }
}
