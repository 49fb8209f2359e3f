//! finally: when it starts, what it sees, its own bound.

use crate::support::story;

#[test]
fn finally_starts_when_all_others_are_final_and_has_an_order() {
    story(
        "a; b; m(finally) -> n(finally)",
        "begin => a QUEUED#1; b QUEUED#1
         a fail => a FAILED#1(ExitCode)
         b ok => b SUCCESS#1; m QUEUED#1
         m ok => m SUCCESS#1; n QUEUED#1
         n ok => n SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn finally_sees_the_status_that_the_run_will_have() {
    let flow = "a; s(finally when=run.status=='SUCCESS'); f(finally when=run.status=='FAILED'); \
                c(finally when=run.status=='CANCELLED')";
    story(
        flow,
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; s QUEUED#1; f SKIPPED(WhenFalse); c SKIPPED(WhenFalse)
         s ok => s SUCCESS#1; run SUCCESS",
    );
    story(
        flow,
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); s SKIPPED(WhenFalse); f QUEUED#1; c SKIPPED(WhenFalse)
         f ok => f SUCCESS#1; run FAILED(TaskFailed)",
    );
    story(
        flow,
        "begin => a QUEUED#1
         cancel with finally => a CANCELLED#1(Cancelled); s SKIPPED(WhenFalse); f SKIPPED(WhenFalse); c QUEUED#1; stopping
         c ok => c SUCCESS#1; run CANCELLED(Cancelled)",
    );
}

#[test]
fn finally_tasks_see_the_same_status_whichever_fails_first() {
    story(
        "a; m(finally); n(finally) -> o(finally when=run.status=='SUCCESS')",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; m QUEUED#1; n QUEUED#1
         m fail => m FAILED#1(ExitCode)
         n ok => n SUCCESS#1; o QUEUED#1
         o ok => o SUCCESS#1; run FAILED(FinallyFailed)",
    );
}

#[test]
fn a_failed_finally_fails_the_run_unless_it_may() {
    story(
        "a(gate); n(finally)",
        "begin => a SUCCESS; n QUEUED#1
         n fail => n FAILED#1(ExitCode); run FAILED(FinallyFailed)",
    );
    story(
        "a(gate); n(finally continue)",
        "begin => a SUCCESS; n QUEUED#1
         n fail => n FAILED#1(ExitCode); run SUCCESS",
    );
}

#[test]
fn finally_may_see_any_task() {
    story(
        "a -> b; n(finally when=tasks.b.status=='UPSTREAM_FAILED'&&tasks.a.reason=='ExitCode')",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); b UPSTREAM_FAILED(UpstreamFailed); n QUEUED#1",
    );
}

#[test]
fn finally_has_a_bound_of_its_own() {
    story(
        "a; m(finally) -> n(finally); r(finally retry=1 delay=1h); ! finallyTimeout=10m",
        "begin => a QUEUED#1
         tick 1h =>
         a ok => a SUCCESS#1; m QUEUED#1; r QUEUED#1
         m started => m RUNNING#1
         r fail => r RETRYING#1(ExitCode)
         tick 9m =>
         tick 1m => n CANCELLED(FinallyTimeout); r CANCELLED#1(FinallyTimeout); kill m
         tick 1m =>
         m stopped => m CANCELLED#1(FinallyTimeout); run FAILED(FinallyTimeout)",
    );
}

#[test]
fn a_result_of_finally_that_comes_first_stands() {
    story(
        "a(gate); m(finally retry=5); ! finallyTimeout=10m",
        "begin => a SUCCESS; m QUEUED#1
         m started => m RUNNING#1
         tick 10m => kill m
         m ok => m SUCCESS#1; run SUCCESS",
    );
    story(
        "a(gate); m(finally retry=5); ! finallyTimeout=10m",
        "begin => a SUCCESS; m QUEUED#1
         m started => m RUNNING#1
         tick 10m => kill m
         m fail => m FAILED#1(ExitCode); run FAILED(FinallyFailed)",
    );
}

#[test]
fn a_finally_that_was_cut_is_no_success_even_where_a_failure_is_forgiven() {
    story(
        "a(gate); e(finally continue for=[1,2]); ! finallyTimeout=10m",
        "begin => a SUCCESS; e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e.0 FAILED#1(ExitCode)
         tick 10m => e FAILED(ItemFailed); e.1 CANCELLED#1(FinallyTimeout); run FAILED(FinallyTimeout)",
    );
    story(
        "a(gate); e(finally continue for=[1,2] failFast); ! finallyTimeout=10m",
        "begin => a SUCCESS; e RUNNING; e.0-1 QUEUED#1
         e.0 fail => e FAILED(ItemFailed); e.0 FAILED#1(ExitCode); e.1 CANCELLED#1(FailFast); run SUCCESS",
    );
}

#[test]
fn fail_fast_is_not_for_finally() {
    story(
        "a; m(finally); n(finally); ! failFast",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); m QUEUED#1; n QUEUED#1
         m fail => m FAILED#1(ExitCode)
         n ok => n SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn a_for_each_in_finally() {
    story(
        "a; e(finally for=params.list); ! finallyTimeout=10m",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; e RUNNING; e.0-1 QUEUED#1
         e.0 started => e.0 RUNNING#1
         tick 10m => e.1 CANCELLED#1(FinallyTimeout); kill e.0
         e.0 stopped => e CANCELLED(FinallyTimeout); e.0 CANCELLED#1(FinallyTimeout); run FAILED(FinallyTimeout)",
    );
}
