//! What a Workflow's name points at now.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::ids::{ShardId, WorkflowId};

/// The head of a Workflow: it changes with each edit, while revisions stay as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The Workflow's namespace.
    pub namespace: String,
    /// The Workflow's name.
    pub name: String,
    /// What a Run that is accepted now pins; or why there is nothing to pin, and its Runs wait.
    pub revision: Result<WorkflowId, String>,
    /// The Workflow's labels.
    pub labels: BTreeMap<String, String>,
    /// The fields of its spec that no revision holds, as written.
    pub unhashed: Value,
}

impl Head {
    /// The shard that its namespace falls into.
    pub fn shard(&self) -> ShardId {
        ShardId::of_namespace(&self.namespace)
    }
}
