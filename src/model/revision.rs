//! A revision of a Workflow as it is stored: an immutable copy of the definition.

use serde_json::Value;

use crate::model::ids::WorkflowId;

/// A task of a revision, as `tasks` holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its name, which is its id as well.
    pub name: String,
    /// Its definition, as written.
    pub config: Value,
    /// Does it need an approval?
    pub requires_approval: bool,
    /// The names of its upstreams.
    pub depends_on: Vec<String>,
}

/// A revision of a Workflow, as `workflows`, `tasks` and `dependencies` hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Which.
    pub id: WorkflowId,
    /// The Workflow's namespace.
    pub namespace: String,
    /// The Workflow's name.
    pub name: String,
    /// Its spec, as written.
    pub definition: Value,
    /// In the order of their numbers: tasks, then finally.
    pub tasks: Vec<TaskRecord>,
}
