//! Pause: no job goes out, what runs goes on, the timeout stands still.

use std::time::Duration;

use relay::{
    engine::{Effect, Event, Run},
    model::{ids::TaskKey, run::RunRow, status::TaskStatus},
};

use crate::support::{dawn, run_row, story, workflow};

#[test]
fn nothing_new_starts_and_what_runs_goes_on() {
    story(
        "a -> b; c",
        "begin => a QUEUED#1; c QUEUED#1
         a started => a RUNNING#1
         pause => c READY; paused
         a ok => a SUCCESS#1; b READY
         resume => b QUEUED#1; c QUEUED#1; resumed
         b ok => b SUCCESS#1
         c ok => c SUCCESS#1; run SUCCESS",
    );
}

#[test]
fn pause_and_resume_said_twice_change_nothing() {
    story(
        "a -> b",
        "begin => a QUEUED#1
         resume =>
         a started => a RUNNING#1
         pause => paused
         pause =>
         a ok => a SUCCESS#1; b READY
         resume => b QUEUED#1; resumed
         resume =>
         b ok => b SUCCESS#1; run SUCCESS
         pause => refused Ended
         resume => refused Ended",
    );
}

#[test]
fn what_was_offered_is_withdrawn_and_offered_again() {
    story(
        "a; b; e(for=[1,2] max=1); ! maxParallel=2",
        "begin => a QUEUED#1; b QUEUED#1; e RUNNING; e.0-1 READY
         hold =>
         a ok => a SUCCESS#1; offer e.0
         pause => paused; remove b
         dispatch e.0 => refused Stale
         b started => b RUNNING#1
         b ok => b SUCCESS#1
         resume => resumed; offer e.0
         dispatch e.0 => e.0 QUEUED#1
         e.0 ok => e.0 SUCCESS#1; offer e.1",
    );
}

#[test]
fn a_queued_job_that_a_worker_got_first_runs() {
    story(
        "a -> b",
        "begin => a QUEUED#1
         hold =>
         pause => paused; remove a
         a started => a RUNNING#1
         a removed => refused Stale
         a ok => a SUCCESS#1; b READY
         resume => resumed; offer b",
    );
}

#[test]
fn a_job_that_was_not_taken_back_in_time_stays_queued() {
    story(
        "a",
        "begin => a QUEUED#1
         hold =>
         pause => paused; remove a
         resume => resumed
         a ok => a SUCCESS#1; run SUCCESS",
    );
}

/// A worker may have seen it before the queue lost its books: what it tells of that attempt no longer counts.
#[test]
fn a_job_that_the_queue_forgot_gets_a_new_number() {
    story(
        "a",
        "begin => a QUEUED#1
         hold =>
         pause => paused; remove a
         a forgotten => a READY#1
         a#1 ok => refused Stale
         resume => resumed; offer a
         dispatch a => a QUEUED#2
         a#1 ok => refused Stale
         a ok => a SUCCESS#2; run SUCCESS",
    );
}

/// The queue's loss is not the fault of any worker: it may come as often as it likes.
#[test]
fn what_the_queue_forgets_does_not_count_as_a_lost_worker() {
    story(
        "a; b",
        "begin => a QUEUED#1; b QUEUED#1
         a forgotten => a QUEUED#2
         a forgotten => a QUEUED#3
         a forgotten => a QUEUED#4
         a forgotten => a QUEUED#5
         b started => b RUNNING#1
         b forgotten => b QUEUED#2
         cancel => a CANCELLED#5(Cancelled); b CANCELLED#2(Cancelled); stopping; run CANCELLED(Cancelled)",
    );
}

#[test]
fn what_needs_no_worker_goes_on() {
    story(
        "a -> g(gate) -> e(for=[1,2]) -> d; a -> s(when=false); ! maxParallel=1",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         pause => paused
         a ok => a SUCCESS#1; g SUCCESS; e RUNNING; e.0-1 READY; s SKIPPED(WhenFalse)
         resume => e.0 QUEUED#1; resumed
         e.0 ok => e.0 SUCCESS#1; e.1 QUEUED#1",
    );
}

#[test]
fn a_run_with_nothing_left_to_start_ends_while_it_is_paused() {
    story(
        "a -> g(gate)",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         pause => paused
         a ok => a SUCCESS#1; g SUCCESS; resumed; run SUCCESS",
    );
}

#[test]
fn approvals_are_asked_for_and_given_and_their_time_runs() {
    story(
        "a -> b(ask), c(ask within=1h elseSkip), d(ask)",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         pause => paused
         a ok => a SUCCESS#1; b BLOCKED(AwaitingApproval); c BLOCKED(AwaitingApproval); d BLOCKED(AwaitingApproval)
         approve b by ann => b READY(Approved)
         reject d by ann => d FAILED(Rejected)
         tick 1h => c SKIPPED(ApprovalTimedOut)
         resume => b QUEUED#1; resumed
         b ok => b SUCCESS#1; run FAILED(TaskFailed)",
    );
}

#[test]
fn the_delay_of_a_retry_runs_and_then_it_waits() {
    story(
        "a(retry=1 delay=10s); b(retry=1); c",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1
         a started => a RUNNING#1
         b started => b RUNNING#1
         c started => c RUNNING#1
         pause => paused
         a fail => a RETRYING#1(ExitCode)
         b fail => b READY#1
         c lost => c READY#1(WorkerLost)
         tick 10s => a READY#1
         resume => a QUEUED#2; b QUEUED#2; c QUEUED#2; resumed",
    );
}

#[test]
fn the_runs_timeout_stands_still() {
    story(
        "a; ! timeout=1h",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         tick 30m =>
         pause => paused
         tick 5h =>
         resume => resumed
         tick 29m =>
         pause => paused
         tick 5h =>
         resume => resumed
         tick 59s =>
         tick 1s => stopping; kill a
         a stopped => a CANCELLED#1(RunTimeout); run FAILED(RunTimeout)",
    );
}

#[test]
fn finally_does_not_begin_and_its_timeout_stands_still() {
    story(
        "a; n(finally) -> m(finally); ! timeout=1h finallyTimeout=10m",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         pause => paused
         tick 2h =>
         a ok => a SUCCESS#1
         tick 2h =>
         resume => n QUEUED#1; resumed
         tick 5m =>
         pause => n READY; paused
         tick 2h =>
         resume => n QUEUED#1; resumed
         n started => n RUNNING#1
         tick 4m =>
         tick 1m => m CANCELLED(FinallyTimeout); kill n
         pause => refused Stopping
         n stopped => n CANCELLED#1(FinallyTimeout); run FAILED(FinallyTimeout)",
    );
}

#[test]
fn a_cancel_ends_a_pause() {
    story(
        "a -> b; c; n(finally)",
        "begin => a QUEUED#1; c QUEUED#1
         a started => a RUNNING#1
         pause => c READY; paused
         cancel with finally => b CANCELLED(Cancelled); c CANCELLED(Cancelled); resumed; stopping; kill a
         pause => refused Stopping
         resume =>
         a stopped => a CANCELLED#1(Cancelled); n QUEUED#1
         n ok => n SUCCESS#1; run CANCELLED(Cancelled)",
    );
    story(
        "a -> b; n(finally)",
        "begin => a QUEUED#1
         pause => a READY; paused
         cancel => a CANCELLED(Cancelled); b CANCELLED(Cancelled); n CANCELLED(Cancelled); resumed; stopping; run CANCELLED(Cancelled)",
    );
    story(
        "a; n(finally); m(finally)",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; n QUEUED#1; m QUEUED#1
         n started => n RUNNING#1
         pause => m READY; paused
         cancel with finally => m QUEUED#1; resumed; stopping",
    );
}

/// A cancel in a pause counts the finally tasks' time from where it stood.
#[test]
fn a_cancel_lets_the_timeout_of_finally_count_on() {
    story(
        "a; n(finally); ! finallyTimeout=10m",
        "begin => a QUEUED#1
         a ok => a SUCCESS#1; n QUEUED#1
         n started => n RUNNING#1
         tick 9m =>
         pause => paused
         tick 1h =>
         cancel with finally => resumed; stopping
         tick 30s =>
         tick 30s => kill n",
    );
}

#[test]
fn what_failed_fast_is_cancelled_in_a_pause_as_well() {
    story(
        "a; b; c; e(for=[1,2,3] max=2 failFast); ! failFast",
        "begin => a QUEUED#1; b QUEUED#1; c QUEUED#1; e RUNNING; e.0-1 QUEUED#1; e.2 READY
         a started => a RUNNING#1
         e.0 started => e.0 RUNNING#1
         hold =>
         pause => paused; remove b; remove c; remove e.1
         b removed => b READY
         e.0 fail => e.0 FAILED#1(ExitCode); e.2 CANCELLED(FailFast); remove e.1
         a fail => a FAILED#1(ExitCode); b CANCELLED(FailFast); remove c; remove e.1
         c removed => c CANCELLED#1(FailFast)
         e.1 forgotten => e FAILED(ItemFailed); e.1 CANCELLED#1(FailFast); resumed; run FAILED(TaskFailed)",
    );
}

#[test]
fn a_timeout_whose_moment_has_come_is_not_paused_away() {
    story(
        "a; ! timeout=1h",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         wait 1h =>
         pause => refused Stopping
         tick 1s => stopping; kill a
         pause => refused Stopping",
    );
}

#[test]
fn a_run_may_be_born_paused() {
    let flow = workflow("a -> b; c; ! timeout=1h");
    let row = RunRow { paused_at: Some(dawn()), ..run_row(&flow) };
    let (mut run, plan) = Run::begin(flow, row, dawn()).expect("it begins");
    assert_eq!(plan.effects, []);
    assert_eq!(run.next_due(), None);
    assert_eq!(run.task_run(TaskKey::of_task(0)).map(|r| r.status), Some(TaskStatus::Ready));
    let later = dawn() + Duration::from_secs(7_200);
    let plan = run.apply(Event::Resume, later).expect("it goes on");
    assert_eq!(plan.effects, [0, 2].map(|no| Effect::Offer(TaskKey::of_task(no))));
    assert_eq!(run.next_due(), Some(later + Duration::from_secs(3_600)));
}
