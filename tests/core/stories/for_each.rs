//! forEach: the aggregate, empty and long lists, chunks, its own bounds.

use crate::support::story;

#[test]
fn all_items_succeed() {
    story(
        "e(for=params.list env=$(x)-$(index)) -> b(when=tasks.e.outputs==[{'n':1},{'n':2}])",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.1 ok n=2 => e.1 SUCCESS#1
         e.0 ok n=1 => e SUCCESS; e.0 SUCCESS#1; b QUEUED#1
         b ok => b SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn one_failed_item_fails_the_group_when_all_are_final() {
    story(
        "e(for=[1,2]) -> b",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e.0 FAILED#1(ExitCode)
         e.1 ok => e FAILED(ItemFailed); e.1 SUCCESS#1; b UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
}

#[test]
fn on_error_continue_forgives_a_group() {
    story(
        "e(for=[1,2] continue) -> b(when=tasks.e.outputs==[null,{}])",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e.0 FAILED#1(ExitCode)
         e.1 ok => e FAILED(ItemFailed); e.1 SUCCESS#1; b QUEUED#1
         b ok => b SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn a_cancelled_item_cancels_the_group_and_a_failed_one_beats_it() {
    story(
        "e(for=[1,2])",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.0 ok => e.0 SUCCESS#1
         cancel => e CANCELLED(Cancelled); e.1 CANCELLED#1(Cancelled); stopping; run CANCELLED(Cancelled)",
    );
    story(
        "e(for=[1,2])",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e.0 FAILED#1(ExitCode)
         cancel => e FAILED(ItemFailed); e.1 CANCELLED#1(Cancelled); stopping; run CANCELLED(Cancelled)",
    );
}

#[test]
fn an_empty_list_is_a_skip_whose_outputs_are_an_empty_list() {
    story(
        "e(for=[]) -> b; f(finally when=tasks.e.outputs==[])",
        "begin => e SKIPPED(EmptyForEach); b SKIPPED(UpstreamSkipped); f QUEUED#1
         f ok => f SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn a_list_that_is_none_fails_the_task() {
    story("e(for=params.n)", "begin => e FAILED(ExpressionError); run FAILED(TaskFailed)");
}

#[test]
fn an_item_whose_expressions_fail_is_born_failed() {
    story(
        "e(for=[{'n':'a'},{}] env=$(x.n))",
        "begin => e RUNNING; e.0 QUEUED#1; e.1 FAILED(ExpressionError)
         e.0 ok => e FAILED(ItemFailed); e.0 SUCCESS#1; run FAILED(TaskFailed)",
    );
    story(
        "e(for=[{},{}] env=$(x.n))",
        "begin => e FAILED(ItemFailed); e.0-1 FAILED(ExpressionError); run FAILED(TaskFailed)",
    );
}

#[test]
fn an_item_that_is_born_failed_fails_fast_as_well() {
    story(
        "e(for=[{'n':'a'},{},{'n':'b'}] env=$(x.n) failFast)",
        "begin => e FAILED(ItemFailed); e.0 CANCELLED(FailFast); e.1 FAILED(ExpressionError); run FAILED(TaskFailed)",
    );
}

#[test]
fn gate_items_are_through_at_once() {
    story("e(for=[1,2,3] gate) -> b(gate)", "begin => e SUCCESS; e.0-2 SUCCESS; b SUCCESS; run SUCCESS");
}

#[test]
fn items_see_their_retry_each() {
    story(
        "e(for=[1,2] retry=1)",
        "begin => e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e.0 QUEUED#2
         e.1 ok => e.1 SUCCESS#1
         e.0 ok => e SUCCESS; e.0 SUCCESS#2; run SUCCESS",
    );
}

#[test]
fn max_parallel_of_a_for_each() {
    story(
        "e(for=[1,2,3,4] max=2 retry=1)",
        "begin => e RUNNING; e.0-1 QUEUED#1; e.2-3 READY
         e.1 ok => e.1 SUCCESS#1; e.2 QUEUED#1
         e.0 fail => e.0 READY#1; e.3 QUEUED#1
         e.2 ok => e.0 QUEUED#2; e.2 SUCCESS#1
         e.0 ok => e.0 SUCCESS#2
         e.3 ok => e SUCCESS; e.3 SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn fail_fast_of_a_for_each_starts_nothing_more_and_lets_run_what_runs() {
    story(
        "e(for=[1,2,3,4] max=3 failFast retry=1 on=Error); b",
        "begin => e RUNNING; e.0-2 QUEUED#1; e.3 READY; b QUEUED#1
         e.0 started => e.0 RUNNING#1
         e.1 started => e.1 RUNNING#1
         e.0 fail => e.0 FAILED#1(ExitCode); e.2 CANCELLED#1(FailFast); e.3 CANCELLED(FailFast)
         e.1 error => e FAILED(ItemFailed); e.1 FAILED#1(Error)
         b ok => b SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn a_wide_list_comes_in_chunks_and_a_restart_goes_on_from_the_rows_present() {
    let list = serde_json::to_string(&vec![0; 1_100]).expect("json");
    story(
        &format!("e(for={list} max=1)"),
        "begin => e RUNNING; e.0 QUEUED#1; e.1-1099 READY
         cancel => e CANCELLED(Cancelled); e.0 CANCELLED#1(Cancelled); e.1-1099 CANCELLED(Cancelled); stopping; run CANCELLED(Cancelled)",
    );
    story(
        &format!("a -> e(for={list} max=1)"),
        "begin => a QUEUED#1
         hold =>
         a ok => a SUCCESS#1; e RUNNING; e.0-499 READY; expand e; offer e.0
         dispatch e.0 => e.0 QUEUED#1
         expand e => e.500-999 READY; expand e
         expand e => e.1000-1099 READY
         expand e =>
         expand a =>
         expand e.0 => refused Unknown
         expand nothing => refused Unknown",
    );
}

#[test]
fn a_group_that_is_stopped_before_its_last_item_is_born_is_cancelled() {
    let list = serde_json::to_string(&vec![0; 501]).expect("json");
    let flow = format!("a -> e(for={list} gate)");
    story(
        &flow,
        "begin => a QUEUED#1
         hold =>
         a ok => a SUCCESS#1; e RUNNING; e.0-499 SUCCESS; expand e
         cancel => e CANCELLED(Cancelled); stopping; run CANCELLED(Cancelled)
         expand e => refused Ended",
    );
    story(
        &format!("{flow}; b; ! failFast"),
        "begin => a QUEUED#1; b QUEUED#1
         hold =>
         a ok => a SUCCESS#1; e RUNNING; e.0-499 SUCCESS; expand e
         b fail => e CANCELLED(FailFast); b FAILED#1(ExitCode); run FAILED(TaskFailed)",
    );
}

#[test]
fn a_list_over_the_bound_fails_the_task_with_both_numbers() {
    use crate::support::{dawn, run_row, workflow};
    use relay::{engine::Run, model::ids::TaskKey, model::reason::Reason};
    let flow = workflow("e(for=params.list) -> b");
    let mut row = run_row(&flow);
    row.params = (&serde_json::json!({ "list": vec![0; 100_001] })).into();
    let (run, _) = Run::begin(flow, row, dawn()).expect("it begins");
    let e = run.task_run(TaskKey::of_task(0)).expect("a row");
    assert_eq!(e.reason, Some(Reason::ListTooLong));
    assert_eq!(e.error.as_deref(), Some("forEach.from gave 100001 items, and 100000 are allowed"));
    assert_eq!(run.task_runs().count(), 2, "no item was born");
}
