//! The question at a terminal: a pseudo-terminal here.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::Desk;
use crate::support::told::plain;

const LIMIT: Duration = Duration::from_secs(30);

/// A user at a terminal where `relay run` was started.
pub(super) struct User {
    keyboard: File,
    screen: Receiver<String>,
    child: std::process::Child,
}

impl User {
    pub(super) fn starts(command: &mut Command) -> User {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let slave = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let slave = File::from(slave.expect("its other end"));
        command
            .stdin(slave.try_clone().expect("a copy"))
            .stdout(slave.try_clone().expect("a copy"))
            .stderr(slave);
        let child = command.env("NO_COLOR", "1").env("USER", "ada").spawn().expect("relay starts");
        // The command holds copies of the terminal's end; they must go for its end to be seen.
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let keyboard = File::from(master);
        let (send, screen) = channel();
        let reader = keyboard.try_clone().expect("a copy");
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if send.send(plain(line.trim_end_matches('\r'))).is_err() {
                    return;
                }
            }
        });
        User { keyboard, screen, child }
    }

    /// Reads on until a line begins like this; gives the line.
    #[track_caller]
    pub(super) fn sees(&self, beginning: &str) -> String {
        loop {
            let line = self.screen.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("never saw {beginning:?}"));
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Reads on until a line began like each of these, in whatever order; gives the one that began like the first.
    #[track_caller]
    fn sees_both(&self, first: &str, second: &str) -> String {
        let either = |line: &str| line.starts_with(first) || line.starts_with(second);
        let next = || loop {
            let line = self.screen.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("never saw both {first:?} and {second:?}"));
            if either(&line) {
                return line;
            }
        };
        let (one, other) = (next(), next());
        let (wanted, rest) = if one.starts_with(first) { (one, other) } else { (other, one) };
        assert!(wanted.starts_with(first) && rest.starts_with(second), "{wanted:?} and {rest:?}");
        wanted
    }

    pub(super) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("typed");
    }

    /// The power goes out.
    pub(super) fn is_killed(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it was there");
    }

    /// The exit status.
    pub(super) fn leaves(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

const ONE: &str = "  params: [{name: day, default: today}]
  tasks:
    - {name: build, script: 'echo files:=3 >> $RELAY_OUTPUT'}
    - name: publish
      dependsOn: [build]
      approval: {message: \"Publish $(tasks.build.outputs.files) files of $(params.day)?\"}
      script: echo published >> $MARKS";

#[test]
fn yes_lets_the_task_run() {
    let desk = Desk::flow(ONE);
    let mut user = User::starts(&mut desk.relay());
    let question = user.sees("? approve");
    assert_eq!(question, "? approve `publish` of flow-*: Publish 3 files of today? [y/n]");
    user.types("y\n");
    user.sees("publish READY: it was approved");
    user.sees("publish SUCCESS 1");
    assert_eq!((user.leaves(), desk.marks().len()), (Some(0), 1));
}

#[test]
fn no_fails_the_task() {
    let desk = Desk::flow(ONE);
    let mut user = User::starts(&mut desk.relay());
    user.sees("? approve");
    user.types("n\n");
    assert_eq!(user.sees("publish FAILED"), "publish FAILED: rejected by ada: at the terminal");
    user.sees("publish FAILED - - rejected by ada");
    assert_eq!((user.leaves(), desk.marks().len()), (Some(1), 0));
}

#[test]
fn nonsense_is_asked_again() {
    let desk = Desk::flow(ONE);
    let mut user = User::starts(&mut desk.relay());
    user.sees("? approve");
    user.types("perhaps\n");
    user.sees("? please answer y (approve) or n (reject)");
    user.types("\n");
    user.sees("? please answer y (approve) or n (reject)");
    user.types("YES\n");
    user.sees("publish READY: it was approved");
    assert_eq!(user.leaves(), Some(0));
}

#[test]
fn questions_come_one_at_a_time_and_one_that_is_over_is_not_asked() {
    let desk = Desk::flow(
        "  tasks:
    - {name: one, approval: {}, script: echo one >> $MARKS}
    - {name: two, approval: {required: 2}, script: echo two >> $MARKS}
    - {name: gone, approval: {timeout: 1ms, onTimeout: Skip}, script: echo gone >> $MARKS}",
    );
    let mut user = User::starts(&mut desk.relay());
    // Which of the two comes first depends on how busy the machine is.
    let first = user.sees_both("?", "gone SKIPPED: nobody approved it in time");
    assert_eq!(first, "? approve `one` of flow-* [y/n]");
    user.types("n\n");
    let second = user.sees("?");
    assert_eq!(
        second,
        "? approve `two` of flow-* (2 people must approve; here your answer counts for all) [y/n]"
    );
    user.types("y\n");
    user.sees("two SUCCESS");
    assert_eq!((user.leaves(), desk.marks()), (Some(1), vec!["two".to_owned()]));
}

#[test]
fn a_line_typed_before_a_question_is_no_answer_to_it() {
    let desk = Desk::flow(
        "  tasks:
    - {name: one, approval: {}, script: echo one >> $MARKS}
    - {name: two, approval: {}, script: echo two >> $MARKS}",
    );
    let mut user = User::starts(&mut desk.relay());
    user.sees("? approve `one`");
    user.types("y\ny\ny\n");
    user.sees("? approve `two`");
    user.sees("one SUCCESS");
    user.types("n\n");
    user.sees("two FAILED: rejected by ada");
    assert_eq!((user.leaves(), desk.marks()), (Some(1), vec!["one".to_owned()]));
}

#[test]
fn the_question_is_seen_where_other_lines_go_elsewhere() {
    let desk = Desk::flow(ONE);
    let mut shell = Command::new("sh");
    let line = "\"$0\" run \"$1\" --env \"MARKS=$2\" > \"$2.out\"";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_relay")]).arg(desk.path("flow.yaml")).arg(desk.path("marks"));
    let mut user = User::starts(&mut shell);
    user.sees("? approve `publish`");
    user.types("y\n");
    assert_eq!((user.leaves(), desk.marks().len()), (Some(0), 1));
    let out = std::fs::read_to_string(desk.path("marks.out")).expect("the other lines");
    assert!(out.contains("publish   SUCCESS"), "{out}");
}
