//! Tasks that need a person.

use crate::support::story;

#[test]
fn one_yes_lets_a_task_go() {
    story(
        "a -> b(ask) -> c",
        "begin => a QUEUED#1
         approve b by ann => refused NotAsking
         a ok => a SUCCESS#1; b BLOCKED(AwaitingApproval)
         approve b by ann => b QUEUED#1
         approve b by bob => refused NotAsking
         b ok => b SUCCESS#1; c QUEUED#1",
    );
}

#[test]
fn two_yes_must_come_from_two_people() {
    story(
        "a(ask=2)",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann =>
         approve a by ann =>
         approve a by bob => a QUEUED#1
         a ok => a SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn one_no_is_enough() {
    story(
        "a(ask=2) -> b",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann =>
         reject a by bob => a FAILED(Rejected); b UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)
         approve a by cat => refused Ended",
    );
}

#[test]
fn who_said_yes_may_still_say_no() {
    story(
        "a(ask=2 continue)",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann =>
         reject a by ann => a FAILED(Rejected); run SUCCESS",
    );
}

#[test]
fn an_answer_to_another_asking_is_refused() {
    story(
        "a(ask)",
        "begin => a BLOCKED(AwaitingApproval)
         approve a#2 by ann => refused NotAsking
         approve a#1 by ann => a QUEUED#1",
    );
}

#[test]
fn nobody_decides_in_time() {
    story(
        "a(ask within=1h) -> b",
        "begin => a BLOCKED(AwaitingApproval)
         tick 59m =>
         tick 1m => a FAILED(ApprovalTimedOut); b UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
    story(
        "a(ask within=1h elseSkip) -> b",
        "begin => a BLOCKED(AwaitingApproval)
         tick 1h => a SKIPPED(ApprovalTimedOut); b SKIPPED(UpstreamSkipped); run SUCCESS",
    );
}

#[test]
fn the_time_of_an_approval_that_was_given_is_over() {
    story(
        "a(ask within=1h)",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann => a QUEUED#1
         tick 2h =>
         a ok => a SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn a_for_each_asks_once_and_before_its_items() {
    story(
        "e(for=[1,2] ask)",
        "begin => e BLOCKED(AwaitingApproval)
         approve e by ann => e RUNNING; e.0-1 QUEUED#1
         e.0 ok => e.0 SUCCESS#1
         e.1 ok => e SUCCESS; e.1 SUCCESS#1; run SUCCESS",
    );
    story("e(for=[] ask)", "begin => e SKIPPED(EmptyForEach); run SUCCESS");
}

#[test]
fn automatic_tries_do_not_ask_again() {
    story(
        "a(ask retry=1)",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann => a QUEUED#1
         a fail => a QUEUED#2
         a lost => a QUEUED#3
         a ok => a SUCCESS#3; run SUCCESS",
    );
}

#[test]
fn a_condition_comes_before_the_question() {
    story("a(ask when=false)", "begin => a SKIPPED(WhenFalse); run SUCCESS");
    story("a(ask env=$(params.missing))", "begin => a FAILED(ExpressionError); run FAILED(TaskFailed)");
}

#[test]
fn an_approved_gate_is_through() {
    story(
        "a(ask gate) -> b",
        "begin => a BLOCKED(AwaitingApproval)
         approve a by ann => a SUCCESS; b QUEUED#1",
    );
}

#[test]
fn the_question_is_put_in_words() {
    use crate::support::{dawn, run_row, workflow};
    use relay::{engine::Run, model::ids::TaskKey};
    let ask = |question: &str| {
        let flow = workflow(&format!("a(ask question={question})"));
        let (run, _) = Run::begin(flow.clone(), run_row(&flow), dawn()).expect("it begins");
        run.task_run(TaskKey::of_task(0)).and_then(|row| row.question())
    };
    assert_eq!(ask("Ship-$(params.n)?").as_deref(), Some("Ship-2?"));
    story("a(ask question=$(params.missing))", "begin => a FAILED(ExpressionError); run FAILED(TaskFailed)");
}
