//! The lines that tasks write.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::job::JobId;

/// Where a process wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// A line of an attempt's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Whose.
    pub job: JobId,
    /// Where it was written.
    pub stream: Stream,
    /// From 1, over both streams of the attempt, in the order in which the worker read them.
    pub number: u64,
    /// When it was read.
    pub at: Timestamp,
    /// The line without its end; at most 64 KiB of what the process wrote.
    pub text: String,
    /// Does the line go on in the next one of the same stream?
    pub partial: bool,
}
