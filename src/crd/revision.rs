//! A revision: the stored form of a Workflow, and its name, a hash of what a definition does, not of how it is
//! described or when it runs.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::crd::WorkflowManifest;
use crate::model::revision::{Revision, TaskRecord};
use crate::model::task::Task;

/// Fields of a spec that change nothing about how a run goes.
pub const UNHASHED: [&str; 6] =
    ["suspend", "schedules", "concurrency", "ttlSecondsAfterFinished", "historyLimits", "description"];

/// The revision of a Workflow: its spec as written, and its DAG as rows.
pub fn revision(manifest: &WorkflowManifest) -> Revision {
    let workflow = &manifest.workflow;
    let list = |key| manifest.spec.get(key).and_then(Value::as_array).into_iter().flatten();
    // A task's number is its place over tasks, then finally.
    let mut configs = list("tasks").chain(list("finally")).cloned();
    let record = |task: &Task| TaskRecord {
        name: task.name.clone(),
        config: configs.next().unwrap_or(Value::Null),
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

/// 16 hex digits of the SHA-256 of the spec as written, in canonical JSON.
pub(super) fn hash(spec: &Value) -> String {
    let mut hashed = spec.clone();
    if let Some(fields) = hashed.as_object_mut() {
        UNHASHED.iter().for_each(|key| {
            fields.remove(*key);
        });
    }
    let mut text = String::new();
    canonical(&hashed, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// JSON without spaces, keys sorted, whatever order the map type keeps.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (place, (key, value)) in fields.into_iter().enumerate() {
                let comma = if place > 0 { "," } else { "" };
                let _ = write!(text, "{comma}{}:", Value::from(key.as_str()));
                canonical(value, text);
            }
            text.push('}');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::hash;

    #[test]
    fn a_revision_changes_with_what_it_does_and_not_with_its_description() {
        let spec = json!({"tasks": [{"name": "a", "command": ["true"]}], "pool": "x"});
        let described =
            json!({"description": "new", "pool": "x", "tasks": [{"command": ["true"], "name": "a"}]});
        let other = json!({"tasks": [{"name": "a", "command": ["false"]}], "pool": "x"});
        assert_eq!(hash(&spec), hash(&described));
        assert_ne!(hash(&spec), hash(&other));
        assert_eq!(hash(&json!({"tasks": []})).len(), 16);
    }
}
