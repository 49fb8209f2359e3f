//! What a user wants of a live Run: pause, cancel, deletion.

use super::rig::{Rig, condition};
use super::{HELLO, PATIENT, is, run_of};

/// A patient run, and the file that lets it go on.
fn patient(rig: &Rig, name: &str, more: &str) -> String {
    let file = rig.file(name);
    rig.apply(PATIENT);
    rig.apply(&run_of("patient", name, &format!(", params: {{file: '{file}'}}{more}")));
    file
}

fn want(rig: &Rig, name: &str, state: &str) {
    let patch = format!(r#"{{"spec":{{"desiredState":"{state}"}}}}"#);
    rig.run(&["patch", "run", name, "--type=merge", "-p", &patch]);
}

fn ended(file: &str) -> bool {
    std::path::Path::new(&format!("{file}.end")).exists()
}

#[test]
fn a_cancel_ends_the_run_and_is_not_taken_back() {
    let rig = Rig::new();
    let file = patient(&rig, "stopped", "");
    rig.until("run", "stopped", |run| run["status"]["tasks"]["running"] == 1);
    want(&rig, "stopped", "Cancelled");
    rig.wait("run/stopped", "Finished");
    let run = rig.get("run", "stopped");
    assert_eq!(condition(&run, "Succeeded"), is("False", "Cancelled"));
    assert_eq!(run["status"]["desired"], "Cancelled");
    assert_eq!(condition(&run, "Stalled"), None);
    assert!(!ended(&file), "no finally task runs");
    want(&rig, "stopped", "Running");
    let run = rig.until("run", "stopped", |run| run["status"]["observedGeneration"] == 3);
    assert_eq!(condition(&run, "Finished"), is("True", "Cancelled"));
}

#[test]
fn a_cancel_with_finally_runs_it() {
    let rig = Rig::new();
    let file = patient(&rig, "tidied", "");
    rig.until("run", "tidied", |run| run["status"]["tasks"]["running"] == 1);
    want(&rig, "tidied", "CancelledRunFinally");
    rig.wait("run/tidied", "Finished");
    assert_eq!(rig.get("run", "tidied")["status"]["state"], "Cancelled");
    assert!(ended(&file), "the finally task ran");
}

#[test]
fn a_wish_that_is_not_followed_is_not_told_as_followed() {
    let rig = Rig::new();
    let file = rig.file("slow");
    rig.apply(
        &PATIENT
            .replace("script: echo ended", "script: until [ -e \"$GO\" ]; do sleep 0.05; done; echo ended"),
    );
    rig.apply(&run_of("patient", "slow", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "slow", |run| run["status"]["tasks"]["running"] == 1);
    want(&rig, "slow", "CancelledRunFinally");
    rig.until("run", "slow", |run| run["status"]["desired"] == "CancelledRunFinally");
    want(&rig, "slow", "Running");
    let run = rig.until("run", "slow", |run| run["status"]["observedGeneration"] == 3);
    assert_eq!(run["status"]["desired"], "CancelledRunFinally");
    let message = run["status"]["message"].as_str().expect("a message");
    assert!(message.contains("a cancel is final"), "{message}");
    std::fs::write(&file, "").expect("a file");
    rig.wait("run/slow", "Finished");
    assert_eq!(rig.get("run", "slow")["status"]["desired"], "CancelledRunFinally");
}

#[test]
fn a_run_that_is_created_cancelled_never_starts() {
    let rig = Rig::new();
    let file = patient(&rig, "never", ", desiredState: Cancelled");
    rig.wait("run/never", "Finished");
    let run = rig.get("run", "never");
    assert_eq!(condition(&run, "Succeeded"), is("False", "Cancelled"));
    assert_eq!(run["status"]["tasks"]["total"], 0);
    assert!(!ended(&file));
    let file = patient(&rig, "tidied", ", desiredState: CancelledRunFinally");
    rig.wait("run/tidied", "Finished");
    let run = rig.get("run", "tidied");
    assert_eq!(condition(&run, "Succeeded"), is("False", "Cancelled"));
    assert!(ended(&file), "the finally task ran alone");
}

#[test]
fn a_run_that_waits_for_its_workflow_can_be_cancelled() {
    let rig = Rig::new();
    rig.apply(&run_of("hello", "early", ""));
    rig.until_state("early", "WorkflowMissing");
    want(&rig, "early", "Cancelled");
    rig.wait("run/early", "Finished");
    assert_eq!(condition(&rig.get("run", "early"), "Succeeded"), is("False", "Cancelled"));
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "later", ""));
    rig.wait("run/later", "Succeeded");
    assert_eq!(condition(&rig.get("run", "early"), "Succeeded"), is("False", "Cancelled"));
}

#[test]
fn a_paused_run_starts_nothing_until_it_is_resumed() {
    let rig = Rig::new();
    let file = patient(&rig, "paused", "");
    rig.until("run", "paused", |run| run["status"]["tasks"]["running"] == 1);
    want(&rig, "paused", "Paused");
    rig.until_state("paused", "Paused");
    std::fs::write(&file, "").expect("a file");
    let run = rig.until("run", "paused", |run| run["status"]["tasks"]["done"] == 1);
    assert_eq!(condition(&run, "Reconciling"), is("True", "Paused"));
    want(&rig, "paused", "Running");
    rig.wait("run/paused", "Succeeded");
    let file = patient(&rig, "asleep", ", desiredState: Paused");
    std::fs::write(&file, "").expect("a file");
    let run = rig.until_state("asleep", "Paused");
    assert_eq!(run["status"]["tasks"]["done"], 0);
    want(&rig, "asleep", "Running");
    rig.wait("run/asleep", "Succeeded");
}

#[test]
fn a_deleted_run_is_cancelled() {
    let rig = Rig::new();
    let file = patient(&rig, "gone", "");
    rig.until("run", "gone", |run| run["status"]["tasks"]["running"] == 1);
    assert_eq!(rig.live(), ["gone"]);
    rig.run(&["delete", "run", "gone"]);
    rig.until_live(&[]);
    assert!(!ended(&file));
    // Its name is free: another run, another story.
    let file = patient(&rig, "gone", "");
    std::fs::write(&file, "").expect("a file");
    rig.wait("run/gone", "Succeeded");
}

#[test]
fn a_deleted_workflow_leaves_its_live_runs_whole() {
    let rig = Rig::new();
    let file = patient(&rig, "orphan", "");
    rig.until("run", "orphan", |run| run["status"]["tasks"]["running"] == 1);
    rig.run(&["delete", "workflow", "patient"]);
    rig.apply(&run_of("patient", "late", ", params: {file: /}"));
    rig.until_state("late", "WorkflowMissing");
    std::fs::write(&file, "").expect("a file");
    rig.wait("run/orphan", "Succeeded");
}
