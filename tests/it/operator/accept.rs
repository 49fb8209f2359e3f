//! Whether a Run is accepted: what its object says against what its Workflow is.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay::conductor::Submission;
use relay::crd::{self, RunObject};
use relay::model::reason::Reason;
use relay::model::status::RunStatus;
use relay::operator::accept::{Acceptance, Found, Pinnable, accept, asks_the_same, read};
use serde_json::{Value, json};

use super::{object, run_id, run_object, second};

fn found() -> Found {
    let spec = json!({
        "params": [{"name": "n", "type": "integer", "default": 3}, {"name": "who", "type": "string", "default": "x"}],
        "tasks": [{"name": "a", "command": ["true"]}],
    });
    let manifest = object("Workflow", spec, json!({})).read(crd::workflow_of).expect("valid");
    let revision = crd::revision(&manifest);
    Found::Valid(Arc::new(Pinnable { manifest, revision }))
}

fn run(spec: Value) -> RunObject {
    read(&run_object(spec, json!({}))).expect("sound")
}

fn submission(run: &RunObject) -> Submission {
    match accept(&run_id(), run, &found(), false, second(5)) {
        Acceptance::Submit(submission) => *submission,
        other => panic!("{other:?}"),
    }
}

fn waits(run: &RunObject, found: &Found) -> (&'static str, bool, String) {
    match accept(&run_id(), run, found, false, second(5)) {
        Acceptance::Wait(waiting) => (waiting.reason, waiting.stalled, waiting.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_run_of_a_valid_workflow_begins() {
    let Submission { run: row, workflow, revision } =
        submission(&run(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 5.0}})));
    assert_eq!((row.id, row.status, row.finished_at), (run_id(), RunStatus::Running, None));
    assert_eq!((row.namespace.as_str(), row.name.as_str()), ("data", "nightly"));
    assert_eq!(row.params.as_str(), r#"{"n":5,"who":"x"}"#);
    assert_eq!((&row.workflow, &workflow.id), (&revision.id, &revision.id));
}

#[test]
fn a_run_waits_for_a_workflow_that_can_run() {
    let run = run(json!({"workflowRef": {"name": "nightly"}}));
    let (reason, stalled, message) = waits(&run, &Found::Missing);
    assert_eq!((reason, stalled), ("WorkflowMissing", false));
    assert!(message.contains("create Workflow nightly in namespace data"), "{message}");
    let (reason, stalled, message) = waits(&run, &Found::Invalid("spec.tasks: none".to_owned()));
    assert_eq!((reason, stalled), ("WorkflowInvalid", true));
    assert!(message.contains("spec.tasks: none"), "{message}");
    let (reason, stalled, message) = waits(&run, &Found::Unstored("it is too large".to_owned()));
    assert_eq!((reason, stalled), ("WorkflowPending", true));
    assert!(message.contains("it is too large"), "{message}");
    assert!(matches!(accept(&run_id(), &run, &Found::Pending, false, second(5)), Acceptance::Later));
}

#[test]
fn params_that_do_not_fit_make_a_row_that_failed() {
    let row =
        submission(&run(json!({"workflowRef": {"name": "nightly"}, "params": {"n": "five", "m": 1}}))).run;
    assert_eq!((row.status, row.reason), (RunStatus::Failed, Some(Reason::InvalidParams)));
    assert_eq!(row.finished_at, Some(second(5)));
    let error = row.error.expect("findings");
    assert!(error.contains("spec.params.n") && error.contains("spec.params.m"), "{error}");
}

#[test]
fn a_run_begins_as_its_user_wants_it() {
    let born =
        |state: &str| submission(&run(json!({"workflowRef": {"name": "w"}, "desiredState": state}))).run;
    assert_eq!((born("Running").status, born("Running").paused_at), (RunStatus::Running, None));
    assert_eq!(born("Paused").paused_at, Some(second(5)));
    let row = born("Cancelled");
    assert_eq!((row.status, row.reason), (RunStatus::Cancelled, Some(Reason::Cancelled)));
    assert_eq!(row.finished_at, Some(second(5)));
    // Its finally tasks run, so it begins, and nothing starts before the cancel.
    let row = born("CancelledRunFinally");
    assert_eq!((row.status, row.paused_at), (RunStatus::Running, Some(second(5))));
}

#[test]
fn what_waits_and_is_cancelled_is_no_row() {
    for state in ["Cancelled", "CancelledRunFinally"] {
        let run = run(json!({"workflowRef": {"name": "w"}, "desiredState": state}));
        for found in [Found::Missing, Found::Invalid(String::new()), Found::Unstored(String::new())] {
            assert!(matches!(accept(&run_id(), &run, &found, false, second(5)), Acceptance::Withdraw(_)));
        }
        assert!(matches!(accept(&run_id(), &run, &Found::Pending, false, second(5)), Acceptance::Later));
    }
}

#[test]
fn what_was_accepted_before_is_not_run_again_by_a_store_that_does_not_know_it() {
    let plain = run(json!({"workflowRef": {"name": "w"}}));
    for found in [found(), Found::Missing] {
        let Acceptance::Wait(waiting) = accept(&run_id(), &plain, &found, true, second(5)) else { panic!() };
        assert_eq!((waiting.reason, waiting.stalled), ("StoreBehind", true));
        assert!(waiting.message.contains("delete this Run and create it anew"), "{}", waiting.message);
    }
    let cancelled = run(json!({"workflowRef": {"name": "w"}, "desiredState": "Cancelled"}));
    let Acceptance::Withdraw(why) = accept(&run_id(), &cancelled, &found(), true, second(5)) else {
        panic!()
    };
    assert!(why.contains("the store does not know it"), "{why}");
}

#[test]
fn a_run_that_cannot_be_read_stalls() {
    let waiting = read(&run_object(json!({"workflowref": {"name": "w"}}), json!({}))).expect_err("misspelt");
    assert_eq!((waiting.reason, waiting.stalled), ("Invalid", true));
    assert!(waiting.message.contains("workflowRef"), "{}", waiting.message);
}

#[test]
fn what_was_accepted_is_compared_by_what_it_means() {
    let row = submission(&run(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 5}}))).run;
    let declared = BTreeMap::from([("n".to_owned(), Some(json!(3))), ("who".to_owned(), Some(json!("x")))]);
    let same = |spec: Value| asks_the_same(&run(spec), &row, &declared);
    assert!(same(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 5}})));
    assert!(same(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 5.0, "who": "x"}})));
    assert!(!same(json!({"workflowRef": {"name": "nightly"}})), "the default is another value");
    assert!(!same(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 6}})));
    assert!(!same(json!({"workflowRef": {"name": "nightly"}, "params": {"n": 5, "more": 1}})));
    assert!(!same(json!({"workflowRef": {"name": "weekly"}, "params": {"n": 5}})));
}
