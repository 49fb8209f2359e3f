//! The door: a file's bytes in, valid workflows, runs and pools out, or everything that is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::crd::documents::Loader;
use crate::crd::finding::{Findings, Remark, Remarks};
use crate::crd::params::Overrides;
use crate::crd::pool::Pool;
use crate::crd::schema::API_VERSION;
use crate::crd::tree::{Node, Pos, START};
use crate::crd::yaml;
use crate::model::revision::Revision;
use crate::model::workflow::{Workflow, limits};

/// What a file holds, all of it valid.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// Its Workflows, in the order of the file.
    pub workflows: Vec<WorkflowManifest>,
    /// Its Runs, in the order of the file.
    pub runs: Vec<RunManifest>,
    /// Its WorkerPools, in the order of the file.
    pub pools: Vec<PoolManifest>,
    /// What a person should know and that stops nothing, a sentence each.
    pub notices: Vec<String>,
}

/// A Workflow of the file.
#[derive(Clone, Debug)]
pub struct WorkflowManifest {
    /// Ready to run.
    pub workflow: Arc<Workflow>,
    /// The spec as written, as JSON: what a revision stores.
    pub spec: Json,
    /// Where each of its params is declared, in their order.
    pub params_at: Vec<Pos>,
    /// metadata.labels
    pub labels: BTreeMap<String, String>,
    /// Where it begins in the file.
    pub at: Pos,
}

/// A Run of the file, of a Workflow of the file.
#[derive(Clone, Debug)]
pub struct RunManifest {
    /// metadata.name, or else generateName with something of the caller's behind it.
    pub name: RunName,
    /// metadata.namespace
    pub namespace: String,
    /// The index of its Workflow in [`Manifests::workflows`].
    pub workflow: usize,
    /// The values of all params: flags over the params file over the Run over the defaults.
    pub params: BTreeMap<String, Json>,
    /// Where it begins in the file.
    pub at: Pos,
}

/// How a Run is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunName {
    /// Exactly so.
    Given(String),
    /// The beginning; whoever creates the run completes it.
    Prefix(String),
}

/// A WorkerPool of the file; where files are run, every pool is the in-process worker, whatever its spec says.
#[derive(Clone, Debug)]
pub struct PoolManifest {
    /// metadata.name
    pub name: String,
    /// metadata.namespace
    pub namespace: String,
    /// Its spec, with its defaults in it.
    pub spec: Pool,
    /// Where it begins in the file.
    pub at: Pos,
}

/// Reads and checks a file of manifests. `file` is its name as the user gave it. Values of params come from
/// `overrides` too, so that a Run may leave to a flag what it does not say itself.
pub fn load(file: &str, bytes: &[u8], overrides: &Overrides) -> Result<Manifests, Findings> {
    let mut loader = Loader::default();
    let text = text_of(bytes, &mut loader.remarks);
    if loader.remarks.len() == 0 {
        let documents = yaml::documents(&text, &mut loader.remarks);
        // A document that is no YAML may have been the one that others refer to.
        loader.lost = loader.remarks.len() > 0;
        if documents.is_empty() && !loader.lost {
            let fix = format!("write a Workflow: apiVersion: {API_VERSION}, kind: Workflow, metadata, spec");
            loader.whole("there is no manifest in this file", &fix);
        }
        documents.into_iter().for_each(|document| loader.document(document));
    }
    if loader.remarks.len() == 0 && loader.manifests.workflows.is_empty() && loader.runs.is_empty() {
        let fix = format!("Relay's objects begin with apiVersion: {API_VERSION}");
        loader.whole("there is no Workflow or Run in this file", &fix);
    }
    let flags = loader.resolve_runs(overrides);
    let Loader { remarks, manifests, .. } = loader;
    match (remarks.finish(file, &text), Findings::of(flags)) {
        (None, None) => Ok(manifests),
        (Some(findings), None) | (None, Some(findings)) => Err(findings),
        (Some(findings), Some(flags)) => Err(findings.and(flags)),
    }
}

/// A stored revision, ready to run; findings tell what a definition says that this version of Relay does not take.
pub fn compile(revision: &Revision) -> Result<Workflow, Findings> {
    let manifest = serde_json::json!({
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {"namespace": revision.namespace, "name": revision.name},
        "spec": revision.definition,
    });
    let mut loader = Loader::default();
    loader.document(Node::from_json(&manifest));
    let workflow = loader.manifests.workflows.pop();
    if loader.remarks.len() == 0 && workflow.is_none() {
        loader.whole("there is no Workflow in this revision", "it was not written by Relay");
    }
    match (loader.remarks.finish(revision.id.as_str(), ""), workflow) {
        (None, Some(manifest)) => Ok(Arc::unwrap_or_clone(manifest.workflow)),
        (findings, _) => Err(findings.unwrap_or_default()),
    }
}

/// The text of a file; with a remark, only good for showing its lines, when it is no text or too long.
pub(super) fn text_of(bytes: &[u8], remarks: &mut Remarks) -> String {
    let mut refuse = |at: Pos, reason: String, fix: &str| {
        remarks.push(Remark { at, path: String::new(), reason, fix: Some(fix.to_string()) });
    };
    if bytes.len() > limits::FILE_BYTES {
        let size = bytes.len() as f64 / f64::from(1 << 20);
        let reason = format!("the file has {size:.1} MiB, and 4 MiB are allowed");
        refuse(START, reason, "split it, or keep data out of manifests");
        return String::new();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_string(),
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let lines = good.matches('\n').count() as u32 + 1;
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
            let reason = "this is not UTF-8 text".to_string();
            refuse(Pos { line: lines, column }, reason, "is it a manifest at all? Save it as UTF-8");
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}
