//! The stored form of a Workflow of the file.

use serde_json::Value;

use crate::crd::WorkflowManifest;
use crate::model::revision::{Revision, TaskRecord};

/// The revision of a Workflow: its spec as written, and its DAG as rows.
pub(super) fn revision(manifest: &WorkflowManifest) -> Revision {
    let workflow = &manifest.workflow;
    let config_of = |task: &crate::model::task::Task| {
        let list = if task.finally { "finally" } else { "tasks" };
        let written = manifest.spec.get(list).and_then(Value::as_array);
        let named = |t: &&Value| t.get("name").and_then(Value::as_str) == Some(task.name.as_str());
        written.and_then(|tasks| tasks.iter().find(named)).cloned().unwrap_or(Value::Null)
    };
    let record = |task: &crate::model::task::Task| TaskRecord {
        name: task.name.clone(),
        config: config_of(task),
        requires_approval: task.approval.is_some(),
        depends_on: task.depends_on.iter().map(|up| workflow.at(*up).name.clone()).collect(),
    };
    Revision {
        id: workflow.id.clone(),
        namespace: workflow.namespace.clone(),
        name: workflow.name.clone(),
        definition: manifest.spec.clone(),
        tasks: workflow.tasks.iter().map(record).collect(),
    }
}
