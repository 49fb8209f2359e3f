//! A sound spec to a `model::workflow::Workflow`, or everything in it that does not make sense, each with its place.

mod bounds;
mod exprs;
mod graph;
pub(super) mod param;
mod pool;
mod task;

use std::time::Duration;

use crate::crd::convert::exprs::{Exprs, Sight};
use crate::crd::convert::graph::Graph;
use crate::crd::finding::{Remarks, quoted};
use crate::crd::tree::Cursor;
use crate::crd::workflow::{TaskSpec, WorkflowSpec};
use crate::model::ids::WorkflowId;
use crate::model::workflow::{self as model, RunOutput, Workflow};

pub(super) use pool::pool;

/// The pool of tasks that name none.
const POOL: &str = "default";

/// A spec with the places of all its parts.
struct Source<'a> {
    spec: &'a WorkflowSpec,
    spec_at: Cursor<'a>,
    /// Tasks, then finally: a task's number is its place here.
    tasks: Vec<SourceTask<'a>>,
}

struct SourceTask<'a> {
    spec: &'a TaskSpec,
    at: Cursor<'a>,
    finally: bool,
}

/// What became of a spec; the params stand alone, so that Runs can be checked against them whatever else is wrong.
pub(super) struct Converted {
    /// The declared params; None when something is wrong with one of them.
    pub params: Option<Vec<model::Param>>,
    /// The workflow; None when it left remarks.
    pub workflow: Option<Workflow>,
}

/// Converts `spec`, whose tree is under `root`; remarks tell what is wrong.
pub(super) fn workflow(
    spec: &WorkflowSpec,
    root: &Cursor<'_>,
    remarks: &mut Remarks,
    id: Identity<'_>,
) -> Converted {
    let spec_at = root.field("spec");
    let source = Source { spec, tasks: tasks_of(spec, &spec_at), spec_at };
    let before = remarks.len();
    let params_at = source.spec_at.field("params");
    let params = param::declared(&spec.params, &params_at, remarks);
    let params_sound = remarks.len() == before && !source.lost_in_params();
    if let Some(retry) = spec.defaults.as_ref().and_then(|defaults| defaults.retry.as_ref()) {
        // Also when no task uses it; said twice, it is shown once.
        bounds::retry(retry, &source.spec_at.field("defaults").field("retry"), remarks);
    }
    let graph = Graph::read(&source, remarks);
    let names = params.iter().map(|param| param.name.as_str()).collect();
    let exprs = Exprs { source: &source, graph: &graph, params: names };
    let tasks = (0..source.tasks.len()).map(|no| task::build(&exprs, no, remarks)).collect::<Vec<_>>();
    let parts = Workflow {
        id: WorkflowId::new(id.namespace, id.name, id.hash),
        namespace: id.namespace.to_string(),
        name: id.name.to_string(),
        outputs: outputs(&exprs, remarks),
        timeouts: timeouts(&source, remarks),
        tasks: tasks.into_iter().flatten().collect(),
        fail_fast: spec.fail_fast.unwrap_or(false),
        max_parallel: spec.max_parallel,
        params: params.clone(),
    };
    let workflow = if remarks.len() == before { built(parts, &source, remarks) } else { None };
    Converted { params: params_sound.then_some(params), workflow }
}

/// Which revision a spec is.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub hash: &'a str,
}

fn tasks_of<'a>(spec: &'a WorkflowSpec, spec_at: &Cursor<'a>) -> Vec<SourceTask<'a>> {
    let list = |specs: &'a [TaskSpec], key: &str, finally: bool| {
        let at = spec_at.field(key);
        let tasks = specs.iter().enumerate().map(move |(place, spec)| SourceTask {
            spec,
            at: at.item(place),
            finally,
        });
        tasks.collect::<Vec<_>>()
    };
    let mut tasks = list(&spec.tasks, "tasks", false);
    tasks.extend(list(&spec.finally, "finally", true));
    tasks
}

impl Source<'_> {
    /// Whether an earlier finding took a task out that may have been called `name` (as written or in CEL).
    fn lost_task(&self, name: &str) -> bool {
        ["tasks", "finally"].iter().any(|key| {
            let list = self.spec_at.field(key);
            self.spec_at.lost(key) || list.lost_element(name) || list.lost_element(&name.replace('_', "-"))
        })
    }

    /// Whether an earlier finding took anything out of the declared params.
    fn lost_in_params(&self) -> bool {
        let list = self.spec_at.field("params");
        let damaged = |place: usize| list.item(place).lost_any();
        self.spec_at.lost("params") || list.lost_any() || (0..self.spec.params.len()).any(damaged)
    }

    /// Whether an earlier finding took a param out that may have been called `name`.
    fn lost_param(&self, name: &str) -> bool {
        self.spec_at.lost("params") || self.spec_at.field("params").lost_element(name)
    }
}

/// The model's own check is the last word; what it refuses here was missed above.
fn built(parts: Workflow, source: &Source<'_>, remarks: &mut Remarks) -> Option<Workflow> {
    match Workflow::new(parts) {
        Ok(workflow) => Some(workflow),
        Err(error) => {
            remarks.at(&source.spec_at, error.to_string(), None);
            None
        }
    }
}

fn outputs(exprs: &Exprs<'_>, remarks: &mut Remarks) -> Vec<RunOutput> {
    let list = exprs.source.spec_at.field("outputs");
    let mut outputs: Vec<RunOutput> = Vec::new();
    for (place, output) in exprs.source.spec.outputs.iter().enumerate() {
        let at = list.item(place);
        if outputs.iter().any(|known| known.name == output.name) {
            let reason = format!("a second output called {}", quoted(&output.name));
            remarks.at(&at.field("name"), reason, Some("rename one".to_string()));
        }
        if let Some(value) = exprs.expr(&at.field("value"), &output.value, &Sight::END, remarks) {
            outputs.push(RunOutput { name: output.name.clone(), value });
        }
    }
    outputs
}

fn timeouts(source: &Source<'_>, remarks: &mut Remarks) -> model::Timeouts {
    let at = source.spec_at.field("timeouts");
    let spec = source.spec.timeouts.as_ref();
    let mut bound = |key: &str, text: Option<&crate::crd::shapes::Duration>| -> Option<Duration> {
        bounds::timeout(text?, &at.field(key), remarks)
    };
    model::Timeouts {
        run: bound("run", spec.and_then(|spec| spec.run.as_ref())),
        finally: bound("finally", spec.and_then(|spec| spec.finally.as_ref())),
    }
}
