//! The CustomResourceDefinition of each kind: names, columns, subresources, and the structural schema.

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use crate::crd::rules;
use crate::crd::schema::{GROUP, Kind, VERSION, spec_of, status_of};
use crate::crd::structural::structural;

/// The CustomResourceDefinition of a kind, as JSON.
pub fn definition(kind: Kind) -> &'static Json {
    static DEFINITIONS: LazyLock<[Json; 3]> = LazyLock::new(|| Kind::ALL.map(made));
    &DEFINITIONS[kind as usize]
}

/// The same as a YAML document, as it is committed under crds/.
pub fn printed(kind: Kind) -> String {
    let yaml = serde_saphyr::to_string(definition(kind)).expect("a test prints each definition");
    format!("# Printed by `relay crds`.\n{yaml}")
}

/// The name of the file that holds it.
pub fn file_name(kind: Kind) -> String {
    format!("{}.yaml", kind.name().to_lowercase())
}

fn made(kind: Kind) -> Json {
    let (plural, name) = (kind.plural(), kind.name());
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns(kind),
    });
    match kind {
        Kind::Workflow => {}
        Kind::Run => {
            version["selectableFields"] =
                json!([{"jsonPath": ".spec.workflowRef.name"}, {"jsonPath": ".status.state"}]);
        }
        Kind::WorkerPool => {
            version["subresources"]["scale"] = json!({
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            });
        }
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": format!("{name}List"),
                "plural": plural,
                "singular": name.to_lowercase(),
                "shortNames": [short_name(kind)],
                "categories": ["relay"],
            },
            "versions": [version],
        },
    })
}

/// Argo owns `wf`.
fn short_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Workflow => "rwf",
        Kind::Run => "rr",
        Kind::WorkerPool => "rwp",
    }
}

fn schema(kind: Kind) -> Json {
    let (mut spec, mut status) = (spec_of(kind), status_of(kind));
    for part in [&mut spec, &mut status] {
        structural(part);
    }
    // A rule needs the field that it names; the length is what every object's name may have.
    let metadata = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}});
    let mut schema = json!({
        "type": "object",
        "description": kind.about(),
        "required": ["spec"],
        "properties": {"metadata": metadata, "spec": spec, "status": status},
    });
    rules::write(kind, &mut schema);
    schema
}

/// A column of `kubectl get`: its heading, its type, where its value is; those of the second list only with `-o wide`.
type Column = (&'static str, &'static str, &'static str);

const READY: &str = ".status.conditions[?(@.type==\"Ready\")].status";
const REASON: &str = ".status.conditions[?(@.type==\"Ready\")].reason";
const MESSAGE: &str = ".status.conditions[?(@.type==\"Ready\")].message";
const AGE: Column = ("Age", "date", ".metadata.creationTimestamp");

fn columns(kind: Kind) -> Vec<Json> {
    let (always, wide): (&[Column], &[Column]) = match kind {
        Kind::Workflow => (
            &[("Ready", "string", READY), ("Reason", "string", REASON), AGE],
            &[("Revision", "string", ".status.revision"), ("Message", "string", MESSAGE)],
        ),
        Kind::Run => (
            &[
                ("Workflow", "string", ".spec.workflowRef.name"),
                ("Status", "string", ".status.state"),
                ("Tasks", "string", ".status.tasks.progress"),
                ("Waiting For", "string", ".status.awaiting[*].task"),
                ("Started", "date", ".status.startedAt"),
                ("Finished", "date", ".status.finishedAt"),
                AGE,
            ],
            &[("Revision", "string", ".status.revision"), ("Message", "string", ".status.message")],
        ),
        Kind::WorkerPool => (
            &[
                ("Ready", "string", READY),
                ("Workers", "integer", ".status.readyReplicas"),
                ("Busy", "integer", ".status.running"),
                ("Queued", "integer", ".status.queued"),
                ("Image", "string", ".spec.image"),
                AGE,
            ],
            &[
                ("Reason", "string", REASON),
                ("Wanted", "integer", ".status.wanted"),
                ("Replicas", "integer", ".status.replicas"),
                ("Waiting", "integer", ".status.waiting"),
                ("Message", "string", MESSAGE),
            ],
        ),
    };
    let column = |priority: u8, (name, kind, path): &Column| {
        let mut column = json!({"name": name, "type": kind, "jsonPath": path});
        if priority > 0 {
            column["priority"] = json!(priority);
        }
        column
    };
    always.iter().map(|c| column(0, c)).chain(wide.iter().map(|c| column(1, c))).collect()
}
