//! Merge patches, and objects as they come.

use proptest::prelude::*;
use relay::operator::merge_patch;
use serde_json::{Map, Value, json};

use super::{of_text, run_object};

/// Applies a merge patch, as RFC 7396 says.
fn applied(patch: &Value, to: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = to.as_object().cloned().unwrap_or_else(Map::new);
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            let old = target.get(key).cloned().unwrap_or(Value::Null);
            target.insert(key.clone(), applied(value, &old));
        }
    }
    Value::Object(target)
}

fn without_null() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from), Just(json!("x"))];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn a_patch_makes_the_old_to_the_new(old in without_null(), new in without_null()) {
        prop_assert_eq!(applied(&merge_patch(&old, &new), &old), new);
    }
}

#[test]
fn a_patch_of_what_is_the_same_says_nothing() {
    let value = json!({"a": {"b": [1, {"c": 2}]}});
    assert_eq!(merge_patch(&value, &value), json!({}));
    assert_eq!(merge_patch(&Value::Null, &value), value);
}

#[test]
fn whatever_is_nested_in_a_spec_the_object_is_held() {
    for deep in [5_000, 128, 127] {
        a_spec_this_deep_is_refused(deep);
    }
}

fn a_spec_this_deep_is_refused(deep: usize) {
    let spec = format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
    let text = format!(
        r#"{{"kind": "Run", "metadata": {{"name": "n", "namespace": "d", "uid": "u"}}, "spec": {spec}, "status": {spec}}}"#
    );
    let object = of_text(&text);
    assert_eq!(object.json().get("spec"), None);
    let findings = object.read(relay::crd::run_of).expect_err("nothing to read");
    assert!(findings.to_string().starts_with("spec: it cannot be read: "), "{findings}");
    assert!(findings.to_string().ends_with("make it flatter"), "{findings}");
}

#[test]
fn of_a_run_that_ended_little_is_kept() {
    let conditions = json!([{"type": "Finished", "status": "True"}]);
    let status = json!({"observedGeneration": 2, "conditions": conditions, "outputs": {"large": "x"}});
    let ended = run_object(json!({"workflowRef": {"name": "etl"}}), status);
    assert_eq!(ended.json().get("spec"), None);
    assert_eq!(ended.status(), json!({"observedGeneration": 2, "conditions": conditions}));
    assert!(ended.annotations.is_empty());
    let live = run_object(json!({"workflowRef": {"name": "etl"}}), json!({"state": "Running"}));
    assert_eq!(live.json()["spec"]["workflowRef"]["name"], "etl");
    assert_eq!(live.json()["metadata"]["labels"], json!({"team": "x"}));
    assert_eq!(live.json()["metadata"].get("managedFields"), None);
}

#[test]
fn versions_of_an_object_grow() {
    let old = run_object(json!({}), json!({}));
    let mut new = old.clone();
    assert!(!new.is_newer_than(&old));
    new.version = "100".to_owned();
    assert!(new.is_newer_than(&old) && !old.is_newer_than(&new));
}
