//! What stays known of each attempt: who made it, how it ended.

use crate::support::story;

#[test]
fn each_attempt_keeps_its_worker_and_its_end() {
    story(
        "a(retry=3)",
        "begin => a QUEUED#1
         attempts a =>
         a started => a RUNNING#1
         attempts a => #1 w runs
         a fail 7 => a QUEUED#2
         a lost => a QUEUED#3
         a started => a RUNNING#3
         a lost => a QUEUED#4
         a error => a QUEUED#5
         a ok => a SUCCESS#5; run SUCCESS
         attempts a => #1 w ExitCode exit 7; #2 nobody WorkerLost; #3 w WorkerLost; #4 w Error; #5 w exit 0",
    );
}

#[test]
fn what_was_taken_back_unseen_was_no_attempt() {
    story(
        "a; b",
        "begin => a QUEUED#1; b QUEUED#1
         a removed => a QUEUED#1
         a forgotten => a QUEUED#2
         b started => b RUNNING#1
         cancel => a CANCELLED#2(Cancelled); stopping; kill b
         b stopped => b CANCELLED#1(Cancelled); run CANCELLED(Cancelled)
         attempts a =>
         attempts b => #1 w Cancelled",
    );
}
