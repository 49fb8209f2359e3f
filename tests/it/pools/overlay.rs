//! A user's template over ours.

use relay::operator::workers::overlay::{imposed, laid_over};
use serde_json::json;

#[test]
fn objects_are_merged_key_by_key_and_null_takes_away() {
    let base = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]});
    let over = json!({"b": {"c": null, "f": {"g": 4, "h": null}}, "e": [3], "i": "new"});
    assert_eq!(laid_over(base, &over), json!({"a": 1, "b": {"d": 3, "f": {"g": 4}}, "e": [3], "i": "new"}));
}

#[test]
fn lists_of_named_things_are_merged_by_name_in_our_order() {
    let of = |list: serde_json::Value| json!({"volumes": list});
    let base = of(json!([{"name": "a", "x": 1}, {"name": "b", "x": 2}]));
    let over = of(json!([{"name": "c", "x": 3}, {"name": "b", "y": 4}]));
    assert_eq!(
        laid_over(base, &over),
        of(json!([{"name": "a", "x": 1}, {"name": "b", "x": 2, "y": 4}, {"name": "c", "x": 3}]))
    );
    let replaced = of(json!([{"key": "k"}]));
    assert_eq!(laid_over(of(json!([{"name": "a"}])), &replaced), replaced);
}

#[test]
fn a_volume_may_be_mounted_twice() {
    let ours = json!({"volumeMounts": [{"name": "relay", "mountPath": "/relay"}]});
    let theirs = json!({"volumeMounts": [
        {"name": "data", "mountPath": "/a", "subPath": "a"},
        {"name": "data", "mountPath": "/b", "subPath": "b"},
    ]});
    let all = laid_over(ours, &theirs);
    let paths: Vec<_> =
        all["volumeMounts"].as_array().expect("a list").iter().map(|m| m["mountPath"].clone()).collect();
    assert_eq!(paths, ["/relay", "/a", "/b"]);
}

#[test]
fn what_is_imposed_stands_alone_and_containers_keep_the_rest() {
    let base = json!({"spec": {
        "volumes": [{"name": "relay", "hostPath": {"path": "/"}}, {"name": "data"}],
        "containers": [{"name": "worker", "image": "x", "probe": {"http": 1}, "env": [{"name": "A", "value": "1"}]}],
    }});
    let over = json!({"spec": {
        "volumes": [{"name": "relay", "emptyDir": {}}],
        "containers": [{"name": "worker", "args": null, "probe": {"exec": 2}, "env": [{"name": "A", "from": "f"}]}],
    }});
    assert_eq!(
        imposed(base, &over),
        json!({"spec": {
            "volumes": [{"name": "relay", "emptyDir": {}}, {"name": "data"}],
            "containers": [{"name": "worker", "image": "x", "probe": {"exec": 2}, "env": [{"name": "A", "from": "f"}]}],
        }})
    );
}
