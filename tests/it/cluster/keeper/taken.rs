//! Names that are taken, and objects that cannot be read.

use serde_json::json;

use super::{pool, rig::Rig};
use crate::cluster::kubectl::{condition, is_true, well, with_input};

#[test]
fn a_secret_of_somebody_else_is_left_alone() {
    let rig = Rig::new("relay:1");
    rig.run(&["create", "secret", "generic", "relay-pool-redis", "--from-literal=token=theirs"]);
    let theirs = rig.get("secret", "relay-pool-redis");
    rig.apply(&pool(""));
    let words = rig.until_says("NameTaken");
    assert!(words.contains("Secret relay-pool-redis") && words.contains("delete it"), "{words}");
    assert!(is_true(&rig.get("workerpool", "pool"), "Stalled"));
    assert_eq!(rig.get("secret", "relay-pool-redis"), theirs);
    assert!(rig.get("deployment", "relay-pool").is_null(), "its pods would have no address of Redis");

    rig.run(&["delete", "secret", "relay-pool-redis"]);
    rig.apply(&pool("  maxReplicas: 2"));
    rig.until_says("ScaledToZero");
    let ours = rig.get("secret", "relay-pool-redis");
    assert_eq!(ours["metadata"]["ownerReferences"][0]["kind"], "WorkerPool");
}

#[test]
fn our_own_secret_is_put_right_by_the_next_keeper() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool(""));
    rig.until_says("ScaledToZero");
    let made = rig.get("secret", "relay-pool-redis");
    rig.stop();
    let other = json!({"stringData": {"url": "redis://elsewhere"}}).to_string();
    rig.run(&["patch", "secret", "relay-pool-redis", "--type=merge", "-p", &other]);
    rig.start("relay:1");
    rig.until("secret", "relay-pool-redis", |secret| secret["data"] == made["data"]);
}

#[test]
fn a_pool_that_is_too_deep_to_be_read_says_so() {
    let rig = Rig::new("relay:1");
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let object = format!(
        r#"{{"apiVersion": "relay.works/v1alpha1", "kind": "WorkerPool", "metadata": {{"name": "deep"}},
            "spec": {{"image": "busybox:1.36", "template": {{"spec": {{"nested": {deep}}}}}}}}}"#
    );
    let path = format!("/apis/relay.works/v1alpha1/namespaces/{}/workerpools", rig.namespace);
    well(with_input(rig.control.kubectl().args(["create", "--raw", &path, "-f", "-"]), &object));
    // Its JSON is too deep for this test as well.
    let message = "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
    rig.wait("it is told", || {
        let said = rig.run(&["get", "workerpool", "deep", "-o", message]);
        said.contains("cannot be read") && said.contains("make it flatter")
    });
    rig.apply(&pool(""));
    rig.until_says("ScaledToZero");
}

#[test]
fn a_pool_that_is_scaled_to_nothing_by_hand_says_that_its_tasks_wait() {
    let rig = Rig::new("relay:1");
    rig.apply(&pool("  replicas: 0"));
    rig.demand(1);
    let words = rig.until_says("NoReplicas");
    assert!(words.contains("spec.replicas"), "{words}");
    let (status, ..) = condition(&rig.get("workerpool", "pool"), "Ready").expect("it is there");
    assert_eq!(status, "False");
}
