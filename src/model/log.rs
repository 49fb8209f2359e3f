//! The lines that tasks write.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{ids::RunId, job::JobId, names::words, task::TaskNo};

words! {
    /// Where a process wrote a line.
    Stream {
        /// Its standard output.
        Stdout = "stdout",
        /// Its standard error.
        Stderr = "stderr",
    }
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

/// A line as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// Its place in the order in which lines came, from 1; it rises, with gaps. Lines of an attempt stand in theirs.
    pub position: i64,
    /// The line.
    pub line: LogLine,
}

/// Which lines of a run are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Whose.
    pub run: RunId,
    /// Only of this task, all its items, attempts and rounds.
    pub task: Option<TaskNo>,
    /// Only of this item of the task.
    pub item: Option<u32>,
    /// Only what came after this position; 0 is the beginning.
    pub after: i64,
    /// No more lines than this.
    pub limit: u32,
}
