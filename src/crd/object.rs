//! The door for live objects: one as the API server gives it in, a valid value out, or everything wrong with it, in the
//! words that `relay run` prints. Findings have a path and no place: `line` and `column` are 0, `file` is empty.
//!
//! Of an object only name, namespace, uid, labels and spec are read; what a server keeps beside them is never a finding.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::crd::documents::Loader;
use crate::crd::finding::{Finding, Findings, Remarks};
use crate::crd::load::{PoolManifest, RunName, WorkflowManifest};
use crate::crd::params::{self, Overrides};
use crate::crd::pool::Pool;
use crate::crd::run::DesiredState;
use crate::crd::schema::{API_VERSION, Kind};
use crate::crd::tree::{Cursor, Node};
use crate::model::workflow::{is_shallow, limits::JSON_DEPTH};

/// A live Run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunObject {
    /// metadata.namespace
    pub namespace: String,
    /// metadata.name
    pub name: String,
    /// metadata.uid, when the server has given it one.
    pub uid: Option<String>,
    /// The name of its Workflow, in the same namespace.
    pub workflow: String,
    /// The values that it gives, as written; [`params_of`] completes and judges them.
    pub params: BTreeMap<String, Json>,
    /// What its user wants of it.
    pub desired: DesiredState,
}

/// A live WorkerPool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolObject {
    /// metadata.namespace
    pub namespace: String,
    /// metadata.name
    pub name: String,
    /// metadata.uid, when the server has given it one.
    pub uid: Option<String>,
    /// Its spec.
    pub spec: Pool,
}

/// Reads a live Workflow. Its revision's name is a hash of the spec as the server gives it.
pub fn workflow_of(object: &Json) -> Result<WorkflowManifest, Findings> {
    let mut loader = loaded(Kind::Workflow, object)?;
    loader.manifests.workflows.pop().ok_or_else(|| nothing(Kind::Workflow))
}

/// Reads a live Run. Whether its params fit is judged by [`params_of`], once its Workflow is known.
pub fn run_of(object: &Json) -> Result<RunObject, Findings> {
    let run = loaded(Kind::Run, object)?.runs.pop();
    let run = run.ok_or_else(|| nothing(Kind::Run))?;
    let RunName::Given(name) = run.name else { return Err(nothing(Kind::Run)) };
    Ok(RunObject {
        namespace: run.namespace,
        name,
        uid: uid(object),
        workflow: run.spec.workflow_ref.name,
        params: run.spec.params,
        desired: run.spec.desired_state.unwrap_or_default(),
    })
}

/// The values of all params of a Run's Workflow: the Run's over the defaults.
pub fn params_of(run: &RunObject, workflow: &WorkflowManifest) -> Result<BTreeMap<String, Json>, Findings> {
    let deep = |value: &Json| !is_shallow(value);
    if let Some((name, _)) = run.params.iter().find(|(_, value)| deep(value)) {
        return Err(too_deep(&format!("spec.params.{name}")));
    }
    let given = Json::Object(run.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    let document = Node::from_json(&json!({"spec": {"params": given}}));
    let at = Cursor::root(&document).field("spec").field("params");
    let mut remarks = Remarks::default();
    let declared = &workflow.workflow.params;
    let (values, _) = params::of_run(declared, &at, &Overrides::default(), &mut remarks);
    match remarks.finish_unplaced() {
        // No flag gives a live Run a value.
        Some(findings) => Err(findings.with_fixes(|fix| match fix.starts_with("give it here") {
            true => "give it in spec.params of a new Run".to_string(),
            false => fix,
        })),
        None => Ok(values),
    }
}

/// Reads a live WorkerPool.
pub fn pool_of(object: &Json) -> Result<PoolObject, Findings> {
    let pool = loaded(Kind::WorkerPool, object)?.manifests.pools.pop();
    let PoolManifest { name, namespace, spec, .. } = pool.ok_or_else(|| nothing(Kind::WorkerPool))?;
    Ok(PoolObject { namespace, name, uid: uid(object), spec })
}

/// The loader with what came of one object; an error when anything was remarked upon.
fn loaded(kind: Kind, object: &Json) -> Result<Loader, Findings> {
    let document = trimmed(kind, object)?;
    let mut loader = Loader::default();
    loader.object(kind, document);
    match std::mem::take(&mut loader.remarks).finish_unplaced() {
        Some(findings) => Err(findings),
        None => Ok(loader),
    }
}

/// What a user writes of an object, as a manifest. Its depth is looked at first: what follows goes down by calls.
fn trimmed(kind: Kind, object: &Json) -> Result<Node, Findings> {
    let mut metadata = Map::new();
    for key in ["name", "namespace"] {
        if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(key)) {
            if !is_shallow(value) {
                return Err(too_deep(&format!("metadata.{key}")));
            }
            metadata.insert(key.to_string(), value.clone());
        }
    }
    let labels = object.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Json::as_object);
    let labels = labels.into_iter().flatten().filter(|(_, value)| value.is_string());
    metadata.insert("labels".to_string(), labels.map(|(key, value)| (key.clone(), value.clone())).collect());
    let mut manifest = json!({"apiVersion": API_VERSION, "kind": kind.name(), "metadata": metadata});
    if let Some(spec) = object.get("spec") {
        if !is_shallow(spec) {
            return Err(too_deep("spec"));
        }
        manifest["spec"] = spec.clone();
    }
    Ok(Node::from_json(&manifest))
}

fn uid(object: &Json) -> Option<String> {
    object.get("metadata")?.get("uid")?.as_str().map(str::to_string)
}

fn too_deep(path: &str) -> Findings {
    alone(path, format!("nested deeper than {JSON_DEPTH} levels"), "make it flatter")
}

/// Checks that say nothing leave something; should that ever be wrong, it is said instead of lost.
fn nothing(kind: Kind) -> Findings {
    alone("", format!("there is no {} in this object", kind.name()), "write it as the schema says")
}

fn alone(path: &str, reason: String, fix: &str) -> Findings {
    let (path, fix) = (path.to_string(), Some(fix.to_string()));
    let finding = Finding { file: String::new(), line: 0, column: 0, path, reason, fix, excerpt: None };
    Findings { list: vec![finding], more: 0 }
}
