//! `kind: Run` as a user writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::limits::NAME;
use crate::crd::shapes::any_object;

/// One execution of a Workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunSpec {
    /// The Workflow to run, in the same namespace.
    pub workflow_ref: WorkflowRef,
    /// Values of the Workflow's params.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// Names a Workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowRef {
    /// The Workflow's name.
    #[schemars(length(max = 63), regex(pattern = NAME))]
    pub name: String,
}
