//! What an expression sees: only what it names is put together.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};

use crate::engine::{Node, Run, Slot};
use crate::model::{
    expr::{Refs, Scope, WHOLE},
    status::TaskStatus,
    task::{ForEach, Task},
    workflow::{Param, ValueType},
};

/// Adds what `more` names to `refs`.
pub(super) fn union(refs: &mut Refs, more: &Refs) {
    refs.roots.extend(more.roots.iter().cloned());
    refs.params.extend(more.params.iter().cloned());
    refs.tasks.extend(more.tasks.iter().cloned());
    refs.whole_tasks |= more.whole_tasks;
    refs.whole_params |= more.whole_params;
    for (task, fields) in &more.task_fields {
        refs.task_fields.entry(task.clone()).or_default().extend(fields.iter().cloned());
    }
}

/// The outputs of a row: {} without SUCCESS.
pub(super) fn outputs_of(row: &Slot) -> Value {
    match &row.output {
        Some(output) if row.status == TaskStatus::Success => output.as_ref().clone(),
        _ => json!({}),
    }
}

/// The outputs of a task: of a forEach always a list, in index order, null where an item has none.
pub(super) fn outputs(task: &Task, node: &Node) -> Value {
    let Some(group) = &node.group else {
        return if task.for_each.is_some() { json!([]) } else { outputs_of(&node.row) };
    };
    let item = |n: usize| match group.items.get(n) {
        Some(row) if row.status == TaskStatus::Success => outputs_of(row),
        _ => Value::Null,
    };
    (0..group.list.len()).map(item).collect()
}

/// The same for an item, with its element in sight.
pub(super) fn with_item(base: &Scope, for_each: &ForEach, index: usize, element: Value) -> Scope {
    let mut scope = base.clone();
    scope.set(for_each.as_name.as_str(), element);
    scope.set("index", json!(index));
    scope
}

impl Run {
    /// What every expression sees. The status that the run will have is known only to finally.
    pub(super) fn run_scope(&self, refs: &Refs, finally: bool) -> Scope {
        let mut scope = Scope::new();
        if refs.roots.contains("params") {
            let number = |p: &&Param| p.kind == ValueType::Number;
            let doubles = self.workflow.params.iter().filter(number).map(|p| p.name.clone());
            scope.set_params(self.params(refs), doubles.collect());
        }
        if refs.roots.contains("run") {
            let status = if finally { self.coming_status().0 } else { self.row.status };
            scope.set("run", self.run_value(status.as_str()));
        }
        if refs.roots.contains("tasks") {
            let mut tasks = Map::new();
            for name in &refs.tasks {
                if let Some(named) = self.workflow.task_in_cel(name) {
                    let fields = refs.task_fields.get(name);
                    let wants = |field: &str| fields.is_none_or(|f| f.contains(field) || f.contains(WHOLE));
                    tasks.insert(name.clone(), self.task_value(named, wants));
                }
            }
            scope.set("tasks", Value::Object(tasks));
        }
        scope
    }

    /// The params that are named; a long list that is not is not read.
    fn params(&self, refs: &Refs) -> Value {
        let all: BTreeMap<String, &RawValue> =
            serde_json::from_str(self.row.params.as_str()).unwrap_or_default();
        let named = all.into_iter().filter(|(name, _)| refs.whole_params || refs.params.contains(name));
        let read = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
        named.filter_map(|(name, raw)| Some((name, read(raw)?))).collect()
    }

    pub(super) fn run_value(&self, status: &str) -> Value {
        json!({
            "id": self.row.id.as_str(),
            "name": self.row.name,
            "namespace": self.row.namespace,
            "workflow": self.workflow.name,
            "status": status,
        })
    }

    fn task_value(&self, task: &Task, wants: impl Fn(&str) -> bool) -> Value {
        let node = self.node(task.no);
        let row = &node.row;
        let mut value = json!({
            "status": row.status.as_str(),
            "reason": row.reason.map_or("", |r| r.as_str()),
            "attempt": row.attempt,
        });
        if wants("outputs") {
            value["outputs"] = outputs(task, node);
        }
        if let (true, Some(group)) = (wants("items"), &node.group) {
            let item = |(index, row): (usize, &Slot)| {
                json!({
                    "index": index,
                    "status": row.status.as_str(),
                    "reason": row.reason.map_or("", |r| r.as_str()),
                    "attempt": row.attempt,
                    "outputs": outputs_of(row),
                })
            };
            value["items"] = group.items.iter().enumerate().map(item).collect();
        }
        value
    }
}
