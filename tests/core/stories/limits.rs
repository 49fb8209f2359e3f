//! `spec.maxParallel` and `spec.failFast`.

use crate::support::story;

#[test]
fn max_parallel_bounds_what_is_dispatched_and_the_oldest_goes_first() {
    story(
        "a; b; c -> d; ! maxParallel=2",
        "begin => a QUEUED#1; b QUEUED#1; c READY
         a ok => a SUCCESS#1; c QUEUED#1
         c ok => c SUCCESS#1; d QUEUED#1
         b ok => b SUCCESS#1
         d ok => d SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn a_retry_waits_without_a_place_and_lines_up_again() {
    story(
        "a(retry=1 delay=10s); b; c; ! maxParallel=1",
        "begin => a QUEUED#1; b READY; c READY
         a fail => a RETRYING#1(ExitCode); b QUEUED#1
         tick 10s => a READY#1
         b ok => b SUCCESS#1; c QUEUED#1
         c ok => a QUEUED#2; c SUCCESS#1
         a ok => a SUCCESS#2; run SUCCESS",
    );
}

#[test]
fn both_bounds_hold_together() {
    story(
        "e(for=[1,2,3] max=1); a; ! maxParallel=2",
        "begin => e RUNNING; e.0 QUEUED#1; e.1-2 READY; a QUEUED#1
         e.0 ok => e.0 SUCCESS#1; e.1 QUEUED#1
         a ok => a SUCCESS#1
         e.1 ok => e.1 SUCCESS#1; e.2 QUEUED#1
         e.2 ok => e SUCCESS; e.2 SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn fail_fast_stops_new_starts_and_lets_run_what_runs() {
    story(
        "a -> f -> g; b; c; d -> e; w(ask); ! failFast maxParallel=3; n(finally)",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1; d READY; w BLOCKED(AwaitingApproval)
         b started => b RUNNING#1
         a fail => a FAILED#1(ExitCode); f UPSTREAM_FAILED(UpstreamFailed); g UPSTREAM_FAILED(UpstreamFailed);
             c CANCELLED#1(FailFast); d CANCELLED(FailFast); e CANCELLED(FailFast); w CANCELLED(FailFast)
         b ok => b SUCCESS#1; n QUEUED#1
         n ok => n SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn fail_fast_makes_no_further_attempt() {
    story(
        "a; b(retry=5); c; d(retry=5 delay=10s); ! failFast",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1; d QUEUED#1
         b started => b RUNNING#1
         c started => c RUNNING#1
         d fail => d RETRYING#1(ExitCode)
         a fail => a FAILED#1(ExitCode); d CANCELLED#1(FailFast)
         b fail => b FAILED#1(ExitCode)
         c lost => c CANCELLED#1(FailFast); run FAILED(TaskFailed)",
    );
}

#[test]
fn a_forgiven_failure_does_not_fail_fast() {
    story(
        "a(continue); b; ! failFast",
        "begin => a QUEUED#1; b QUEUED#1
         a fail => a FAILED#1(ExitCode)
         b ok => b SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn what_is_held_back_is_offered_by_age() {
    story(
        "a; b; c; ! maxParallel=1",
        "begin => a QUEUED#1; b READY; c READY
         hold =>
         a removed => a READY; offer b
         dispatch c => refused Stale
         dispatch b => b QUEUED#1
         b ok => b SUCCESS#1; offer c
         cancel => a CANCELLED(Cancelled); c CANCELLED(Cancelled); stopping; run CANCELLED(Cancelled)",
    );
}
