//! `relay bench`: how fast Relay is on this Postgres, this Redis and this machine, beside what each of them can do alone.
//!
//! ```text
//!  shapes.rs   workflows of no-ops ──> stage.rs  conducting.rs: the real conductor here; crew.rs: real workers as processes
//!  meter.rs    when what was committed
//!  yardsticks.rs  bare commits, bare round trips, bare spawns; the same commits once more without Relay (recorder.rs)
//!  apart.rs ──> orders.rs   a conductor in a process of its own, where its memory is looked at, or several lead
//!  workloads.rs   shape x stage -> figures      report.rs  figures beside their yardsticks, for people and programs
//! ```
//!
//! Only the cluster is left out: runs come in by the conductor's inbox. Everything is measured in a database of its own and
//! under a prefix of its own, which go with the bench. A figure is what happened between the commit that accepts the (first)
//! run and the commit of the last end.

mod apart;
mod blocked;
mod conducting;
mod crew;
mod crowds;
mod history;
mod huge;
mod meter;
mod orders;
mod queued;
mod recorder;
mod report;
mod several;
mod shapes;
mod stage;
mod sustained;
mod workloads;
mod yardsticks;

use std::{path::PathBuf, time::Duration};

pub use apart::GIVES_BACK;
pub use orders::{Part, conduct};
pub use report::{Figure, Report, Yardstick};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::{Compile, ConductorError, SubmitError};
use crate::link::BadSettings;
use crate::queue::QueueError;
use crate::store::StoreError;
use crate::store::postgres::migrate::MigrateError;

/// What is measured, and with what.
#[derive(Clone)]
pub struct Params {
    /// Databases on this server are made and dropped.
    pub database_url: String,
    /// Keys are made under a prefix of their own, and removed.
    pub redis_url: String,
    /// This program, which is started as `relay worker`.
    pub program: PathBuf,
    /// Which workloads, in this order.
    pub workloads: Vec<Workload>,
    /// Each is measured so often, after once without counting.
    pub times: u32,
    /// Processes that work.
    pub workers: u32,
    /// Jobs that each of them runs at a time.
    pub slots: u16,
    /// How large the large ones are.
    pub sizes: Sizes,
    /// Each bare yardstick is measured for so long.
    pub yardstick: Duration,
    /// Definitions.
    pub compile: Compile,
    /// The time.
    pub clock: Clock,
    /// It is to end before it is through.
    pub stop: CancellationToken,
}

/// How large, or how long, the workloads are that take minutes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// So often `linear` takes ten times as much.
    pub tenfold: u8,
    /// `transitions` is held for so long.
    pub minutes: f64,
    /// Live runs of `blocked`.
    pub runs: usize,
    /// Seconds for which they are left alone, and then watched.
    pub idle: u64,
    /// Tasks of `huge`.
    pub width: usize,
    /// Task runs of the past of `history`.
    pub rows: u64,
    /// Processes of `conductors`.
    pub conductors: u8,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// 1 -> 1,000 -> 1 by forEach.
    Fan,
    /// The same of tasks that are written one by one.
    StaticFan,
    /// 1 -> 10,000 -> 1.
    WideFan,
    /// 100 tasks, one after the other.
    Chain,
    /// 200 runs at once of 1 -> 4 -> 4 -> 1.
    Diamonds,
    /// 2,000 of them.
    ManyDiamonds,
    /// A fan of 1,000 processes.
    Processes,
    /// One task, again and again.
    One,
    /// Ten times as much, beside a tenth of it.
    Linear,
    /// Bytes of Redis of what waits for a worker.
    Queued,
    /// Fans for minutes.
    Transitions,
    /// Live runs that wait for people.
    Blocked,
    /// One run of very many tasks.
    Huge,
    /// After a long past.
    History,
    /// Several processes lead.
    Conductors,
}

impl Workload {
    /// What is measured unless somebody asks for others: some minutes.
    pub const USUAL: [Workload; 8] = [
        Workload::Fan,
        Workload::StaticFan,
        Workload::WideFan,
        Workload::Chain,
        Workload::Diamonds,
        Workload::ManyDiamonds,
        Workload::Processes,
        Workload::One,
    ];

    /// What takes longer, or makes gigabytes, and is measured by name.
    pub const LONG: [Workload; 7] = [
        Workload::Linear,
        Workload::Queued,
        Workload::Transitions,
        Workload::Blocked,
        Workload::Huge,
        Workload::History,
        Workload::Conductors,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Workload> {
        Workload::USUAL.into_iter().chain(Workload::LONG)
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Fan => "fan",
            Workload::StaticFan => "static-fan",
            Workload::WideFan => "wide-fan",
            Workload::Chain => "chain",
            Workload::Diamonds => "diamonds",
            Workload::ManyDiamonds => "many-diamonds",
            Workload::Processes => "processes",
            Workload::One => "one",
            Workload::Linear => "linear",
            Workload::Queued => "queued",
            Workload::Transitions => "transitions",
            Workload::Blocked => "blocked",
            Workload::Huge => "huge",
            Workload::History => "history",
            Workload::Conductors => "conductors",
        }
    }
}

impl std::str::FromStr for Workload {
    type Err = String;
    fn from_str(text: &str) -> Result<Workload, String> {
        let names = || Workload::all().map(Workload::name).collect::<Vec<_>>().join(", ");
        let found = Workload::all().find(|workload| workload.name() == text);
        found.ok_or_else(|| format!("there is no workload `{text}`; there are {}", names()))
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The store.
    #[error("Postgres")]
    Store(#[from] StoreError),
    /// No database could be made in it.
    #[error("no database can be made there (--database-url needs a user who may: alter role NAME createdb)")]
    NoDatabase(#[source] StoreError),
    /// Its schema.
    #[error("Postgres")]
    Schema(#[from] MigrateError),
    /// The queue.
    #[error("Redis (--redis-url)")]
    Queue(#[from] QueueError),
    /// Where Redis is.
    #[error("--redis-url")]
    Settings(#[from] BadSettings),
    /// The conductor.
    #[error(transparent)]
    Conductor(#[from] ConductorError),
    /// A run was not taken.
    #[error("a run was refused")]
    Refused(#[from] SubmitError),
    /// A worker.
    #[error("{what}: {why}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: std::io::Error,
    },
    /// It was told to stop.
    #[error("stopped before everything was measured")]
    Stopped,
    /// It took too long, or ended otherwise than it must.
    #[error("{0}")]
    Wrong(String),
}

/// Measures everything, and tells each figure as soon as it is there.
pub async fn run(params: &Params, mut tell: impl FnMut(&str)) -> Result<Report, BenchError> {
    let mut report = Report::default();
    let place = stage::Place::make(params).await?;
    let measured = async {
        let bare = yardsticks::measure(params, &place, &mut report, &mut tell).await?;
        let (report, tell) = (&mut report, &mut tell);
        let mut measuring = workloads::Measuring { params, place: &place, bare: &bare, report, tell };
        for workload in &params.workloads {
            measuring.measure(*workload).await?;
        }
        Ok(())
    };
    let measured = tokio::select! {
        biased;
        () = params.stop.cancelled() => Err(BenchError::Stopped),
        measured = measured => measured,
    };
    // What was made goes, whatever came of it.
    let cleared = place.clear().await;
    measured.and(cleared)?;
    Ok(report)
}
