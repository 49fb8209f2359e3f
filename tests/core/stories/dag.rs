//! Dependencies, `when`, gates, what a failure and a skip mean, outputs.

use crate::support::story;

#[test]
fn a_diamond_goes_through() {
    story(
        "a -> b, c; b -> d; c -> d",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         a ok => a SUCCESS#1; b QUEUED#1; c QUEUED#1
         b ok => b SUCCESS#1
         c ok => c SUCCESS#1; d QUEUED#1
         d ok => d SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn a_failure_decides_at_once_and_independent_branches_go_on() {
    story(
        "a -> d; b -> d; d -> e; c -> f",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1
         a fail => a FAILED#1(ExitCode); d UPSTREAM_FAILED(UpstreamFailed); e UPSTREAM_FAILED(UpstreamFailed)
         c ok => c SUCCESS#1; f QUEUED#1
         f ok => f SUCCESS#1
         b ok => b SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn a_skip_waits_for_all_upstreams_and_goes_on_downwards() {
    story(
        "a(when=false), b -> c -> d",
        "begin => a SKIPPED(WhenFalse); b QUEUED#1
         b ok => b SUCCESS#1; c SKIPPED(UpstreamSkipped); d SKIPPED(UpstreamSkipped); run SUCCESS",
    );
}

#[test]
fn failure_beats_skip() {
    story(
        "a(when=false), b -> c",
        "begin => a SKIPPED(WhenFalse); b QUEUED#1
         b fail => b FAILED#1(ExitCode); c UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
}

#[test]
fn on_error_continue_keeps_the_failure_and_goes_on() {
    story(
        "a(continue) -> b(when=tasks.a.status=='FAILED')",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); b QUEUED#1
         b ok => b SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn on_error_continue_does_not_forgive_an_upstream() {
    story(
        "a -> b(continue) -> c",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); b UPSTREAM_FAILED(UpstreamFailed); c UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
}

#[test]
fn when_sees_params_and_upstreams() {
    story(
        "a -> b(when=tasks.a.outputs.n>params.n), c(when=tasks.a.outputs.n<=params.n)",
        "begin => a QUEUED#1
         a ok n=3 => a SUCCESS#1; b QUEUED#1; c SKIPPED(WhenFalse)
         b ok => b SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn an_expression_that_fails_fails_its_task_without_a_retry() {
    story(
        "a(retry=3 when=params.missing) -> b; c(retry=3 env=$(params.missing)) -> d",
        "begin => a FAILED(ExpressionError); b UPSTREAM_FAILED(UpstreamFailed); c FAILED(ExpressionError); d UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
}

#[test]
fn a_condition_that_is_no_boolean_fails_its_task() {
    story("a(when=params.n)", "begin => a FAILED(ExpressionError); run FAILED(TaskFailed)");
}

#[test]
fn gates_need_no_worker() {
    story(
        "a(gate) -> b -> c(gate); a -> d(gate)",
        "begin => a SUCCESS; b QUEUED#1; d SUCCESS
         b ok => b SUCCESS#1; c SUCCESS; run SUCCESS",
    );
    story("a(gate)", "begin => a SUCCESS; run SUCCESS");
}

#[test]
fn outputs_of_the_run() {
    story(
        "a; ! output=tasks.a.outputs.n+params.n",
        "begin => a QUEUED#1
         a ok n=40 => a SUCCESS#1; run SUCCESS {\"out\":42}",
    );
    story(
        "a; ! output=tasks.a.outputs.n",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; run FAILED(ExpressionError)",
    );
    story(
        "a; ! output=tasks.a.outputs.n",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); run FAILED(TaskFailed)",
    );
}
