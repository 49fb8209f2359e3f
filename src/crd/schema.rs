//! The JSON schema of each kind, generated from its types: for editors, for the checks here, later for the CRDs.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, transform};
use serde_json::{Value, json};

use crate::crd::limits::{DNS_LABEL, POOL_NAME};
use crate::crd::pool::WorkerPoolSpec;
use crate::crd::run::RunSpec;
use crate::crd::shapes::{Metadata, SERVER_METADATA};
use crate::crd::status::{RunStatus, WorkerPoolStatus, WorkflowStatus};
use crate::crd::workflow::WorkflowSpec;

/// The API group.
pub const GROUP: &str = "relay.works";
/// The only version there is.
pub const VERSION: &str = "v1alpha1";
/// The two, as manifests name them.
pub const API_VERSION: &str = "relay.works/v1alpha1";

/// The description of fields that no user writes: let through, never suggested.
pub(super) const BY_THE_SERVER: &str = "Written by the server.";

/// A kind of Relay's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A definition.
    Workflow,
    /// An execution.
    Run,
    /// Warm workers.
    WorkerPool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Workflow, Self::Run, Self::WorkerPool];

    /// As it is written after `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workflow => "Workflow",
            Self::Run => "Run",
            Self::WorkerPool => "WorkerPool",
        }
    }

    /// What it is, for `kubectl explain` and editors.
    pub fn about(self) -> &'static str {
        match self {
            Self::Workflow => {
                "A Workflow is a DAG of tasks with its params and limits. It starts nothing by itself: a Run does. Every \
                 change of its spec that changes what a Run does makes a new revision; a Run keeps the one it started with."
            }
            Self::Run => {
                "A Run is one execution of a Workflow, with values for its params. Its status is a summary; who approves \
                 a task sets the annotation approval.relay.works/<task> on it."
            }
            Self::WorkerPool => {
                "A WorkerPool is a Deployment of warm workers that run tasks. It scales from zero by the tasks that wait \
                 for it, and is called relay-<name>."
            }
        }
    }

    /// As the API server calls many of it, in URLs and RBAC.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Workflow => "workflows",
            Self::Run => "runs",
            Self::WorkerPool => "workerpools",
        }
    }

    /// The schema of a whole document of this kind (JSON Schema 2020-12, no references, no defaults).
    pub fn schema(self) -> &'static Value {
        static SCHEMAS: LazyLock<[Value; 3]> = LazyLock::new(|| Kind::ALL.map(document));
        &SCHEMAS[self as usize]
    }
}

/// Pretty JSON of a kind's schema, as committed under crds/.
pub fn printed(kind: Kind) -> String {
    format!("{:#}\n", kind.schema())
}

/// The schema of a kind's spec: strict, every bound in it.
pub(super) fn spec_of(kind: Kind) -> Value {
    match kind {
        Kind::Workflow => generated::<WorkflowSpec>(),
        Kind::Run => generated::<RunSpec>(),
        Kind::WorkerPool => generated::<WorkerPoolSpec>(),
    }
}

/// The schema of what Relay writes under a kind's status.
pub(super) fn status_of(kind: Kind) -> Value {
    match kind {
        Kind::Workflow => generated::<WorkflowStatus>(),
        Kind::Run => generated::<RunStatus>(),
        Kind::WorkerPool => generated::<WorkerPoolStatus>(),
    }
}

fn document(kind: Kind) -> Value {
    let spec = spec_of(kind);
    let mut metadata = generated::<Metadata>();
    if let Some(fields) = metadata["properties"].as_object_mut() {
        for name in SERVER_METADATA {
            fields.insert(name.to_string(), json!({"description": BY_THE_SERVER}));
        }
        if kind == Kind::WorkerPool {
            // Tasks name a pool, and its Deployment is called relay-<pool>.
            fields["name"]["pattern"] = json!(DNS_LABEL);
            fields["name"]["maxLength"] = json!(POOL_NAME);
        }
        if kind != Kind::Run {
            fields.remove("generateName");
            metadata["required"] = json!(["name"]);
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name(),
        "description": kind.about(),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"type": "string", "enum": [API_VERSION], "description": "Group and version."},
            "kind": {"type": "string", "enum": [kind.name()], "description": "The kind."},
            "metadata": metadata,
            "spec": spec,
            "status": {"type": "object", "description": BY_THE_SERVER, "x-kubernetes-preserve-unknown-fields": true},
        },
    })
}

fn generated<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.with_transform(plain).into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}

/// Takes out what says more than is meant: an optional field may be absent, not null; formats as Rust names them.
fn plain(schema: &mut Schema) {
    transform::transform_subschemas(&mut plain, schema);
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("default");
    // A time is one for the API server too.
    if object.get("format").is_some_and(|format| format != "date-time") {
        object.remove("format");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_string(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = object.get("anyOf")
        && let [Value::Object(only), Value::Object(null)] = choices.as_slice()
        && null.get("type").is_some_and(|kind| kind == "null")
    {
        let only = only.clone();
        object.remove("anyOf");
        // The field's own description wins over its type's.
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}
