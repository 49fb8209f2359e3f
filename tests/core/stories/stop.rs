//! Cancel and the run's timeout.

use crate::support::story;

#[test]
fn a_cancel_ends_what_has_not_started_and_waits_for_what_runs() {
    story(
        "a -> d; b; c(retry=1 delay=10s); w(ask)",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1; w BLOCKED(AwaitingApproval)
         a started => a RUNNING#1
         c fail => c RETRYING#1(ExitCode)
         cancel => d CANCELLED(Cancelled); b CANCELLED#1(Cancelled); c CANCELLED#1(Cancelled); w CANCELLED(Cancelled); stopping; kill a
         a stopped => a CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_queued_job_that_a_worker_got_first_counts_as_running() {
    story(
        "a; b",
        "begin => a QUEUED#1; b QUEUED#1
         hold =>
         cancel => stopping; kill a; kill b
         a started => a RUNNING#1
         b removed => b CANCELLED#1(Cancelled)
         a removed => refused Stale
         a stopped => a CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_result_that_comes_first_stands() {
    story(
        "a; b(retry=3) -> c; d",
        "begin => a QUEUED#1; b QUEUED#1; d QUEUED#1
         a started => a RUNNING#1
         b started => b RUNNING#1
         d started => d RUNNING#1
         cancel => c CANCELLED(Cancelled); stopping; kill a; kill b; kill d
         a ok => a SUCCESS#1
         b fail => b FAILED#1(ExitCode)
         d lost => d CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_cancel_said_twice_changes_nothing() {
    story(
        "a; n(finally)",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         cancel with finally => stopping; kill a
         cancel with finally =>
         a stopped => a CANCELLED#1(Cancelled); n QUEUED#1
         cancel with finally =>
         n ok => n SUCCESS#1; run CANCELLED(Cancelled)
         cancel => refused Ended",
    );
}

#[test]
fn a_cancel_without_finally_skips_finally() {
    story(
        "a; n(finally) -> m(finally)",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         cancel => n CANCELLED(Cancelled); m CANCELLED(Cancelled); stopping; kill a
         cancel with finally =>
         a stopped => a CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_second_cancel_goes_further() {
    story(
        "a; n(finally) -> m(finally)",
        "begin => a QUEUED#1
         cancel with finally => a CANCELLED#1(Cancelled); n QUEUED#1; stopping
         n started => n RUNNING#1
         cancel => m CANCELLED(Cancelled); stopping; kill n
         n stopped => n CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_cancel_while_finally_runs_lets_it_end() {
    story(
        "a; n(finally)",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; n QUEUED#1
         cancel with finally => stopping
         n ok => n SUCCESS#1; run CANCELLED(Cancelled)",
    );
}

#[test]
fn a_run_that_takes_too_long_is_stopped_and_finally_still_runs() {
    story(
        "a -> b; w(ask); n(finally env=$(run.status)); ! timeout=1h",
        "begin => a QUEUED#1; w BLOCKED(AwaitingApproval)
         a started => a RUNNING#1
         tick 59m =>
         tick 1m => b CANCELLED(RunTimeout); w CANCELLED(RunTimeout); stopping; kill a
         tick 1m =>
         a stopped => a CANCELLED#1(RunTimeout); n QUEUED#1
         n ok => n SUCCESS#1; run FAILED(RunTimeout)",
    );
}

#[test]
fn the_run_timeout_does_not_count_finally() {
    story(
        "a; n(finally); ! timeout=1h",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; n QUEUED#1
         tick 2h =>
         n ok => n SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn the_end_has_an_order_of_precedence() {
    // A user's cancel, RunTimeout, a failed task, a failed finally.
    story(
        "a; b; n(finally); ! timeout=1h",
        "begin => a QUEUED#1; b QUEUED#1
         b started => b RUNNING#1
         a fail => a FAILED#1(ExitCode)
         tick 1h => stopping; kill b
         cancel with finally => stopping; kill b
         b stopped => b CANCELLED#1(Cancelled); n QUEUED#1
         n fail => n FAILED#1(ExitCode); run CANCELLED(Cancelled)",
    );
    story(
        "a; b; n(finally); ! timeout=1h",
        "begin => a QUEUED#1; b QUEUED#1
         a fail => a FAILED#1(ExitCode)
         tick 1h => b CANCELLED#1(RunTimeout); n QUEUED#1; stopping
         n fail => n FAILED#1(ExitCode); run FAILED(RunTimeout)",
    );
    story(
        "a; n(finally)",
        "begin => a QUEUED#1
         a fail => a FAILED#1(ExitCode); n QUEUED#1
         n fail => n FAILED#1(ExitCode); run FAILED(TaskFailed)",
    );
}

#[test]
fn timers_that_come_together_come_in_their_order() {
    story(
        "a(ask within=10s elseSkip); ! timeout=20s",
        "begin => a BLOCKED(AwaitingApproval)
         tick 30s => a SKIPPED(ApprovalTimedOut); run SUCCESS",
    );
    story(
        "a(ask within=10s elseSkip) -> b(ask); c(ask); ! timeout=20s",
        "begin => a BLOCKED(AwaitingApproval); c BLOCKED(AwaitingApproval)
         tick 30s => a SKIPPED(ApprovalTimedOut); b SKIPPED(UpstreamSkipped); c CANCELLED(RunTimeout); stopping; run FAILED(RunTimeout)",
    );
}

#[test]
fn a_timeout_after_a_cancel_is_none() {
    story(
        "a; n(finally); ! timeout=1h",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         cancel with finally => stopping; kill a
         tick 2h =>
         a stopped => a CANCELLED#1(Cancelled); n QUEUED#1",
    );
}

#[test]
fn a_cancel_stops_items_and_bears_no_more() {
    story(
        "e(for=[1,2,3] max=2 ask); f(for=[1] when=tasks.e.status=='x')",
        "begin => e BLOCKED(AwaitingApproval); f SKIPPED(WhenFalse)
         approve e by ann => e RUNNING; e.0-1 QUEUED#1; e.2 READY
         e.0 started => e.0 RUNNING#1
         cancel => e.1 CANCELLED#1(Cancelled); e.2 CANCELLED(Cancelled); stopping; kill e.0
         e.0 ok => e CANCELLED(Cancelled); e.0 SUCCESS#1; run CANCELLED(Cancelled)",
    );
}
