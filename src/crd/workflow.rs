//! `kind: Workflow` as a user writes it. Doc comments become the schema's descriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::limits::{COMMAND, DNS_LABEL, ENV_NAME, IDENTIFIER, PARAMS, POOL_NAME, TASK_NAME};
use crate::crd::shapes::{Duration, any_value};
use crate::model::workflow::limits::TASKS;

/// The tasks, what a Run gives them, and their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowSpec {
    /// What this workflow is for, for people. It changes nothing about its Runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Values that a Run gives. Expressions call them params.NAME.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PARAMS))]
    pub params: Vec<ParamSpec>,
    /// The WorkerPool where tasks run unless they say otherwise, in the same namespace; default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = POOL_NAME), regex(pattern = DNS_LABEL))]
    pub pool: Option<String>,
    /// What tasks have unless they say otherwise themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<TaskDefaults>,
    /// Bounds in time of a whole Run; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Results of a Run, computed when it has succeeded and shown in its status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub outputs: Vec<OutputExpr>,
    /// Whether a failure stops new starts; false when absent, and independent branches go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
    /// How many tasks may run at once in one Run; any number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_parallel: Option<u32>,
    /// The tasks, in any order. At most 2000, those of finally among them.
    #[schemars(length(min = 1, max = TASKS))]
    pub tasks: Vec<TaskSpec>,
    /// Tasks that run when all others have ended, whatever their result. They may depend on one another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TASKS))]
    pub finally: Vec<TaskSpec>,
}

/// A value that a Run gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamSpec {
    /// Its name: params.NAME in expressions.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// Its type; string when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueType>,
    /// The value when a Run gives none. Without it a Run must give one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::crd::shapes::present"
    )]
    #[schemars(schema_with = "any_value")]
    pub default: Option<serde_json::Value>,
    /// A regular expression that a string must match somewhere; anchor it with ^ and $ to match the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
    /// The values that are allowed; every one of its type when absent.
    #[serde(rename = "enum", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::crd::shapes::any_values")]
    pub allowed: Option<Vec<serde_json::Value>>,
    /// What it is for, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

/// A type of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
}

/// What tasks have unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskDefaults {
    /// How long one attempt may take, as 30s, 10m or 1h30m; no bound when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When a failed attempt is made again; never when absent. The retry of a task replaces this as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// What happens when the worker that runs a task is lost; Retry when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_worker_lost: Option<OnWorkerLost>,
}

/// Bounds of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// How long a Run may take, as 30s, 10m or 1h30m. After it every open task outside finally is cancelled and the
    /// Run fails; no bound when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Duration>,
    /// How long all finally tasks together may take, as 30s, 10m or 1h30m; no bound when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finally: Option<Duration>,
}

/// A result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputExpr {
    /// Its name in the Run's status.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// A CEL expression: tasks.extract.outputs.rows for an output of the task extract.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// A node of the DAG: one of command and script, or neither (a gate).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Its name, unique over tasks and finally. In expressions a task called load-data is tasks.load_data.
    #[schemars(regex(pattern = TASK_NAME))]
    pub name: String,
    /// Names of the tasks that come before it. It starts when all of them have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TASKS), inner(regex(pattern = TASK_NAME)))]
    pub depends_on: Vec<String>,
    /// A CEL expression; the task is skipped when it is false. It is evaluated once, when the tasks before it have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub when: Option<String>,
    /// Run the task once per element of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEachSpec>,
    /// Variables in the environment of the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// The program and its arguments, which may hold $( CEL ). There is no shell, and the image's entry point is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(max = COMMAND)))]
    pub command: Option<Vec<String>>,
    /// A script for /bin/sh -e, or for the program that its first line names with #!. Nothing in it is replaced: pass
    /// values by env.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = COMMAND))]
    pub script: Option<String>,
    /// Ask people before the task starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
    /// When a failed attempt is made again; as the defaults say when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// How long one attempt may take, as 30s, 10m or 1h30m; as the defaults say when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The outputs that the task must give, checked after it ran. Others may be given too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub outputs: Vec<OutputSpec>,
    /// Whether a failure of the task fails what comes after it and the Run; Fail when absent. With Continue it counts as
    /// a success for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// What happens when the worker that runs the task is lost; as the defaults say when absent, else Retry: the task is
    /// run again, so its command may run more than once. With Fail the task fails with the reason WorkerLost; its command
    /// runs at most once, but again as retry says after a failure that its worker reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_worker_lost: Option<OnWorkerLost>,
    /// The WorkerPool where the task runs; the Workflow's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = POOL_NAME), regex(pattern = DNS_LABEL))]
    pub pool: Option<String>,
}

/// Run a task once per element of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForEachSpec {
    /// A CEL expression that gives the list: params.regions for one that a Run gives.
    #[schemars(length(min = 1, max = 4096))]
    pub from: String,
    /// The element's name in expressions; item when absent. Its place, from 0, is called index.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = IDENTIFIER))]
    pub variable: Option<String>,
    /// How many items may run at once; any number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_parallel: Option<u32>,
    /// Whether a failed item stops the start of further ones; false when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
}

/// A variable of a process' environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Its name. Names that begin with RELAY_ are the worker's.
    #[schemars(length(max = 256), regex(pattern = ENV_NAME))]
    pub name: String,
    /// Its value, which may hold $( CEL ).
    #[schemars(length(max = COMMAND))]
    pub value: String,
}

/// Ask a person before a task starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// How many different people must approve; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub required: Option<u32>,
    /// What people are asked, which may hold $( CEL ).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub message: Option<String>,
    /// How long to wait for them, as 30m or 24h; until the Run's own bound when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What happens when nobody decided in time; Fail when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

/// What happens to a task when nobody approved in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnTimeout {
    Fail,
    Skip,
}

/// Whether a failed task fails what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    Fail,
    Continue,
}

/// What happens to a task when the worker that runs it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnWorkerLost {
    Retry,
    Fail,
}

/// When a failed attempt is made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// How many attempts are made after the first: with 2 there are at most three. The loss of a worker does not count.
    #[schemars(range(min = 0, max = 100))]
    pub limit: u32,
    /// The wait before the second attempt, as 500ms or 10s; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// By what factor each wait is longer than the one before; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub factor: Option<f64>,
    /// The longest wait, as 1m; 24h when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// Whether waits are cut by chance to half their length at most, so that many failures do not come back at once; true
    /// when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<bool>,
    /// The kinds of failure that are retried: Error (the process could not be run), Timeout and ExitCode; all when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub only_on: Option<Vec<RetryOn>>,
    /// The exit codes that are retried, of failures of kind ExitCode; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), inner(range(min = 1, max = 255)))]
    pub exit_codes: Option<Vec<u32>>,
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RetryOn {
    Error,
    Timeout,
    ExitCode,
}

/// An output that a task must give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputSpec {
    /// Its key in the outputs of the task.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// Its type; string when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueType>,
}
