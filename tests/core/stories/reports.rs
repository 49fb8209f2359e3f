//! Reports that come late, twice, out of order, or of nothing: they change nothing.

use crate::support::story;

#[test]
fn the_first_end_of_an_attempt_counts() {
    story(
        "a; b",
        "begin => a QUEUED#1; b QUEUED#1
         a ok => a SUCCESS#1
         a ok => refused Stale
         a fail => refused Stale
         a lost => refused Stale
         a started => refused Stale
         b fail => b FAILED#1(ExitCode); run FAILED(TaskFailed)
         b ok => refused Ended",
    );
}

#[test]
fn reports_of_older_and_of_unborn_attempts_are_refused() {
    story(
        "a(retry=2)",
        "begin => a QUEUED#1
         a#2 started => refused Stale
         a#0 ok => refused Stale
         a lost => a QUEUED#2
         a#1 ok => refused Stale
         a#1 fail => refused Stale
         a#1 lost => refused Stale
         a#1 removed => refused Stale
         a started => a RUNNING#2
         a started => refused Stale
         a#3 ok => refused Stale
         a ok => a SUCCESS#2; run SUCCESS",
    );
}

#[test]
fn an_end_needs_no_start() {
    story("a", "begin => a QUEUED#1\na ok => a SUCCESS#1; run SUCCESS");
}

#[test]
fn what_waits_for_another_try_cannot_end() {
    story(
        "a(retry=1 delay=10s); b -> c",
        "begin => a QUEUED#1; b QUEUED#1
         a fail => a RETRYING#1(ExitCode)
         a ok => refused Stale
         c#0 ok => refused Stale
         c#1 ok => refused Stale
         dispatch c => refused Stale",
    );
}

#[test]
fn what_does_not_exist_is_refused() {
    story(
        "a; e(for=[1,2])",
        "begin => a QUEUED#1; e RUNNING; e.0-1 QUEUED#1
         x#1 ok => refused Unknown
         a.0#1 ok => refused Unknown
         e.2#1 lost => refused Unknown
         dispatch x => refused Unknown
         approve x by ann => refused Unknown
         approve a by ann => refused NotAsking",
    );
}

#[test]
fn a_group_has_no_attempt_to_report_of() {
    story(
        "e(for=[1])",
        "begin => e RUNNING; e.0 QUEUED#1
         e#0 ok => refused Stale
         e#0 lost => refused Stale
         e#1 ok => refused Stale
         dispatch e => refused Stale
         e.0 ok => e SUCCESS; e.0 SUCCESS#1; run SUCCESS",
    );
}
