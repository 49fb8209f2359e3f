//! `kind: Run` as a user writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::limits::NAME;
use crate::crd::shapes::free_params;

/// What to run, and what should become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunSpec {
    /// The Workflow to run, in the same namespace. A Run keeps it for life.
    pub workflow_ref: WorkflowRef,
    /// Values of the Workflow's params, by their names. They are read once, when the Run is accepted; a later change is
    /// ignored and reported in an Event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "free_params")]
    pub params: BTreeMap<String, serde_json::Value>,
    /// What the Run should do; Running when absent. Paused starts nothing new while what runs goes on. Cancelled stops
    /// the Run and CancelledRunFinally runs its finally tasks before it ends; both are final: Running does not take
    /// them back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_state: Option<DesiredState>,
}

/// Names a Workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowRef {
    /// The Workflow's name.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub name: String,
}

/// What a user wants of a Run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    #[default]
    Running,
    Paused,
    Cancelled,
    CancelledRunFinally,
}

impl DesiredState {
    /// From a manifest's word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Running, Self::Paused, Self::Cancelled, Self::CancelledRunFinally];
        all.into_iter().find(|state| state.as_str() == word)
    }

    /// As it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Cancelled => "Cancelled",
            Self::CancelledRunFinally => "CancelledRunFinally",
        }
    }
}
