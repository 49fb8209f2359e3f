//! `relay run`: a file's runs from submission to summary, in one process.
//!
//! The same conductor, engine, queue protocol and worker as in a cluster; `main` hands in the store (memory, or
//! Postgres by `--database-url`). Everything that could be refused is refused before anything is written.
//!
//! ```text
//!  request.rs    what the user asked for     choose.rs   file -> runs to submit (or findings)
//!  lead.rs       the shards, or who has them  crew.rs     conductor and worker, at work
//!  start.rs      what runs, in which session  submit.rs   the runs on their way
//!  session.rs    watch, cancel, end           approvals.rs  questions to the terminal
//!  screen.rs     live lines (wide.rs: of wide forEach)   summary.rs  what it came to
//! ```

mod approvals;
mod choose;
mod crew;
mod lead;
mod request;
mod screen;
mod session;
mod signals;
mod start;
mod submit;
mod summary;
mod wide;

use std::{io, sync::Arc};

use crate::clock::Clock;
use crate::conductor::ConductorError;
use crate::crd::Findings;
use crate::feed::Feed;
use crate::model::{ids::RunId, status::RunStatus};
use crate::queue::{Jobs, Queue};
use crate::store::{Store, StoreError};

pub use choose::{Chosen, choose};
pub use request::{Approve, Asks, Request, Source};
pub use start::run;

/// The parts that `main` picks.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The transport, the conductor's side.
    pub queue: Arc<dyn Queue>,
    /// The transport, the worker's side.
    pub jobs: Arc<dyn Jobs>,
    /// Live views.
    pub feed: Arc<dyn Feed>,
    /// The time.
    pub clock: Clock,
    /// Does the store outlive this process, so that a run can be resumed?
    pub durable: bool,
}

/// How it all ended, and the exit status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: every run is SUCCESS.
    Success,
    /// 1: a run is FAILED.
    Failed,
    /// 130: a run was cancelled, or the user ended the program.
    Cancelled,
}

impl Exit {
    /// The process' exit status.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Cancelled => 130,
        }
    }

    /// What a run's end means for it.
    pub const fn of(status: RunStatus) -> Exit {
        match status {
            RunStatus::Success => Exit::Success,
            RunStatus::Cancelled => Exit::Cancelled,
            RunStatus::Failed | RunStatus::Queued | RunStatus::Running => Exit::Failed,
        }
    }
}

/// Why nothing ran, or why it could not be brought to an end.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file, or what was given beside it, is not right. Nothing was written.
    #[error("{}", counted(.0))]
    Findings(Findings),
    /// The same, of one sentence.
    #[error("{0}")]
    Refused(String),
    /// A file could not be read.
    #[error("{path}: {}", unreadable(.why))]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        why: io::Error,
    },
    /// No such run.
    #[error("run {0} is not in this database; `relay run --database-url ... FILE` starts a new one")]
    NoSuchRun(RunId),
    /// The conductor gave up.
    #[error("{0}")]
    Conductor(#[from] ConductorError),
    /// The store gave up.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Another process has the runs of this namespace.
    #[error(
        "{holder} runs this namespace in this database, and was alive {renewed_ms_ago} ms ago; \
         wait until it has ended, or use another namespace"
    )]
    Held {
        /// Who.
        holder: String,
        /// How long ago it said so.
        renewed_ms_ago: u64,
    },
    /// A defect of Relay's own.
    #[error("{0}")]
    Broken(String),
    /// A run cannot go on as it is stored.
    #[error("run {run} cannot go on: {why}")]
    SetAside {
        /// Which.
        run: RunId,
        /// Why.
        why: String,
    },
    /// This machine does not let us.
    #[error("{what}: {why}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: io::Error,
    },
}

impl LocalError {
    /// 2 when the input was refused and nothing ran, 1 otherwise.
    pub const fn code(&self) -> u8 {
        match self {
            LocalError::Findings(_)
            | LocalError::Refused(_)
            | LocalError::Unreadable { .. }
            | LocalError::NoSuchRun(_)
            | LocalError::Held { .. }
            | LocalError::Conductor(ConductorError::Held { .. }) => 2,
            LocalError::Conductor(_)
            | LocalError::Store(_)
            | LocalError::Broken(_)
            | LocalError::SetAside { .. }
            | LocalError::Machine { .. } => 1,
        }
    }
}

/// Of several findings it is said at their end how many they are.
fn counted(findings: &Findings) -> String {
    match findings.list.len() + findings.more {
        0 | 1 => findings.to_string(),
        several => format!("{findings}\n{several} findings; nothing was run"),
    }
}

fn unreadable(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory; name a file in it".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => why.to_string(),
    }
}
