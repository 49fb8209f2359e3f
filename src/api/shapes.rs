//! What travels between the API and its clients, as JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::log::Stream;

/// The answer to a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, and what would be right.
    pub error: String,
    /// In one word, of a closed list, where a program may do something about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Refusal {
    /// The reason of a refusal to show a run that is not stored: it was not accepted yet, or never will be.
    pub const NO_RUN: &str = "no_run";
}

/// The header of an answer with lines that holds the id of their run: the uid of its Run.
pub const RUN_UID: &str = "relay-run-uid";
/// The header of an answer with lines that says when their run began.
pub const RUN_STARTED: &str = "relay-run-started";

/// One line of a run's logs: one line of the answer. An empty line says only that there is nothing new yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// Its place among the lines of the run: `after=` this goes on behind it.
    pub cursor: i64,
    /// The task's name.
    pub task: String,
    /// The index of a forEach's item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// The round of the task.
    pub round: u32,
    /// Which attempt wrote it.
    pub attempt: u32,
    /// Standard output or standard error.
    pub stream: Stream,
    /// From 1, over both streams of the attempt.
    pub number: u64,
    /// When the worker read it.
    pub at: Timestamp,
    /// The line, without its end.
    pub text: String,
    /// Does it go on in the next line of the same stream?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}
