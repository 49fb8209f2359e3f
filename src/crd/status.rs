//! What Relay writes under `status` of its objects: small, whatever a run's size. [`Fitted::fitted`] keeps each within
//! the bounds of its schema.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::crd::fitted::{
    COMMAND, CONDITIONS, ID, LISTED, MESSAGE, NOTE, OBJECT_NAME, REASON, STATE, TASK, USER, VALUE,
};
use crate::crd::shapes::{FreeObject, free_object, time};
use crate::model::status::TaskStatus;

pub use crate::crd::fitted::{Fitted, STATUS_BYTES_MAX, shortened};

/// The status of a live object; the default one when it has none, or one that cannot be read.
pub fn status_of<T: DeserializeOwned + Default>(object: &Json) -> T {
    object.get("status").and_then(|status| T::deserialize(status).ok()).unwrap_or_default()
}

/// One thing that is known of an object, in the shape of metav1.Condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: Ready, Succeeded, Finished, Reconciling or Stalled.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = STATE))]
    pub kind: String,
    /// Whether it holds: True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation of the object that it was found for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When its status last changed.
    #[schemars(schema_with = "time")]
    pub last_transition_time: Timestamp,
    /// Why, in one word.
    #[schemars(length(min = 1, max = STATE))]
    pub reason: String,
    /// Why, in words for people.
    #[schemars(length(max = MESSAGE))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// What Relay says of a Workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// The generation of the Workflow that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The revision that new Runs get. It is absent while the Workflow is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = ID))]
    pub revision: Option<String>,
    /// Ready, and Stalled while somebody must mend the Workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = CONDITIONS))]
    pub conditions: Vec<Condition>,
}

/// What Relay says of a WorkerPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The generation of the WorkerPool that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The workers that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// The workers that take tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<u32>,
    /// The workers that the tasks of now ask for, within minReplicas and maxReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Tasks that may start and are not in the queue yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Tasks in the queue, which no worker has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Tasks that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// Selects the pool's pods, as a text; for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = VALUE))]
    pub selector: Option<String>,
    /// Ready, Reconciling while it changes, and Stalled while somebody must mend the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = CONDITIONS))]
    pub conditions: Vec<Condition>,
}

/// What Relay says of a Run. The whole story is in Postgres; here is what fits into 64 KiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The generation of the Run that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How far the namespace's history was committed when this was said; a status with a smaller one is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The revision of the Workflow that the Run keeps for life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = ID))]
    pub revision: Option<String>,
    /// The Run in one word: Running, AwaitingApproval, Paused, Succeeded, Failed, Cancelled or why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STATE))]
    pub state: Option<String>,
    /// The Run in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE))]
    pub message: Option<String>,
    /// The last desiredState that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STATE))]
    pub desired: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub finished_at: Option<Timestamp>,
    /// Its tasks, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskCounts>,
    /// The tasks that wait for people; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LISTED))]
    pub awaiting: Vec<Awaiting>,
    /// How many more tasks wait for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_awaiting: Option<u32>,
    /// What failed; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LISTED))]
    pub failures: Vec<Failed>,
    /// How much more failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_failures: Option<u32>,
    /// The results of the Run, once it succeeded; absent when they are too large for a status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub outputs: Option<FreeObject>,
    /// Why the results are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NOTE))]
    pub outputs_note: Option<String>,
    /// Approval annotations that decided nothing, and why; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LISTED))]
    pub disregarded: Vec<Disregarded>,
    /// Succeeded and Finished, Reconciling while it is live, and Stalled while somebody must mend something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = CONDITIONS))]
    pub conditions: Vec<Condition>,
}

/// A task that waits for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Awaiting {
    /// The task's name.
    #[schemars(length(max = TASK))]
    pub task: String,
    /// Which time it asks: 1, and more after a retry by a user.
    pub asking: u32,
    /// What people are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON))]
    pub message: Option<String>,
    /// How many people must approve.
    pub required: u32,
    /// Who approved so far; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = LISTED), inner(length(max = USER)))]
    pub approved_by: Vec<String>,
    /// Since when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub since: Option<Timestamp>,
    /// Until when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub until: Option<Timestamp>,
    /// The command to type next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = COMMAND))]
    pub command: Option<String>,
}

/// A task, or an item of one, that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The task's name.
    #[schemars(length(max = TASK))]
    pub task: String,
    /// Of a forEach, the index of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = STATE))]
    pub reason: Option<String>,
    /// The exit status of its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = REASON))]
    pub message: Option<String>,
}

/// An approval annotation that decided nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disregarded {
    /// What stands in the annotation's key behind the slash.
    #[schemars(length(max = OBJECT_NAME))]
    pub task: String,
    /// What was read.
    #[schemars(length(max = VALUE))]
    pub value: String,
    /// Why it decided nothing, and what to do.
    #[schemars(length(max = REASON))]
    pub reason: String,
}

/// The tasks of a run by status, of the newest rounds; a forEach counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskCounts {
    /// How many there are.
    pub total: u32,
    /// How many have ended, in whatever way.
    pub done: u32,
    /// The two as one text: 3/7.
    #[schemars(length(max = 32))]
    pub progress: String,
    /// Wait for the tasks before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// May start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Wait for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<u32>,
    /// Are in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// Failed and are tried again soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrying: Option<u32>,
    /// Ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u32>,
    /// Ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,
    /// Were not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u32>,
    /// Never started, because a task before them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_failed: Option<u32>,
    /// Were stopped, or never started, by a cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<u32>,
}

impl From<&BTreeMap<TaskStatus, u32>> for TaskCounts {
    fn from(counts: &BTreeMap<TaskStatus, u32>) -> Self {
        let of = |status: TaskStatus| counts.get(&status).copied().filter(|count| *count > 0);
        let sum = |all: &mut dyn Iterator<Item = (&TaskStatus, &u32)>| {
            all.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count))
        };
        let total = sum(&mut counts.iter());
        let done = sum(&mut counts.iter().filter(|(status, _)| status.is_final()));
        Self {
            total,
            done,
            progress: format!("{done}/{total}"),
            pending: of(TaskStatus::Pending),
            ready: of(TaskStatus::Ready),
            blocked: of(TaskStatus::Blocked),
            queued: of(TaskStatus::Queued),
            running: of(TaskStatus::Running),
            retrying: of(TaskStatus::Retrying),
            succeeded: of(TaskStatus::Success),
            failed: of(TaskStatus::Failed),
            skipped: of(TaskStatus::Skipped),
            upstream_failed: of(TaskStatus::UpstreamFailed),
            cancelled: of(TaskStatus::Cancelled),
        }
    }
}
