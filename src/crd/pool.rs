//! `kind: WorkerPool` as a user writes it; `relay run` needs none of it, so only its shape is checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::shapes::any_object;

/// Warm workers that run tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerPoolSpec {
    /// The image whose programs tasks run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// A pod template laid over the workers' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub template: Option<serde_json::Map<String, serde_json::Value>>,
}
