//! A user's template over ours.

use relay::operator::workers::overlay::laid_over;
use serde_json::json;

#[test]
fn objects_are_merged_key_by_key_and_null_takes_away() {
    let base = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]});
    let over = json!({"b": {"c": null, "f": {"g": 4, "h": null}}, "e": [3], "i": "new"});
    assert_eq!(laid_over(base, &over), json!({"a": 1, "b": {"d": 3, "f": {"g": 4}}, "e": [3], "i": "new"}));
}

#[test]
fn lists_of_named_things_are_merged_by_name_in_our_order() {
    let base = json!([{"name": "a", "x": 1}, {"name": "b", "x": 2}]);
    let over = json!([{"name": "c", "x": 3}, {"name": "b", "y": 4}]);
    assert_eq!(
        laid_over(base, &over),
        json!([{"name": "a", "x": 1}, {"name": "b", "x": 2, "y": 4}, {"name": "c", "x": 3}])
    );
    assert_eq!(laid_over(json!([{"name": "a"}]), &json!([{"key": "k"}])), json!([{"key": "k"}]));
}

#[test]
fn a_volume_may_be_mounted_twice() {
    let ours = json!([{"name": "relay", "mountPath": "/relay"}]);
    let theirs = json!([
        {"name": "data", "mountPath": "/a", "subPath": "a"},
        {"name": "data", "mountPath": "/b", "subPath": "b"},
    ]);
    let all = laid_over(ours, &theirs);
    let paths: Vec<_> = all.as_array().expect("a list").iter().map(|m| m["mountPath"].clone()).collect();
    assert_eq!(paths, ["/relay", "/a", "/b"]);
}
