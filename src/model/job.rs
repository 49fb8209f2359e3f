//! What travels between the conductor and a worker: jobs out, reports back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, ser::Error as _};
use serde_json::Value;

use crate::model::{
    ids::{BadId, TaskRunId, bad},
    json::Text,
    task::{FailureKind, OutputDecl},
};

/// The version of these messages; a conductor serves workers one version older or newer. So between two versions fields
/// are only added, with a default that says what there was before, and are left out where they say just that.
pub const PROTOCOL: u16 = 1;

/// One attempt of one task run: the name under which a queue knows a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// The task run.
    pub task_run: TaskRunId,
    /// Its attempt.
    pub attempt: u32,
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.task_run, self.attempt)
    }
}

impl std::str::FromStr for JobId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<JobId, BadId> {
        let wrong = |why| bad("job id", text, why);
        let (task_run, attempt) =
            text.rsplit_once('#').ok_or_else(|| wrong("it must read <task run>#<attempt>"))?;
        let attempt = attempt.parse().map_err(|_| wrong("its attempt must be a number"))?;
        Ok(JobId { task_run: task_run.parse()?, attempt })
    }
}

/// What runs: an argv or a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Program {
    /// The whole argv; the first element is looked up in PATH.
    Command(Vec<String>),
    /// As a file if it opens with `#!`, else by `/bin/sh -e`.
    Script(Arc<str>),
    /// Nothing at all: it ends well at once. Only `relay bench` makes such jobs.
    Noop,
}

/// The expressions of a task run, evaluated: what `task_runs.input` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// The argv, of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// Environment variables, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// What a person is asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
}

impl Inputs {
    /// As a row holds them.
    pub fn to_json(&self) -> Result<Text, String> {
        Text::of_sorted(self)
    }
}

/// The same of a forEach's group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed<'l> {
    /// The elements.
    pub items: &'l [Value],
    /// What a person is asked first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
}

impl Listed<'_> {
    /// As a row holds it.
    pub fn to_json(&self) -> Result<Text, String> {
        Text::of_sorted(self)
    }
}

/// A job: everything that a worker needs to make one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Of these messages.
    pub version: u16,
    /// Which attempt of which task run.
    pub id: JobId,
    /// `<namespace>/<pool>`.
    pub pool: String,
    /// Smaller goes first: milliseconds since 1970 at which it became READY.
    pub rank: i64,
    /// The run's name, for the environment and for people.
    pub run_name: String,
    /// The task's name.
    pub task_name: String,
    /// What runs.
    pub program: Program,
    /// Environment variables, in order.
    pub env: Vec<(String, String)>,
    /// Kill it after so long.
    pub timeout: Option<Duration>,
    /// What its outputs must be.
    pub outputs: Vec<OutputDecl>,
    /// Its process starts only at the conductor's word, which comes once its start is committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// The element of a forEach item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// The rest of `$RELAY_INPUT`, which all jobs of a task share: an object.
    pub input: Text,
}

impl Job {
    /// The content of `$RELAY_INPUT`: {params, run, tasks, item, index}.
    pub fn input_file(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Own<'a> {
            item: &'a Option<Value>,
            index: Option<u32>,
        }
        let own = serde_json::to_vec(&Own { item: &self.item, index: self.id.task_run.key.item })?;
        // Its members are copied as they are, and not read: a text is JSON.
        let members = self.input.as_str().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let members = members.ok_or_else(|| serde_json::Error::custom("its input is no object"))?;
        let between: &[u8] = if members.trim_ascii().is_empty() { b"" } else { b"," };
        Ok([b"{", members.as_bytes(), between, own.split_at(1).1].concat())
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Exit status 0, and outputs that can be read.
    Success {
        /// By key.
        outputs: BTreeMap<String, Value>,
    },
    /// Anything else but a cancel.
    Failed {
        /// For `retry.onlyOn`.
        kind: FailureKind,
        /// Were its outputs at fault?
        output_invalid: bool,
        /// Its exit status, if it had one.
        exit_code: Option<i32>,
        /// One or two sentences for people.
        message: String,
    },
    /// Stopped because the conductor asked for it.
    Cancelled,
}

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum News {
    /// The process started; of a job that is made at most once: it is about to, and waits for the word.
    Started,
    /// It ended.
    Ended(Outcome),
}

/// News of a job, as a worker reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of these messages.
    pub version: u16,
    /// Which attempt of which task run.
    pub job: JobId,
    /// Who reports.
    pub worker: String,
    /// What happened.
    pub news: News,
    /// When, by the worker's clock.
    pub at: Timestamp,
}

impl Report {
    /// The report as this program understands it. What a worker of a version too far away tells of an end means nothing here but
    /// that its attempt is over, so that nobody waits for it; `Err`: it means nothing at all.
    pub fn understood(self) -> Result<Report, String> {
        if self.version.abs_diff(PROTOCOL) <= 1 {
            return Ok(self);
        }
        let why = format!(
            "its worker speaks version {} of Relay's messages, and the operator speaks {PROTOCOL}, and understands one version to \
             either side: give the pool's workers the relay that the operator has",
            self.version
        );
        match self.news {
            News::Started => Err(why),
            News::Ended(_) => {
                let outcome = Outcome::Failed {
                    kind: FailureKind::Error,
                    output_invalid: false,
                    exit_code: None,
                    message: why,
                };
                Ok(Report { news: News::Ended(outcome), ..self })
            }
        }
    }
}
