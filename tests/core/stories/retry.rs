//! Further tries: `retry`, and workers that are lost.

use crate::support::story;

#[test]
fn a_limit_of_two_is_three_tries() {
    story(
        "a(retry=2) -> b",
        "begin => a QUEUED#1
         a fail => a QUEUED#2
         a error => a QUEUED#3
         a timeout => a FAILED#3(Timeout); b UPSTREAM_FAILED(UpstreamFailed); run FAILED(TaskFailed)",
    );
}

#[test]
fn delays_grow_and_are_capped() {
    story(
        "a(retry=4 delay=10s factor=2 maxDelay=30s)",
        "begin => a QUEUED#1
         a fail => a RETRYING#1(ExitCode)
         tick 9s =>
         tick 1s => a QUEUED#2
         a fail => a RETRYING#2(ExitCode)
         tick 19s =>
         tick 1s => a QUEUED#3
         a fail => a RETRYING#3(ExitCode)
         tick 30s => a QUEUED#4
         a fail => a RETRYING#4(ExitCode)
         tick 29s =>
         tick 1s => a QUEUED#5
         a ok => a SUCCESS#5; run SUCCESS",
    );
}

#[test]
fn only_kinds_and_codes_that_are_named_are_tried_again() {
    story(
        "a(retry=9 on=Timeout)",
        "begin => a QUEUED#1
         a timeout => a QUEUED#2
         a fail => a FAILED#2(ExitCode); run FAILED(TaskFailed)",
    );
    story(
        "a(retry=9 exitCode=75)",
        "begin => a QUEUED#1
         a fail 75 => a QUEUED#2
         a error => a QUEUED#3
         a fail 1 => a FAILED#3(ExitCode); run FAILED(TaskFailed)",
    );
    story(
        "a(retry=1 on=Error)",
        "begin => a QUEUED#1
         a outputs => a QUEUED#2
         a outputs => a FAILED#2(OutputInvalid); run FAILED(TaskFailed)",
    );
}

#[test]
fn lost_workers_are_forgiven_three_times_without_a_delay() {
    story(
        "a(retry=1 delay=10s)",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         a lost => a QUEUED#2
         a lost => a QUEUED#3
         a started => a RUNNING#3
         a lost => a QUEUED#4
         a started => a RUNNING#4
         a lost => a FAILED#4(WorkerLost); run FAILED(TaskFailed)",
    );
}

#[test]
fn losses_and_failures_are_counted_apart() {
    story(
        "a(retry=1)",
        "begin => a QUEUED#1
         a lost => a QUEUED#2
         a lost => a QUEUED#3
         a fail => a QUEUED#4
         a lost => a QUEUED#5
         a fail => a FAILED#5(ExitCode); run FAILED(TaskFailed)",
    );
}

#[test]
fn a_worker_that_leaves_in_order_takes_no_try_with_it() {
    story(
        "a",
        "begin => a QUEUED#1
         a started => a RUNNING#1
         a stopped => a QUEUED#2
         a ok => a SUCCESS#2; run SUCCESS",
    );
}

#[test]
fn a_job_that_was_taken_back_unseen_keeps_its_attempt() {
    story(
        "a",
        "begin => a QUEUED#1
         a removed => a QUEUED#1
         a lost => a QUEUED#2
         a removed => a QUEUED#2
         a started => a RUNNING#2
         a removed => refused Stale
         a ok => a SUCCESS#2; run SUCCESS",
    );
}
