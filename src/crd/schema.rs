//! The JSON schema of each kind, generated from its types: for editors, for the checks here, later for the CRDs.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, transform};
use serde_json::{Value, json};

use crate::crd::limits::{DNS_LABEL, POOL_NAME};
use crate::crd::pool::WorkerPoolSpec;
use crate::crd::run::RunSpec;
use crate::crd::shapes::{Metadata, SERVER_METADATA};
use crate::crd::workflow::WorkflowSpec;

/// The only version there is.
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

fn document(kind: Kind) -> Value {
    let spec = match kind {
        Kind::Workflow => generated::<WorkflowSpec>(),
        Kind::Run => generated::<RunSpec>(),
        Kind::WorkerPool => generated::<WorkerPoolSpec>(),
    };
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
        "description": spec["description"],
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
    object.remove("format");
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
