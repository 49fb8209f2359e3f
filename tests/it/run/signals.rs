//! Ctrl-C and its like.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::Desk;
use crate::support::{Program, told};

/// A task that says when it is ready and, being told to end, ends; and finally tasks that see how it went.
const POLITE: &str = "  tasks:
    - name: long
      script: |
        trap 'echo told to end; exit 1' TERM
        sleep 60 & sleeper=$!
        echo $$ $sleeper >> $MARKS
        echo ready
        wait
    - {name: after, dependsOn: [long], script: 'echo after >> $MARKS'}
  finally:
    - name: clean-up
      env: [{name: STATUS, value: $(run.status)}]
      script: echo the run is $STATUS";

/// No process that a task has started runs any more. (One that was killed may take a moment to be gone.)
#[track_caller]
fn nothing_is_left(desk: &Desk) {
    for mark in desk.marks() {
        for pid in mark.split(' ').map(|pid| pid.parse().ok().and_then(Pid::from_raw).expect("a process id"))
        {
            // Without a process there is nothing to open. The handle can be read once the process has ended.
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
            let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit));
            assert_eq!(ended, Ok(1), "process {pid:?} was left behind");
        }
    }
}

#[track_caller]
fn cancels_in_order(signal: Signal) {
    let desk = Desk::flow(POLITE);
    let program = Program::start(&mut desk.relay());
    told::until(&program, "long | ready");
    program.signal(signal);
    told::until(&program, "cancelling; finally tasks still run; once more kills");
    let told = told::end(program);
    assert_eq!(told.task("long"), ["| told to end", "CANCELLED: the run was cancelled"]);
    assert_eq!(told.task("clean-up"), ["RUNNING", "| the run is CANCELLED", "SUCCESS"]);
    let lines = [
        "TASK STATUS TRIES TIME WHY",
        "long CANCELLED 1 the run was cancelled",
        "after CANCELLED - - the run was cancelled",
        "clean-up SUCCESS 1",
        "flow-*: CANCELLED: the run was cancelled",
    ];
    assert_eq!((told.summary(), told.code), (lines.map(String::from).as_slice(), Some(130)));
    nothing_is_left(&desk);
}

#[test]
fn ctrl_c_cancels_and_finally_tasks_run() {
    cancels_in_order(Signal::INT);
}

#[test]
fn sigterm_cancels_likewise() {
    cancels_in_order(Signal::TERM);
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let desk = Desk::flow(
        "  tasks:
    - name: deaf
      script: |
        trap '' TERM INT
        sleep 60 & sleeper=$!
        echo $$ $sleeper >> $MARKS
        echo ready
        wait
  finally:
    - {name: clean-up, command: [echo, cleaned]}",
    );
    let program = Program::start(desk.relay().args(["--grace", "3600"]));
    told::until(&program, "deaf | ready");
    program.signal(Signal::INT);
    told::until(&program, "cancelling");
    program.signal(Signal::INT);
    let finished = program.finish(Duration::from_secs(20));
    assert_eq!((finished.status.code(), finished.output.as_str()), (Some(130), "killed\n"));
    nothing_is_left(&desk);
}

#[test]
fn a_task_that_does_not_listen_is_killed_after_the_grace() {
    let desk = Desk::flow(
        "  tasks:
    - name: deaf
      script: |
        trap '' TERM
        echo $$ >> $MARKS
        echo ready
        while :; do sleep 60; done",
    );
    let program = Program::start(desk.relay().args(["--grace", "0"]));
    told::until(&program, "deaf | ready");
    program.signal(Signal::INT);
    let told = told::end(program);
    told.at("deaf CANCELLED 1 the run was cancelled");
    assert_eq!(told.code, Some(130));
    nothing_is_left(&desk);
}
