//! What the pods of a pool show.

use k8s_openapi::api::core::v1::Pod;
use relay::operator::workers::pods::{Sight, look};
use relay::queue::Member;
use serde_json::{Value, json};

fn pod(name: &str, ready: bool, more: Value) -> Pod {
    let ready = if ready { "True" } else { "False" };
    let mut object = json!({
        "metadata": {"name": name},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    });
    for (path, value) in more.as_object().expect("an object") {
        for (key, value) in value.as_object().expect("an object") {
            object[path][key] = value.clone();
        }
    }
    serde_json::from_value(object).expect("a pod")
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"status": {"containerStatuses": [{
        "name": "worker", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 2, "message": "no such user"}},
    }]}})
}

fn member(pod: &str, held: usize, retired: bool) -> Member {
    Member { worker: format!("{pod}-0123456789"), held, retired }
}

#[test]
fn a_pod_may_go_when_it_is_not_ready_and_its_workers_are_retired() {
    let none = json!({});
    let pods = [
        pod("a", true, none.clone()),
        pod("b", true, none.clone()),
        pod("c", false, none.clone()),
        pod("d", false, none.clone()),
        pod("e", false, none.clone()),
        pod("f", false, none),
    ];
    let members = [
        member("a", 1, false),
        member("b", 0, true),
        member("c", 0, true),
        member("d", 2, false),
        member("e", 0, false),
    ];
    let sight = look(&pods, &members);
    // b was told so, and its probe has not seen it; e may claim at any moment; nobody works in f.
    assert_eq!((sight.pods, sight.idle, sight.busy_unready), (6, 2, 1));
    // A container that began anew has two workers for a while, and the dead one may hold a job.
    let members =
        [member("c", 0, true), Member { worker: "c-9876543210".to_owned(), held: 1, retired: false }];
    let sight = look(&pods[2..3], &members);
    assert_eq!((sight.idle, sight.busy_unready), (0, 1));
}

#[test]
fn pods_on_their_way_out_do_not_count() {
    let going = pod("a", true, json!({"metadata": {"deletionTimestamp": "2026-11-20T00:00:00Z"}}));
    let evicted = pod("b", false, json!({"status": {"phase": "Failed"}}));
    assert_eq!(look(&[going, evicted], &[]), Sight::default());
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_with_the_kubelets_words() {
    let cases = [
        ("ErrImageNeverPull", "ImageMissing", true),
        ("ImagePullBackOff", "ImagePullFailed", true),
        ("CreateContainerConfigError", "ContainerConfigInvalid", true),
        ("CrashLoopBackOff", "WorkersCrash", true),
    ];
    for (said, reason, stalls) in cases {
        let problem = look(&[pod("a", false, waiting(said, "as it is"))], &[]).problem.expect("a problem");
        assert_eq!((problem.reason, problem.stalls), (reason, stalls));
        assert!(
            problem.message.contains(said) && problem.message.contains("as it is"),
            "{}",
            problem.message
        );
        assert_eq!(problem.message.contains("status 2"), said == "CrashLoopBackOff", "{}", problem.message);
    }
    assert_eq!(look(&[pod("a", false, waiting("ContainerCreating", ""))], &[]).problem, None);
    let full = json!({"status": {"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},
    ]}});
    let waits = pod("w", false, full);
    let problem = look(std::slice::from_ref(&waits), &[]).problem.expect("a problem");
    assert_eq!((problem.reason, problem.stalls), ("Unschedulable", false));
    assert!(problem.message.contains("0/3 nodes"), "{}", problem.message);
    let both = look(&[waits, pod("a", false, waiting("InvalidImageName", "x"))], &[]);
    assert_eq!(
        both.problem.expect("a problem").reason,
        "ImageNameInvalid",
        "what must be mended comes first"
    );
}
