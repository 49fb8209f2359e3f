//! What is run: workflows of one shape, of jobs that do nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::BenchError;
use crate::clock::Clock;
use crate::conductor::Submission;
use crate::crd::{self, Overrides};
use crate::model::{
    ids::{RunId, ShardId},
    json::Text,
    revision::Revision,
    run::RunRow,
    task::Action,
    workflow::Workflow,
};

/// Whose namespace it is.
pub const NAMESPACE: &str = "bench";
/// Where everything runs.
pub const POOL: &str = "bench/default";
/// The task that asks, where one does.
pub const FIRST: &str = "first";
/// What a script of usual length has.
pub const SCRIPT_BYTES: usize = 300;
/// A script that nobody would write stands for no job at all: manifests have no word for it.
const NOOP: &str = "relay bench: no-op";

/// The shape of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// 1 -> so many by forEach -> 1.
    Fan(usize),
    /// The same of tasks that are written one by one.
    StaticFan(usize),
    /// So many, one after the other.
    Chain(usize),
    /// 1 -> 4 -> 4 -> 1, where each of the second four waits for all of the first.
    Diamond,
    /// A fan of processes.
    Processes(usize),
    /// A diamond whose first task waits for an approval.
    Asking,
    /// So many by forEach, and nothing before or after them.
    Each(usize),
    /// The same, of scripts of some length.
    Scripts(usize),
    /// The same, of processes that do not end by themselves.
    Sleepers(usize),
}

impl Shape {
    /// Its tasks that a worker runs.
    pub const fn tasks(self) -> usize {
        match self {
            Shape::Fan(n) | Shape::StaticFan(n) | Shape::Processes(n) => n + 2,
            Shape::Chain(n) | Shape::Each(n) | Shape::Scripts(n) | Shape::Sleepers(n) => n,
            Shape::Diamond | Shape::Asking => 10,
        }
    }

    fn spec(self) -> Value {
        let task =
            |name: String, after: Vec<String>| json!({"name": name, "dependsOn": after, "script": NOOP});
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        match self {
            Shape::Fan(_) => fan(&json!({"script": NOOP})),
            Shape::Processes(_) => fan(&json!({"command": ["true"]})),
            Shape::Each(_) => each(&json!({"script": NOOP})),
            Shape::Scripts(_) => each(&json!({"script": "#".repeat(SCRIPT_BYTES)})),
            Shape::Sleepers(_) => each(&json!({"command": ["sleep", "1d"]})),
            Shape::StaticFan(n) => {
                let middle: Vec<String> = (0..n).map(|i| format!("t{i}")).collect();
                let mut tasks = vec![task("first".to_owned(), Vec::new())];
                tasks.extend(middle.iter().map(|name| task(name.clone(), named(&["first"]))));
                tasks.push(task("last".to_owned(), middle));
                json!({"tasks": tasks})
            }
            Shape::Chain(n) => {
                let after = |i: usize| (i > 0).then(|| format!("t{}", i - 1)).into_iter().collect();
                let tasks: Vec<Value> = (0..n).map(|i| task(format!("t{i}"), after(i))).collect();
                json!({"tasks": tasks})
            }
            Shape::Diamond | Shape::Asking => {
                let (upper, lower) = (["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]);
                let mut first = task(FIRST.to_owned(), Vec::new());
                if let (Shape::Asking, Some(first)) = (self, first.as_object_mut()) {
                    first.insert("approval".to_owned(), json!({}));
                }
                let mut tasks = vec![first];
                tasks.extend(upper.map(|name| task(name.to_owned(), named(&["first"]))));
                tasks.extend(lower.map(|name| task(name.to_owned(), named(&upper))));
                tasks.push(task("last".to_owned(), named(&lower)));
                json!({"tasks": tasks})
            }
        }
    }

    fn params(self) -> Value {
        match self {
            Shape::Fan(n) | Shape::Processes(n) | Shape::Each(n) | Shape::Scripts(n) | Shape::Sleepers(n) => {
                json!({"items": (0..n).collect::<Vec<_>>()})
            }
            _ => json!({}),
        }
    }
}

/// What is done, as a task that has the rest too.
fn task_of(what: &Value, rest: Value) -> Value {
    let mut task = what.clone();
    if let (Some(task), Value::Object(rest)) = (task.as_object_mut(), rest) {
        task.extend(rest);
    }
    task
}

/// Its items come as a param.
fn fan(what: &Value) -> Value {
    let items =
        json!({"name": "each", "dependsOn": ["first"], "forEach": {"from": "params.items", "as": "item"}});
    json!({
        "params": [{"name": "items", "type": "array"}],
        "tasks": [
            task_of(what, json!({"name": "first"})),
            task_of(what, items),
            task_of(what, json!({"name": "last", "dependsOn": ["each"]})),
        ],
    })
}

/// Nothing but the items.
fn each(what: &Value) -> Value {
    let items = json!({"name": "each", "forEach": {"from": "params.items", "as": "item"}});
    json!({"params": [{"name": "items", "type": "array"}], "tasks": [task_of(what, items)]})
}

/// What scripts stand for: no-ops of a definition become what they are.
pub fn noops(mut workflow: Workflow) -> Workflow {
    for task in &mut workflow.tasks {
        if matches!(&task.action, Action::Script(text) if &**text == NOOP) {
            task.action = Action::Noop;
        }
    }
    workflow
}

/// Makes runs of one definition.
pub struct Maker {
    shape: Shape,
    manifest: crd::WorkflowManifest,
    workflow: Arc<Workflow>,
}

impl Maker {
    pub fn new(shape: Shape) -> Result<Maker, BenchError> {
        Maker::of(NAMESPACE, shape)
    }

    /// In another namespace than the usual one.
    pub fn of(namespace: &str, shape: Shape) -> Result<Maker, BenchError> {
        let text = json!({
            "apiVersion": crd::schema::API_VERSION,
            "kind": "Workflow",
            "metadata": {"namespace": namespace, "name": "bench"},
            "spec": shape.spec(),
        });
        let broken = |why: String| BenchError::Wrong(format!("the workflow of {shape:?}: {why}"));
        let manifests = crd::load("bench", text.to_string().as_bytes(), &Overrides::default());
        let manifest = manifests.map_err(|findings| broken(findings.to_string()))?.workflows.pop();
        let manifest = manifest.ok_or_else(|| broken("it is none".to_owned()))?;
        let workflow = Arc::new(noops(manifest.workflow.as_ref().clone()));
        Ok(Maker { shape, manifest, workflow })
    }

    /// The definition, as it is kept.
    pub fn revision(&self) -> Revision {
        crd::revision(&self.manifest)
    }

    /// Whose runs these are.
    pub fn shard(&self) -> ShardId {
        ShardId::of_namespace(&self.workflow.namespace)
    }

    /// A run to be submitted.
    pub fn submission(&self, clock: &Clock) -> Result<Submission, BenchError> {
        let id = uuid::Uuid::now_v7().to_string();
        let name = format!("bench-{id}");
        let id: RunId = id.parse().map_err(|e| BenchError::Wrong(format!("{e}")))?;
        let workflow = &self.workflow;
        let row = RunRow::new(id, workflow.id.clone(), workflow.namespace.clone(), name, clock.now());
        let run = RunRow { params: Text::from(&self.shape.params()), ..row };
        Ok(Submission { revision: self.revision(), workflow: workflow.clone(), run })
    }
}
