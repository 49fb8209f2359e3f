//! The schema of a kind as the API server wants it: structural, bounded, with lists that merge by name. Made from the
//! schema of the Rust types, as the one for files is.

use serde_json::{Map, Value as Json, json};

use crate::crd::limits::{IDENTIFIER, TASK_NAME};

/// Marks a value whose fields are not known.
const FREE: &str = "x-kubernetes-preserve-unknown-fields";

/// Makes a schema of Rust types structural, in place.
pub(super) fn structural(schema: &mut Json) {
    let Some(node) = schema.as_object_mut() else { return };
    // What is not known is pruned, or refused by name where the client asks for strict validation, as kubectl does.
    if node.get("additionalProperties") == Some(&Json::Bool(false)) {
        node.remove("additionalProperties");
    }
    bounded(node);
    if node.get("type").is_some_and(|kind| kind == "array") {
        listed(node);
    }
    if node.get("type").is_some_and(|kind| kind == "object") && is_free(node) {
        node.insert("x-kubernetes-map-type".to_string(), json!("atomic"));
    }
    for key in ["items", "additionalProperties"] {
        node.get_mut(key).into_iter().for_each(structural);
    }
    if let Some(Json::Object(fields)) = node.get_mut("properties") {
        fields.values_mut().for_each(structural);
    }
}

/// A pattern may hold the length; the API server reckons with what is said, and refuses long texts before it matches.
fn bounded(node: &mut Map<String, Json>) {
    let implied = match node.get("pattern").and_then(Json::as_str) {
        Some(pattern) if pattern == TASK_NAME || pattern == IDENTIFIER => 63,
        _ => return,
    };
    node.entry("maxLength").or_insert(json!(implied));
}

/// An object with any fields is written as a whole: else the record of owners is as deep as what somebody puts in it.
fn is_free(node: &Map<String, Json>) -> bool {
    let free = |node: &Json| node.get(FREE) == Some(&Json::Bool(true));
    node.get(FREE).is_some_and(Json::is_boolean) || node.get("additionalProperties").is_some_and(free)
}

/// How a list is merged and whether its elements are told apart. Elements with names are one each: what stands inside
/// is no field of its own to whoever merges, which keeps the record of owners small.
fn listed(node: &mut Map<String, Json>) {
    let items = &node["items"];
    let required = |name: &str| items["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
    let key = ["name", "type"].into_iter().find(|key| required(key) && items["type"] == "object");
    let names = items["pattern"] == TASK_NAME;
    match key {
        Some(key) => {
            node.insert("x-kubernetes-list-type".to_string(), json!("map"));
            node.insert("x-kubernetes-list-map-keys".to_string(), json!([key]));
            node["items"]["x-kubernetes-map-type"] = json!("atomic");
        }
        None => {
            let kind = if names { "set" } else { "atomic" };
            node.insert("x-kubernetes-list-type".to_string(), json!(kind));
        }
    }
}
