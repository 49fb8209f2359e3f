//! Objects that are broken, huge or hostile stop no other.

use super::rig::Rig;
use super::{HELLO, run_of};

#[test]
fn fifty_broken_workflows_and_runs_stand_beside_a_good_one() {
    let rig = Rig::new();
    let mut all = String::new();
    for n in 0..50 {
        all +=
            &HELLO.replace("name: hello", &format!("name: bad-{n}")).replace("$(params.who)", "$(nonsense(");
        all += &run_of(&format!("bad-{n}"), &format!("bad-{n}"), "");
    }
    rig.apply(&all);
    rig.apply(&format!("{HELLO}{}", run_of("hello", "good", "")));
    rig.wait("run/good", "Succeeded");
    for n in [0, 49] {
        rig.until_state(&format!("bad-{n}"), "WorkflowInvalid");
    }
    assert!(rig.live().is_empty());
}

#[test]
fn a_value_nested_deeper_than_can_be_read_stops_nobody() {
    let rig = Rig::new();
    rig.apply(HELLO);
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let run = format!(
        r#"{{"apiVersion": "relay.works/v1alpha1", "kind": "Run", "metadata": {{"name": "deep"}},
            "spec": {{"workflowRef": {{"name": "hello"}}, "params": {{"who": {deep}}}}}}}"#
    );
    rig.create(&run);
    // Its JSON is too deep for this test as well.
    rig.run(&["wait", "run/deep", "--for=jsonpath={.status.state}=Invalid", "--timeout=60s"]);
    rig.run(&["wait", "run/deep", "--for=condition=Stalled", "--timeout=60s"]);
    rig.apply(&run_of("hello", "good", ""));
    rig.wait("run/good", "Succeeded");
}

#[test]
fn a_huge_run_is_refused_alone() {
    let rig = Rig::new();
    rig.apply(HELLO);
    let huge = "x".repeat(1_000_000);
    let run = format!(
        r#"{{"apiVersion": "relay.works/v1alpha1", "kind": "Run", "metadata": {{"name": "huge"}},
            "spec": {{"workflowRef": {{"name": "hello"}}, "params": {{"whom": "{huge}"}}}}}}"#
    );
    rig.create(&run);
    rig.until_state("huge", "Failed");
    rig.apply(&run_of("hello", "good", ""));
    rig.wait("run/good", "Succeeded");
}

#[test]
fn many_runs_at_once_all_end_and_say_so() {
    let rig = Rig::new();
    rig.apply(HELLO);
    let all: String = (0..100).map(|n| run_of("hello", &format!("r{n}"), "")).collect();
    rig.apply(&all);
    rig.run(&["wait", "run", "--all", "--for=condition=Succeeded", "--timeout=90s"]);
}

#[test]
fn workflows_and_pools_too_deep_or_too_large_stand_beside_good_ones() {
    let rig = Rig::with_pools();
    let object = |kind: &str, name: &str, spec: &str| {
        format!(
            r#"{{"apiVersion": "relay.works/v1alpha1", "kind": "{kind}", "metadata": {{"name": "{name}"}}, "spec": {spec}}}"#
        )
    };
    let deep = format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300));
    let huge = "x".repeat(900_000);
    let workflow = |default: &str| {
        format!(
            r#"{{"params": [{{"name": "p", "type": "object", "default": {default}}}], "tasks": [{{"name": "a", "command": ["true"]}}]}}"#
        )
    };
    rig.create(&object("Workflow", "deep", &workflow(&deep)));
    rig.create(&object("Workflow", "huge", &workflow(&format!(r#"{{"a": "{huge}"}}"#))));
    let pool = |spec: &str| format!(r#"{{"image": "busybox", "template": {{"spec": {spec}}}}}"#);
    rig.create(&object("WorkerPool", "deep", &pool(&deep)));
    rig.create(&object("WorkerPool", "huge", &pool(&format!(r#"{{"schedulerName": "{huge}"}}"#))));
    let good = "apiVersion: relay.works/v1alpha1\nkind: WorkerPool\nmetadata: {name: good}\nspec: {image: busybox}\n---\n";
    rig.apply(&format!("{good}{HELLO}{}", run_of("hello", "good", "")));
    rig.wait("run/good", "Succeeded");
    rig.wait("workerpool/good", "Ready");
    for name in ["workflow/deep", "workerpool/deep"] {
        // Its JSON is too deep for this test as well.
        rig.run(&["wait", name, "--for=condition=Stalled", "--timeout=60s"]);
    }
    // These are large and right.
    rig.wait("workflow/huge", "Ready");
    rig.run(&["wait", "workerpool/huge", "--for=jsonpath={.status.observedGeneration}=1", "--timeout=60s"]);
}
