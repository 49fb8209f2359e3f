//! The definitions of the kinds, without a cluster: what an API server demands of a schema, and bounds everywhere.

use std::collections::BTreeSet;

use regex::Regex;
use relay::crd::definition::{definition, file_name, printed};
use relay::crd::schema::Kind;
use serde_json::Value;

use crate::support::relay;

/// Values that may be anything; the API server bounds them by the size of a request.
const FREE: [&str; 6] = [
    "Workflow.spec.params[].default",
    "Workflow.spec.params[].enum[]",
    "Run.spec.params",
    "Run.spec.params{}",
    "Run.status.outputs",
    "WorkerPool.spec.template.spec",
];

fn schema(kind: Kind) -> &'static Value {
    &definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Every schema in a kind's schema, with its path.
fn all(kind: Kind) -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    let mut open = vec![(kind.name().to_string(), schema(kind))];
    while let Some((path, node)) = open.pop() {
        let fields = node["properties"].as_object().into_iter().flatten();
        open.extend(fields.map(|(name, field)| (format!("{path}.{name}"), field)));
        open.extend(node.get("items").map(|items| (format!("{path}[]"), items)));
        let rest = node.get("additionalProperties").filter(|rest| rest.is_object());
        open.extend(rest.map(|rest| (format!("{path}{{}}"), rest)));
        found.push((path, node));
    }
    found
}

fn everywhere() -> Vec<(String, &'static Value)> {
    Kind::ALL.into_iter().flat_map(all).collect()
}

#[test]
fn every_text_list_and_map_has_a_bound() {
    for (path, node) in everywhere() {
        let free = node.get("x-kubernetes-preserve-unknown-fields").is_some();
        assert!(!free || FREE.contains(&path.as_str()), "{path} may be anything");
        let has = |key: &str| node[key].is_number();
        match node["type"].as_str() {
            Some("string") => assert!(has("maxLength") || node["enum"].is_array(), "{path} has no maxLength"),
            Some("array") => assert!(has("maxItems"), "{path} has no maxItems"),
            Some("object") => {
                let open = free || node.get("additionalProperties").is_some();
                assert!(!open || has("maxProperties"), "{path} has no maxProperties");
            }
            Some("integer" | "number") if path.contains(".spec") => {
                assert!(has("minimum") && has("maximum"), "{path} has no range");
            }
            Some("integer" | "number" | "boolean") => {}
            other => assert!(free && other.is_none(), "{path} has the type {other:?}"),
        }
    }
}

#[test]
fn schemas_are_structural() {
    let known = BTreeSet::from([
        "additionalProperties",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ]);
    for (path, node) in everywhere() {
        for (key, value) in node.as_object().expect("a schema is an object") {
            assert!(known.contains(key.as_str()), "{path}: {key}");
            assert!(key != "additionalProperties" || value.is_object(), "{path}: {key} is {value}");
        }
        if node["type"] == "array" {
            assert!(node["x-kubernetes-list-type"].is_string(), "{path} says not how it is merged");
        }
        if let Some(pattern) = node["pattern"].as_str() {
            // Both are RE2's language: no look-around, no references back.
            assert!(Regex::new(pattern).is_ok(), "{path}: {pattern}");
        }
    }
}

#[test]
fn every_field_is_described_in_sentences() {
    for (path, node) in everywhere() {
        let is_field = !path.ends_with(['}', ']']) && !path.contains(".metadata");
        let text = node["description"].as_str().unwrap_or_default();
        if is_field || !text.is_empty() {
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{path}: {text:?}");
            assert!(!text.contains(['\n', '`']), "{path}: {text:?}");
        }
    }
}

#[test]
fn lists_with_names_are_maps_by_name() {
    let maps: Vec<String> = everywhere()
        .into_iter()
        .filter(|(_, node)| node["x-kubernetes-list-type"] == "map")
        .map(|(path, node)| {
            format!("{path} by {}", node["x-kubernetes-list-map-keys"][0].as_str().expect("a key"))
        })
        .collect();
    let expected = [
        "Run.status.conditions by type",
        "WorkerPool.status.conditions by type",
        "Workflow.spec.finally by name",
        "Workflow.spec.finally[].env by name",
        "Workflow.spec.finally[].outputs by name",
        "Workflow.spec.outputs by name",
        "Workflow.spec.params by name",
        "Workflow.spec.tasks by name",
        "Workflow.spec.tasks[].env by name",
        "Workflow.spec.tasks[].outputs by name",
        "Workflow.status.conditions by type",
    ];
    assert_eq!(maps.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected.map(str::to_string)));
}

#[test]
fn rules_say_what_is_wrong_where_and_what_to_do() {
    let mut count = 0;
    for (path, node) in everywhere() {
        let is_scalar = node["type"] != "object";
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            count += 1;
            let text = |key: &str| rule[key].as_str().unwrap_or_default();
            assert!(text("message").len() > 20 && text("reason").starts_with("FieldValue"), "{path}: {rule}");
            // A duplicate is reported without its message.
            assert!(text("reason") != "FieldValueDuplicate", "{path}: {rule}");
            assert_eq!(rule.get("fieldPath").is_none(), is_scalar, "{path}: {rule}");
            let field = text("fieldPath").trim_start_matches('.').replace('.', "/properties/");
            let exists = is_scalar || node.pointer(&format!("/properties/{field}")).is_some();
            assert!(exists, "{path}: no field {field}");
        }
    }
    assert!(count > 30, "{count} rules");
}

#[test]
fn columns_scale_and_selectors_name_fields_that_there_are() {
    for kind in Kind::ALL {
        let version = &definition(kind)["spec"]["versions"][0];
        let named = |path: &str| {
            let path = path.split("[?").next().unwrap_or(path).replace("[*]", "");
            let pointer: String = path.trim_start_matches('.').split('.').fold(String::new(), |at, step| {
                let into = match schema(kind).pointer(&at) {
                    Some(node) if node["type"] == "array" => "/items",
                    _ => "",
                };
                format!("{at}{into}/properties/{step}")
            });
            schema(kind).pointer(&pointer).is_some()
        };
        for column in version["additionalPrinterColumns"].as_array().expect("columns") {
            let path = column["jsonPath"].as_str().expect("a path");
            assert!(named(path) || path == ".metadata.creationTimestamp", "{kind:?}: {path}");
        }
        for selectable in version["selectableFields"].as_array().into_iter().flatten() {
            assert!(named(selectable["jsonPath"].as_str().expect("a path")), "{kind:?}: {selectable}");
        }
        for (key, path) in version["subresources"]["scale"].as_object().into_iter().flatten() {
            assert!(named(path.as_str().expect("a path")), "{kind:?}: {key} {path}");
        }
    }
}

#[test]
fn the_verb_prints_all_or_writes_a_file_each() {
    let told = relay().arg("crds").output().expect("relay starts");
    let text = String::from_utf8(told.stdout).expect("text");
    let documents = serde_saphyr::from_multiple::<Value>(&text).expect("YAML");
    assert_eq!(
        (documents, told.status.code()),
        (Kind::ALL.map(|kind| definition(kind).clone()).into(), Some(0))
    );

    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("made/crds");
    let told = relay().arg("crds").arg("--out").arg(&out).output().expect("relay starts");
    assert_eq!((told.stdout.len(), told.status.code()), (0, Some(0)));
    for kind in Kind::ALL {
        assert_eq!(std::fs::read_to_string(out.join(file_name(kind))).expect("a file"), printed(kind));
    }
    let told = relay().arg("crds").arg("--out").arg(out.join("run.yaml")).output().expect("relay starts");
    let said = String::from_utf8(told.stderr).expect("text");
    assert!(said.starts_with("error: ") && said.contains("run.yaml could not be made"), "{said}");
    assert_eq!(told.status.code(), Some(1));
}

#[test]
fn a_definition_is_small_enough_for_kubectl_apply_and_reads_back() {
    for kind in Kind::ALL {
        let text = printed(kind);
        assert!(text.len() < 100_000, "{kind:?}: {} bytes; what kubectl apply keeps has 262144", text.len());
        assert_eq!(serde_saphyr::from_str::<Value>(&text).expect("YAML"), *definition(kind));
        // The chart puts annotations behind this line.
        assert_eq!(text.matches("\nmetadata:\n").count(), 1);
    }
}
