//! Document by document: checked, converted, and its Runs brought together with their Workflows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::crd::convert::{self, Identity};
use crate::crd::finding::{Finding, Remark, Remarks, quoted};
use crate::crd::kinds::{Stranger, kind_of};
use crate::crd::load::{Manifests, PoolManifest, RunManifest, RunName, WorkflowManifest};
use crate::crd::params::{self, Overrides};
use crate::crd::pool::WorkerPoolSpec;
use crate::crd::run::{DesiredState, RunSpec};
use crate::crd::schema::Kind;
use crate::crd::tree::{Cursor, Node, Pos, START};
use crate::crd::workflow::WorkflowSpec;
use crate::crd::{check, near, revision};
use crate::model::workflow::Param;

/// The namespace of objects that name none.
const NAMESPACE: &str = "default";

/// A Run before its Workflow is known.
pub(super) struct PendingRun {
    document: Node,
    pub spec: RunSpec,
    pub name: RunName,
    pub namespace: String,
}

/// What metadata says.
pub(super) struct Meta {
    pub name: Option<String>,
    prefix: Option<String>,
    pub namespace: String,
    labels: BTreeMap<String, String>,
}

impl Meta {
    fn of(document: &Node) -> Self {
        let metadata = Cursor::root(document).field("metadata");
        let text = |key: &str| metadata.field(key).node.and_then(Node::as_text).map(str::to_string);
        let labels = metadata.field("labels").node.map(Node::to_json);
        Self {
            name: text("name"),
            prefix: text("generateName"),
            namespace: text("namespace").unwrap_or_else(|| NAMESPACE.to_string()),
            labels: labels.and_then(|labels| serde_json::from_value(labels).ok()).unwrap_or_default(),
        }
    }
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

/// Goes through the documents of one file.
#[derive(Default)]
pub(super) struct Loader {
    pub manifests: Manifests,
    pub remarks: Remarks,
    known: Vec<Known>,
    pub runs: Vec<PendingRun>,
    names: BTreeMap<(Kind, String, String), Pos>,
    /// A document was lost, so an unknown name may have been in it.
    pub lost: bool,
}

impl Loader {
    /// A remark on the file as a whole.
    pub(super) fn whole(&mut self, reason: &str, fix: &str) {
        let (at, reason, fix) = (START, reason.to_string(), Some(fix.to_string()));
        self.remarks.push(Remark { at, path: String::new(), reason, fix });
    }

    /// Checks one document; what is sound of it goes to the manifests, a Run once its Workflow is known.
    pub(super) fn document(&mut self, document: Node) {
        let kind = match kind_of(&document) {
            Ok(kind) => kind,
            Err(Stranger::Other(notice)) => return self.manifests.notices.push(notice),
            Err(Stranger::Wrong { path, at, reason, fix }) => {
                self.lost = true;
                return self.remarks.push(Remark { at, path: path.to_string(), reason, fix });
            }
        };
        self.object(kind, document);
    }

    /// The same for a document whose kind is known.
    pub(super) fn object(&mut self, kind: Kind, mut document: Node) {
        let usable = check::check(kind, &mut document, &mut self.remarks);
        let meta = Meta::of(&document);
        self.name_once(kind, &document, &meta);
        match kind {
            Kind::Workflow => self.workflow(&document, usable, meta),
            Kind::Run => self.run(document, usable, meta),
            Kind::WorkerPool => self.pool(&document, usable, meta),
        }
    }

    fn pool(&mut self, document: &Node, usable: bool, meta: Meta) {
        let root = Cursor::root(document);
        if usable && let Some(spec) = self.typed::<WorkerPoolSpec>(&root) {
            let spec = convert::pool(spec, &root.field("spec"), &mut self.remarks);
            let (name, namespace) = (meta.name.unwrap_or_default(), meta.namespace);
            self.manifests.pools.push(PoolManifest { name, namespace, spec, at: document.at });
        }
        let notice =
            "WorkerPool: tasks run on this machine; what its spec says needs a cluster and is ignored here";
        if !self.manifests.notices.iter().any(|known| known == notice) {
            self.manifests.notices.push(notice.to_string());
        }
    }

    fn name_once(&mut self, kind: Kind, document: &Node, meta: &Meta) {
        let Some(name) = &meta.name else { return };
        let key = (kind, meta.namespace.clone(), name.clone());
        if let Some(first) = self.names.get(&key) {
            let at = Cursor::root(document).field("metadata").field("name");
            let (kind, line) = (kind.name(), first.line);
            let reason = format!("a second {kind} called {}, the first is in line {line}", quoted(name));
            self.remarks.at(&at, reason, Some("rename one".to_string()));
        } else {
            self.names.insert(key, document.at);
        }
    }

    fn workflow(&mut self, document: &Node, usable: bool, meta: Meta) {
        let root = Cursor::root(document);
        // With nothing remarked upon, this is the spec as it was written.
        let written = root.field("spec").node.map_or(Json::Null, Node::to_json);
        let (name, namespace) = (meta.name.unwrap_or_default(), meta.namespace);
        let mut known = Known { namespace, name, at: document.at, params: None, index: None };
        if usable && let Some(spec) = self.typed::<WorkflowSpec>(&root) {
            let hash = revision::hash(&written);
            let id = Identity { namespace: &known.namespace, name: &known.name, hash: &hash };
            let converted = convert::workflow(&spec, &root, &mut self.remarks, id);
            known.params = converted.params;
            if let Some(workflow) = converted.workflow {
                known.index = Some(self.manifests.workflows.len());
                let declared = root.field("spec").field("params");
                let params_at = (0..workflow.params.len()).map(|place| declared.item(place).at).collect();
                let (workflow, labels) = (Arc::new(workflow), meta.labels);
                self.manifests.workflows.push(WorkflowManifest {
                    workflow,
                    spec: written,
                    params_at,
                    labels,
                    at: document.at,
                });
            }
        }
        self.known.push(known);
    }

    fn run(&mut self, document: Node, usable: bool, meta: Meta) {
        let name = match (meta.name, meta.prefix) {
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
            if let Some(state) = spec.desired_state.filter(|state| *state != DesiredState::Running) {
                let (line, state) = (document.at.line, state.as_str());
                let notice =
                    format!("line {line}: desiredState: {state} needs a cluster and is ignored here");
                self.manifests.notices.push(notice);
            }
            self.runs.push(PendingRun { document, spec, name, namespace: meta.namespace });
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
    pub(super) fn resolve_runs(&mut self, overrides: &Overrides) -> Vec<Finding> {
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
                self.manifests.runs.push(RunManifest {
                    name,
                    namespace,
                    workflow,
                    params,
                    at: run.document.at,
                });
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
