//! Events follow from two statuses.

use relay::crd::status::{Awaiting, Condition, ConditionStatus, Failed, RunStatus, WorkflowStatus};
use relay::operator::events::{of_run, of_workflow};

use super::second;

fn condition(kind: &str, status: ConditionStatus, reason: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        observed_generation: None,
        last_transition_time: second(0),
        reason: reason.to_owned(),
        message: format!("because of {reason}"),
    }
}

fn state(word: &str) -> RunStatus {
    RunStatus { state: Some(word.to_owned()), message: Some(format!("it is {word}")), ..RunStatus::default() }
}

fn begun() -> RunStatus {
    RunStatus { started_at: Some(second(1)), ..state("Running") }
}

fn ended(word: &str, reason: &str) -> RunStatus {
    let conditions = vec![condition("Finished", ConditionStatus::True, reason)];
    RunStatus {
        conditions,
        finished_at: Some(second(2)),
        ..RunStatus { started_at: Some(second(1)), ..state(word) }
    }
}

fn asks(task: &str) -> Awaiting {
    Awaiting {
        task: task.to_owned(),
        asking: 1,
        command: Some(format!("approve {task}")),
        ..Awaiting::default()
    }
}

fn fails(task: &str) -> Failed {
    Failed {
        task: task.to_owned(),
        reason: Some("ExitCode".to_owned()),
        exit_code: Some(2),
        ..Failed::default()
    }
}

fn reasons(before: &RunStatus, now: &RunStatus) -> Vec<&'static str> {
    of_run(before, now).into_iter().map(|told| told.reason).collect()
}

#[test]
fn a_run_that_is_short_makes_two_events_and_one_that_was_never_seen_one() {
    let new = RunStatus::default();
    assert_eq!(reasons(&new, &begun()), ["Started"]);
    assert_eq!(reasons(&begun(), &ended("Succeeded", "Succeeded")), ["Succeeded"]);
    assert_eq!(reasons(&new, &ended("Succeeded", "Succeeded")), ["Succeeded"]);
    let failures = vec![fails("load")];
    let failed = RunStatus { failures, ..ended("Failed", "TaskFailed") };
    assert_eq!(reasons(&begun(), &failed), ["Failed"]);
    assert_eq!(reasons(&begun(), &ended("Cancelled", "Cancelled")), ["Cancelled"]);
}

#[test]
fn nothing_new_is_told_twice() {
    for status in [begun(), ended("Failed", "TaskFailed"), state("WorkflowMissing"), state("SetAside")] {
        assert_eq!(reasons(&status, &status), [""; 0]);
    }
    let asking = RunStatus { awaiting: vec![asks("publish")], ..begun() };
    let more = RunStatus { awaiting: vec![asks("publish"), asks("announce")], ..begun() };
    assert_eq!(reasons(&begun(), &asking), ["AwaitingApproval"]);
    assert_eq!(reasons(&asking, &more), ["AwaitingApproval"]);
    assert_eq!(of_run(&asking, &more)[0].about, "announce");
    assert_eq!(reasons(&more, &asking), [""; 0]);
}

#[test]
fn an_asking_tells_the_command() {
    let asking = RunStatus { awaiting: vec![asks("publish")], ..begun() };
    assert!(of_run(&begun(), &asking)[0].note.contains("approve publish"));
}

#[test]
fn failures_of_a_live_run_are_told_together() {
    let said = Failed { message: Some("password=hunter2".to_owned()), ..fails("z") };
    let told = of_run(&begun(), &RunStatus { failures: vec![said], ..begun() });
    assert_eq!(told[0].note, "z (ExitCode 2)", "what a task wrote is repeated nowhere");
    let one = RunStatus { failures: vec![fails("a")], ..begun() };
    let three = RunStatus { failures: vec![fails("a"), fails("b"), fails("c")], ..begun() };
    let told = of_run(&one, &three);
    assert_eq!(told.len(), 1);
    assert!(told[0].warning && told[0].note == "b (ExitCode 2), and 1 more", "{told:?}");
}

#[test]
fn what_a_run_waits_for_is_told_when_it_begins_to() {
    for word in [
        "WorkflowMissing",
        "WorkflowInvalid",
        "Invalid",
        "WorkflowPending",
        "PoolMissing",
        "NoCapacity",
        "PoolStalled",
        "NotAccepted",
        "StoreBehind",
        "SetAside",
    ] {
        let told = of_run(&RunStatus::default(), &state(word));
        assert_eq!((told[0].reason, told[0].warning), (word, true));
    }
}

#[test]
fn refused_params_are_not_repeated() {
    let now = RunStatus {
        message: Some("who: \"secret\" is no number".to_owned()),
        ..ended("Failed", "InvalidParams")
    };
    let told = of_run(&RunStatus::default(), &now);
    assert!(told[0].warning && !told[0].note.contains("secret"), "{told:?}");
}

#[test]
fn a_workflow_tells_when_it_becomes_wrong_and_right() {
    let status = |reason: &str| WorkflowStatus {
        conditions: vec![condition("Ready", ConditionStatus::True, reason)],
        ..WorkflowStatus::default()
    };
    let reasons = |before: &WorkflowStatus, now: &WorkflowStatus| {
        of_workflow(before, now).into_iter().map(|told| (told.reason, told.note)).collect::<Vec<_>>()
    };
    let (none, good, bad) = (WorkflowStatus::default(), status("Valid"), status("Invalid"));
    assert_eq!(reasons(&none, &good), []);
    assert_eq!(reasons(&none, &bad), [("WorkflowInvalid", "because of Invalid".to_owned())]);
    assert_eq!(reasons(&bad, &bad), []);
    assert_eq!(reasons(&bad, &good)[0].0, "WorkflowValid");
    let unstored = status("NotStored");
    assert_eq!(reasons(&good, &unstored)[0].0, "WorkflowNotStored");
    assert_eq!(reasons(&unstored, &bad)[0].0, "WorkflowInvalid");
    assert_eq!(reasons(&unstored, &unstored), []);
}
