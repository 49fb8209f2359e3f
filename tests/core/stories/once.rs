//! Tasks with `onWorkerLost: Fail`: no process starts before its RUNNING is committed, and none a second time.

use crate::support::story;

#[test]
fn it_may_begin_once_it_runs_and_fails_with_its_worker() {
    story(
        "a(once retry=2)",
        "begin => a QUEUED#1
         a started => a RUNNING#1; go a#1
         a lost => a FAILED#1(WorkerLost); run FAILED(TaskFailed)
         attempts a => #1 w WorkerLost",
    );
}

#[test]
fn what_was_not_told_to_begin_goes_to_another_worker() {
    story(
        "a(once)",
        "begin => a QUEUED#1
         a lost => a QUEUED#2
         a#1 started => refused Stale
         a forgotten => a QUEUED#3
         a started => a RUNNING#3; go a#3
         a ok => a SUCCESS#3; run SUCCESS",
    );
}

#[test]
fn a_word_that_was_lost_is_asked_for() {
    story(
        "a(once)",
        "begin => a QUEUED#1
         a started => a RUNNING#1; go a#1
         a started => go a#1
         a ok => a SUCCESS#1; run SUCCESS
         a started => refused Ended",
    );
}

#[test]
fn a_failure_that_was_told_is_tried_again() {
    story(
        "a(once retry=1)",
        "begin => a QUEUED#1
         a started => a RUNNING#1; go a#1
         a fail => a QUEUED#2
         a#1 started => refused Stale
         a started => a RUNNING#2; go a#2
         a fail => a FAILED#2(ExitCode); run FAILED(TaskFailed)",
    );
}

#[test]
fn another_worker_that_has_it_means_that_the_first_is_lost() {
    story(
        "a(once retry=1); b(once retry=1)",
        "begin => a QUEUED#1; b QUEUED#1
         a started => a RUNNING#1; go a#1
         a started by v => a FAILED#1(WorkerLost)
         b started => b RUNNING#1; go b#1
         b stopped by v => b FAILED#1(WorkerLost); run FAILED(TaskFailed)",
    );
}

#[test]
fn what_is_to_be_stopped_does_not_begin() {
    story(
        "a(once); b(once)",
        "begin => a QUEUED#1; b QUEUED#1
         a started => a RUNNING#1; go a#1
         hold => 
         cancel => stopping; kill a; kill b
         a started =>
         b started => b RUNNING#1
         b stopped => b CANCELLED#1(Cancelled)
         a lost => a CANCELLED#1(Cancelled); run CANCELLED(Cancelled)",
    );
}
