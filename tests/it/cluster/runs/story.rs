//! From a Workflow and a Run to an end that says what happened.

use std::time::Instant;

use relay::operator::PoolState;
use relay::operator::api::ObjectName;

use super::rig::{Rig, condition};
use super::{HELLO, is, run_of};

#[test]
fn a_run_ends_and_says_so() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    rig.apply(&run_of("hello", "first", ", params: {who: world}"));
    rig.wait("run/first", "Finished");
    rig.wait("run/first", "Succeeded");
    let run = rig.get("run", "first");
    let status = &run["status"];
    assert_eq!(status["outputs"]["said"], "hello world");
    assert_eq!(status["tasks"]["progress"], "1/1");
    assert_eq!(
        (&status["state"], &status["observedGeneration"]),
        (&"Succeeded".into(), &run["metadata"]["generation"])
    );
    let revision = &rig.get("workflow", "hello")["status"]["revision"];
    assert_eq!(&status["revision"], revision);
    assert_eq!(condition(&run, "Finished"), is("True", "Succeeded"));
    assert_eq!((condition(&run, "Reconciling"), condition(&run, "Stalled")), (None, None));
    rig.until_event("first", "Succeeded");
    let reasons: Vec<String> = rig.events("first").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["Started", "Succeeded"]);
}

#[test]
fn a_failed_run_is_stalled_and_names_what_failed() {
    let rig = Rig::new();
    rig.apply(
        "{apiVersion: relay.works/v1alpha1, kind: Workflow, metadata: {name: fails}, spec: {tasks: [\
         {name: load, script: 'echo no such table >&2; exit 3'}, {name: after, dependsOn: [load], command: ['true']}]}}",
    );
    rig.apply(&run_of("fails", "bad", ""));
    rig.wait("run/bad", "Finished");
    let run = rig.get("run", "bad");
    assert_eq!(condition(&run, "Succeeded"), is("False", "TaskFailed"));
    assert_eq!(condition(&run, "Stalled"), is("True", "TaskFailed"));
    let failure = &run["status"]["failures"][0];
    assert_eq!((&failure["task"], &failure["exitCode"]), (&"load".into(), &3.into()));
    assert_eq!(run["status"]["tasks"]["upstreamFailed"], 1);
    let note = rig.until_event("bad", "Failed");
    assert!(note.contains("load") && note.contains('3'), "{note}");
    // What a task wrote stands in one place, which has rights of its own.
    assert!(
        failure["message"].as_str().is_some_and(|message| message.contains("no such table")),
        "{failure}"
    );
    let events = rig.events("bad");
    assert!(events.iter().all(|(_, note)| !note.contains("no such table")), "{events:?}");
}

#[test]
fn order_does_not_matter() {
    let rig = Rig::new();
    rig.apply(&run_of("hello", "early", ""));
    let waits = rig.until_state("early", "WorkflowMissing");
    assert_eq!(condition(&waits, "Succeeded"), is("Unknown", "WorkflowMissing"));
    assert_eq!(condition(&waits, "Finished"), is("False", "WorkflowMissing"));
    assert_eq!(condition(&waits, "Reconciling"), is("True", "WorkflowMissing"));
    let message = waits["status"]["message"].as_str().expect("a message");
    assert!(message.contains("create Workflow hello in namespace"), "{message}");
    assert!(rig.live().is_empty(), "a run that waits is no row");
    rig.apply(HELLO);
    rig.wait("run/early", "Succeeded");
}

#[test]
fn a_workflow_that_is_wrong_says_what_and_its_runs_wait_until_it_is_mended() {
    let rig = Rig::new();
    let wrong = HELLO.replace("$(params.who)", "$(params.whom)");
    rig.apply(&wrong);
    let workflow = rig.until("workflow", "hello", |workflow| condition(workflow, "Ready").is_some());
    assert_eq!(condition(&workflow, "Ready"), is("False", "Invalid"));
    assert_eq!(condition(&workflow, "Stalled"), is("True", "Invalid"));
    let message = workflow["status"]["conditions"][0]["message"].as_str().expect("a message");
    assert!(message.starts_with("spec.tasks[0].env[0].value: "), "{message}");
    assert!(message.contains("whom"), "{message}");
    assert_eq!(rig.until_event("hello", "WorkflowInvalid"), message);
    rig.apply(&run_of("hello", "waits", ""));
    let run = rig.until_state("waits", "WorkflowInvalid");
    assert_eq!(condition(&run, "Stalled"), is("True", "WorkflowInvalid"));
    rig.apply(HELLO);
    rig.wait("run/waits", "Succeeded");
    rig.wait("workflow/hello", "Ready");
    assert_eq!(condition(&rig.get("workflow", "hello"), "Stalled"), None);
}

#[test]
fn params_that_do_not_fit_end_the_run_with_the_findings() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "odd", ", params: {who: 5, whom: x}"));
    rig.wait("run/odd", "Finished");
    let run = rig.get("run", "odd");
    assert_eq!(condition(&run, "Succeeded"), is("False", "InvalidParams"));
    assert_eq!(condition(&run, "Stalled"), is("True", "InvalidParams"));
    let message = run["status"]["message"].as_str().expect("a message");
    assert!(message.contains("spec.params.who") && message.contains("spec.params.whom"), "{message}");
    let note = rig.until_event("odd", "Failed");
    assert!(note.contains("status.message"), "{note}");
}

#[test]
fn a_short_run_costs_four_writes() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    let calls = || (rig.control.calls("PATCH", "runs/status"), rig.control.calls("POST", "events"));
    let cost = |name: &str| {
        let (before, began) = (calls(), Instant::now());
        rig.apply(&run_of("hello", name, ""));
        rig.wait(&format!("run/{name}"), "Succeeded");
        rig.until_event(name, "Succeeded");
        let after = calls();
        // A run that takes longer, as on a busy machine, may say how far it is once a second.
        let longer = began.elapsed().as_secs();
        ((after.0 - before.0).saturating_sub(longer), after.1 - before.1)
    };
    // On a busy machine a word may be said in two: it is what a run costs that counts.
    let costs = ["short", "shorter", "shortest"].map(cost);
    assert!(costs.iter().any(|(statuses, events)| *statuses <= 2 && *events <= 2), "{costs:?}");
    assert!(costs.iter().all(|(statuses, events)| *statuses <= 3 && *events <= 2), "{costs:?}");
}

#[test]
fn what_is_applied_again_is_not_written_again() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "once", ""));
    rig.wait("run/once", "Finished");
    rig.wait("workflow/hello", "Ready");
    let version = |kind: &str, name: &str| rig.get(kind, name)["metadata"]["resourceVersion"].clone();
    let before = (version("workflow", "hello"), version("run", "once"));
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "once", ""));
    // What comes later in the same watch has been looked at after them.
    rig.apply(&run_of("hello", "later", ""));
    rig.wait("run/later", "Finished");
    assert_eq!((version("workflow", "hello"), version("run", "once")), before);
}

#[test]
fn what_is_changed_after_acceptance_is_ignored_aloud() {
    let rig = Rig::new();
    rig.apply(super::PATIENT);
    let file = rig.file("go");
    rig.apply(&run_of("patient", "pinned", &format!(", params: {{file: '{file}'}}")));
    rig.until_state("pinned", "Running");
    rig.apply(&run_of("patient", "pinned", ", params: {file: /elsewhere}"));
    let note = rig.until_event("pinned", "SpecIgnored");
    assert!(note.contains("create a new Run"), "{note}");
    let run = rig.until("run", "pinned", |run| run["status"]["observedGeneration"] == 2);
    assert!(run["status"]["message"].as_str().is_some_and(|text| text.contains("ignored")), "{run:#}");
    std::fs::write(&file, "").expect("a file");
    rig.wait("run/pinned", "Succeeded");
}

#[test]
fn a_pool_that_is_not_there_is_named() {
    let rig = Rig::new();
    rig.pools.complete();
    // No worker takes its job, as in a cluster without the pool.
    rig.apply(&HELLO.replace("  tasks:", "  pool: elsewhere\n  tasks:"));
    rig.no_worker();
    rig.apply(&run_of("hello", "stuck", ""));
    let run = rig.until_state("stuck", "PoolMissing");
    let message = run["status"]["message"].as_str().expect("a message");
    assert!(message.contains("create WorkerPool elsewhere"), "{message}");
    let pool = ObjectName::new(&rig.namespace, "elsewhere");
    let full = "no node takes a worker: 0/3 nodes are available".to_owned();
    rig.pools.seen(&pool, PoolState::NoCapacity(full.clone()));
    let run = rig.until_state("stuck", "NoCapacity");
    assert!(run["status"]["message"].as_str().is_some_and(|message| message.contains(&full)), "{run:#}");
    assert!(rig.until_event("stuck", "NoCapacity").contains(&full));
    rig.pools.seen(&pool, PoolState::Stalled("its image is not there".to_owned()));
    rig.until_state("stuck", "PoolStalled");
    rig.pools.seen(&pool, PoolState::Works);
    rig.until_state("stuck", "Running");
}
