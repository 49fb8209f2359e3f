//! The door: a file's bytes in, valid workflows, runs and pools out, or everything that is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::crd::convert::{self, Identity};
use crate::crd::finding::{Finding, Findings, Remark, Remarks, quoted};
use crate::crd::params::{self, Overrides};
use crate::crd::run::RunSpec;
use crate::crd::schema::{API_VERSION, Kind};
use crate::crd::tree::{Cursor, Node, Pos, Value};
use crate::crd::workflow::WorkflowSpec;
use crate::crd::{check, near, revision, yaml};
use crate::model::workflow::{Param, Workflow, limits};

/// The namespace of objects that name none.
const NAMESPACE: &str = "default";

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

/// A WorkerPool of the file: its name alone, for every pool is the in-process worker where files are run.
#[derive(Clone, Debug)]
pub struct PoolManifest {
    /// metadata.name
    pub name: String,
    /// metadata.namespace
    pub namespace: String,
    /// Where it begins in the file.
    pub at: Pos,
}

/// Reads and checks a file of manifests. `file` is its name as the user gave it. Values of params come from
/// `overrides` too, so that a Run may leave to a flag what it does not say itself.
pub fn load(file: &str, bytes: &[u8], overrides: &Overrides) -> Result<Manifests, Findings> {
    let mut loader = Loader::default();
    let mut manifests = Manifests::default();
    let text = text_of(bytes, &mut loader.remarks);
    let documents =
        if loader.remarks.len() == 0 { yaml::documents(&text, &mut loader.remarks) } else { Vec::new() };
    // A document that is no YAML may have been the one that others refer to.
    loader.lost = loader.remarks.len() > 0;
    if loader.remarks.len() == 0 && documents.is_empty() {
        let fix = format!("write a Workflow: apiVersion: {API_VERSION}, kind: Workflow, metadata, spec");
        loader.whole("there is no manifest in this file", &fix);
    }
    for document in documents {
        loader.document(document, &mut manifests);
    }
    if loader.remarks.len() == 0 && manifests.workflows.is_empty() && loader.runs.is_empty() {
        loader.whole(
            "there is no Workflow or Run in this file",
            &format!("Relay's objects begin with apiVersion: {API_VERSION}"),
        );
    }
    let flags = loader.resolve_runs(&mut manifests, overrides);
    let Loader { remarks, .. } = loader;
    match (remarks.finish(file, &text), Findings::of(flags)) {
        (None, None) => Ok(manifests),
        (Some(findings), None) | (None, Some(findings)) => Err(findings),
        (Some(findings), Some(flags)) => Err(findings.and(flags)),
    }
}

/// The text of a file; with a remark, only good for showing its lines, when it is no text or too long.
pub(super) fn text_of(bytes: &[u8], remarks: &mut Remarks) -> String {
    let start = Pos { line: 1, column: 1 };
    let mut refuse = |at: Pos, reason: String, fix: &str| {
        remarks.push(Remark { at, path: String::new(), reason, fix: Some(fix.to_string()) });
    };
    if bytes.len() > limits::FILE_BYTES {
        let size = bytes.len() as f64 / f64::from(1 << 20);
        let reason = format!("the file has {size:.1} MiB, and 4 MiB are allowed");
        refuse(start, reason, "split it, or keep data out of manifests");
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

/// A Run before its Workflow is known.
struct PendingRun {
    document: Node,
    spec: RunSpec,
    name: RunName,
    namespace: String,
}

/// A Workflow's name and params, known also when the rest of it is wrong.
struct Known {
    namespace: String,
    name: String,
    at: Pos,
    params: Option<Vec<Param>>,
    /// Its index among the valid ones.
    index: Option<usize>,
}

#[derive(Default)]
struct Loader {
    remarks: Remarks,
    known: Vec<Known>,
    runs: Vec<PendingRun>,
    names: BTreeMap<(Kind, String, String), Pos>,
    /// A document was lost, so an unknown name may have been in it.
    lost: bool,
}

impl Loader {
    fn whole(&mut self, reason: &str, fix: &str) {
        let at = Pos { line: 1, column: 1 };
        let (reason, fix) = (reason.to_string(), Some(fix.to_string()));
        self.remarks.push(Remark { at, path: String::new(), reason, fix });
    }

    fn document(&mut self, mut document: Node, manifests: &mut Manifests) {
        let kind = match kind_of(&document) {
            Ok(kind) => kind,
            Err(Stranger::Other(notice)) => return manifests.notices.push(notice),
            Err(Stranger::Wrong { path, at, reason, fix }) => {
                self.lost = true;
                return self.remarks.push(Remark { at, path: path.to_string(), reason, fix });
            }
        };
        let written = document.get("spec").map_or(Json::Null, |spec| spec.node.to_json());
        let usable = check::check(kind, &mut document, &mut self.remarks);
        let text = |key: &str| {
            let metadata = document.get("metadata")?;
            metadata.node.get(key)?.node.as_text().map(str::to_string)
        };
        let name = text("name");
        let namespace = text("namespace").unwrap_or_else(|| NAMESPACE.to_string());
        self.name_once(kind, &document, &namespace, name.as_deref());
        match kind {
            Kind::Workflow => {
                let id = (namespace, name.unwrap_or_default());
                self.workflow(&document, usable, id, written, manifests);
            }
            Kind::Run => {
                let prefix = text("generateName");
                self.run(document, usable, (name, prefix, namespace));
            }
            Kind::WorkerPool => {
                let ignored = ["image", "template"].iter().any(|key| written.get(key).is_some());
                if ignored && !manifests.notices.iter().any(|notice| notice.starts_with("WorkerPool")) {
                    let notice = "WorkerPool: image and template need a cluster and are ignored here";
                    manifests.notices.push(notice.to_string());
                }
                manifests.pools.push(PoolManifest {
                    name: name.unwrap_or_default(),
                    namespace,
                    at: document.at,
                });
            }
        }
    }

    fn name_once(&mut self, kind: Kind, document: &Node, namespace: &str, name: Option<&str>) {
        let Some(name) = name else { return };
        let key = (kind, namespace.to_string(), name.to_string());
        if let Some(first) = self.names.get(&key) {
            let at = Cursor::root(document).field("metadata").field("name");
            let reason = format!(
                "a second {} called {}, the first is in line {}",
                kind.name(),
                quoted(name),
                first.line
            );
            self.remarks.at(&at, reason, Some("rename one".to_string()));
        } else {
            self.names.insert(key, document.at);
        }
    }

    fn workflow(
        &mut self,
        document: &Node,
        usable: bool,
        (namespace, name): (String, String),
        written: Json,
        manifests: &mut Manifests,
    ) {
        let root = Cursor::root(document);
        let hash = revision::hash(&written);
        let mut known = Known { namespace, name, at: document.at, params: None, index: None };
        if usable && let Some(spec) = self.typed::<WorkflowSpec>(&root) {
            let id = Identity { namespace: &known.namespace, name: &known.name, hash: &hash };
            let converted = convert::workflow(&spec, &root, &mut self.remarks, id);
            known.params = converted.params;
            if let Some(workflow) = converted.workflow {
                let labels = document.get("metadata").and_then(|metadata| metadata.node.get("labels"));
                let labels = labels.and_then(|labels| serde_json::from_value(labels.node.to_json()).ok());
                known.index = Some(manifests.workflows.len());
                manifests.workflows.push(WorkflowManifest {
                    workflow: Arc::new(workflow),
                    spec: written,
                    labels: labels.unwrap_or_default(),
                    at: document.at,
                });
            }
        }
        self.known.push(known);
    }

    fn run(
        &mut self,
        document: Node,
        usable: bool,
        (name, prefix, namespace): (Option<String>, Option<String>, String),
    ) {
        let name = match (name, prefix) {
            (Some(name), _) => RunName::Given(name),
            (None, Some(prefix)) => RunName::Prefix(prefix),
            (None, None) => {
                let metadata = Cursor::root(&document).field("metadata");
                if metadata.node.is_some() && !metadata.lost("name") && !metadata.lost("generateName") {
                    let fix = "add name: my-run, or generateName: my-run- for a new name each time";
                    self.remarks.at(&metadata, "a Run needs name or generateName", Some(fix.to_string()));
                }
                RunName::Prefix("run-".to_string())
            }
        };
        if usable && let Some(spec) = self.typed::<RunSpec>(&Cursor::root(&document)) {
            self.runs.push(PendingRun { document, spec, name, namespace });
        }
    }

    /// What the schema let through fits the types; should it not, that is said instead of lost.
    fn typed<T: DeserializeOwned>(&mut self, root: &Cursor<'_>) -> Option<T> {
        let spec = root.field("spec");
        let json = spec.node.map_or(Json::Null, Node::to_json);
        match serde_json::from_value(json) {
            Ok(typed) => Some(typed),
            Err(error) => {
                self.remarks.at(&spec, error.to_string(), None);
                None
            }
        }
    }

    /// Finds each Run's Workflow and the values of its params; gives back what is wrong with flags.
    fn resolve_runs(&mut self, manifests: &mut Manifests, overrides: &Overrides) -> Vec<Finding> {
        let mut flags = Vec::new();
        let mut targets: Vec<&[Param]> = Vec::new();
        let mut complete = true;
        for run in std::mem::take(&mut self.runs).iter() {
            let Some(known) = target(&self.known, run, self.lost, &mut self.remarks) else {
                complete = false;
                continue;
            };
            let Some(declared) = known.params.as_deref() else {
                complete = false;
                continue;
            };
            targets.push(declared);
            let given = Cursor::root(&run.document).field("spec").field("params");
            let (params, wrong) = params::of_run(declared, &given, overrides, &mut self.remarks);
            flags.extend(wrong);
            if let Some(workflow) = known.index {
                let (name, namespace) = (run.name.clone(), run.namespace.clone());
                manifests.runs.push(RunManifest { name, namespace, workflow, params, at: run.document.at });
            }
        }
        // A flag is a stranger only when no Run's Workflow knows it.
        if complete && !targets.is_empty() {
            flags.extend(params::strangers(&targets, overrides));
        }
        flags.sort_by(|a, b| {
            (&a.file, a.line, a.column, &a.reason).cmp(&(&b.file, b.line, b.column, &b.reason))
        });
        flags.dedup();
        flags
    }
}

fn target<'a>(known: &'a [Known], run: &PendingRun, lost: bool, remarks: &mut Remarks) -> Option<&'a Known> {
    let name = &run.spec.workflow_ref.name;
    let found = known.iter().find(|known| known.name == *name && known.namespace == run.namespace);
    if found.is_some() || lost || known.iter().any(|known| known.name.is_empty()) {
        return found;
    }
    let at = Cursor::root(&run.document).field("spec").field("workflowRef").field("name");
    let elsewhere = known.iter().find(|known| known.name == *name);
    let (reason, fix) = match elsewhere {
        Some(other) => {
            let reason = format!(
                "Workflow {} is in namespace {}, the Run in {}",
                quoted(name),
                other.namespace,
                run.namespace
            );
            (reason, Some(format!("put both in one namespace (line {})", other.at.line)))
        }
        None => {
            let names = known.iter().map(|known| known.name.as_str());
            let fix = near::did_you_mean(name, names).unwrap_or_else(|| "add it to this file".to_string());
            (format!("there is no Workflow {} in this file", quoted(name)), Some(fix))
        }
    };
    remarks.at(&at, reason, fix);
    None
}

/// A document that is none of Relay's kinds.
enum Stranger {
    /// Somebody else's object: said once, not an error, for files often hold a ConfigMap too.
    Other(String),
    /// Most likely meant for Relay.
    Wrong { path: &'static str, at: Pos, reason: String, fix: Option<String> },
}

fn kind_of(document: &Node) -> Result<Kind, Stranger> {
    if !matches!(document.value, Value::Map(_)) {
        let reason = format!(
            "a manifest is an object with apiVersion, kind, metadata and spec, not {}",
            document.described()
        );
        return Err(Stranger::Wrong { path: "", at: document.at, reason, fix: None });
    }
    let field = |key: &str| {
        document.get(key).and_then(|entry| entry.node.as_text().map(|text| (text, entry.node.at)))
    };
    let version = field("apiVersion");
    let ours = version.is_none_or(|(version, _)| {
        let group = version.split('/').next().unwrap_or_default();
        group == "relay.works" || near::nearest(group, ["relay.works"]).is_some()
    });
    let Some((kind, at)) = field("kind") else {
        let reason = "this field is required".to_string();
        let fix = Some("add kind: Workflow, Run or WorkerPool".to_string());
        return Err(Stranger::Wrong { path: "kind", at: document.at, reason, fix });
    };
    let known = Kind::ALL.into_iter().find(|known| known.name() == kind);
    match (known, ours, version) {
        (Some(kind), true, _) => Ok(kind),
        (None, true, Some(_)) => {
            let fix = near::did_you_mean(kind, Kind::ALL.map(Kind::name));
            let fix = fix.or_else(|| Some("Relay knows Workflow, Run and WorkerPool".to_string()));
            Err(Stranger::Wrong { path: "kind", at, reason: format!("unknown kind {}", quoted(kind)), fix })
        }
        (None, true, None) => {
            let (reason, fix) =
                ("this field is required".to_string(), Some(format!("add apiVersion: {API_VERSION}")));
            Err(Stranger::Wrong { path: "apiVersion", at: document.at, reason, fix })
        }
        (_, false, version) => {
            let version = version.map_or("", |(version, _)| version);
            let what = format!("{} of {}", quoted(kind), quoted(version));
            Err(Stranger::Other(format!(
                "line {}: ignored, not one of Relay's: kind {what}",
                document.at.line
            )))
        }
    }
}
