//! `kind: Workflow` as a user writes it. Doc comments become the schema's descriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::limits::{COMMAND, DNS_LABEL, ENV_NAME, IDENTIFIER, PARAMS, POOL_NAME, TASK_NAME};
use crate::crd::shapes::{Duration, any_value};
use crate::model::workflow::limits::TASKS;

/// A DAG of tasks with its params and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowSpec {
    /// What this workflow is for, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Values that a Run gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = PARAMS))]
    pub params: Vec<ParamSpec>,
    /// The WorkerPool where tasks run unless they say otherwise; "default" when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = POOL_NAME), regex(pattern = DNS_LABEL))]
    pub pool: Option<String>,
    /// What tasks have unless they say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<TaskDefaults>,
    /// Bounds of the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Results of a run, computed at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub outputs: Vec<OutputExpr>,
    /// Start nothing new once a task failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
    /// Tasks that may run at once in one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_parallel: Option<u32>,
    /// The tasks, in any order.
    #[schemars(length(min = 1, max = TASKS))]
    pub tasks: Vec<TaskSpec>,
    /// Tasks that run when all others are final, whatever their result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TASKS))]
    pub finally: Vec<TaskSpec>,
}

/// A value that a Run gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamSpec {
    /// Its name in expressions: `params.<name>`.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// Its type; "string" when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueType>,
    /// The value when a Run gives none; without it a Run must.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::crd::shapes::present"
    )]
    #[schemars(schema_with = "any_value")]
    pub default: Option<serde_json::Value>,
    /// A regular expression that a string must match somewhere (anchor it with ^ and $).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
    /// The values allowed.
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
    /// Bound of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When a failed attempt is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
}

/// Bounds of the whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// After this every open task outside `finally` is cancelled and the run fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Duration>,
    /// The bound of all `finally` tasks together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finally: Option<Duration>,
}

/// A result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputExpr {
    /// Its name.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// A CEL expression: `tasks.extract.outputs.rows`.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// A node of the DAG: one of command and script, or neither (a gate).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Its name, unique over tasks and finally.
    #[schemars(regex(pattern = TASK_NAME))]
    pub name: String,
    /// Names of the tasks that come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = TASKS), inner(regex(pattern = TASK_NAME)))]
    pub depends_on: Vec<String>,
    /// A CEL expression; the task is skipped when it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub when: Option<String>,
    /// Run it once per element of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEachSpec>,
    /// Environment of the process; values may hold $( CEL ).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// The whole argv: no shell, no entry point. Arguments may hold $( CEL ).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(max = COMMAND)))]
    pub command: Option<Vec<String>>,
    /// A script for /bin/sh -e, or for what its shebang names. Never interpolated: pass values by env.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = COMMAND))]
    pub script: Option<String>,
    /// Ask a person first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
    /// When a failed attempt is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// Bound of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The outputs it must give, checked after it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub outputs: Vec<OutputSpec>,
    /// Whether a failure fails what comes after it and the run; "Fail" when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// The WorkerPool where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = POOL_NAME), regex(pattern = DNS_LABEL))]
    pub pool: Option<String>,
}

/// Run a task once per element of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForEachSpec {
    /// A CEL expression that gives the list.
    #[schemars(length(min = 1, max = 4096))]
    pub from: String,
    /// The element's name in expressions; "item" when absent.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = IDENTIFIER))]
    pub variable: Option<String>,
    /// Items that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_parallel: Option<u32>,
    /// Start no further items once one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
}

/// A variable of a process' environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(max = 256), regex(pattern = ENV_NAME))]
    pub name: String,
    /// Its value; may hold $( CEL ).
    #[schemars(length(max = COMMAND))]
    pub value: String,
}

/// Ask a person before a task starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// How many people must approve; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub required: Option<u32>,
    /// What they are asked; may hold $( CEL ).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub message: Option<String>,
    /// How long to wait; without it, until the run's own bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What happens when nobody decided in time; "Fail" when absent.
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

/// When a failed attempt is made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts after the first: 2 means three tries.
    #[schemars(range(min = 0, max = 100))]
    pub limit: u32,
    /// The wait before the first retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// By how much each wait is longer than the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub factor: Option<f64>,
    /// The longest wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// Spread the waits, so that many failures do not come back at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<bool>,
    /// The kinds of failure retried; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub on: Option<Vec<RetryOn>>,
    /// The exit codes retried, of failures of kind ExitCode; all when absent.
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
    /// Its key.
    #[schemars(regex(pattern = IDENTIFIER))]
    pub name: String,
    /// Its type; "string" when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueType>,
}
