//! A run that was cut off goes on.

use rustix::process::Signal;

use super::Desk;
use crate::support::{Program, TestDb, Told, told};

/// `first` ends, `second` hangs in its first attempt, `third` asks.
const THREE: &str = "  tasks:
    - {name: first, script: 'echo first $RELAY_ATTEMPT >> $MARKS'}
    - name: second
      dependsOn: [first]
      script: |
        echo second $RELAY_ATTEMPT >> $MARKS
        echo ready
        if [ $RELAY_ATTEMPT = 1 ]; then exec sleep 5; fi
    - {name: third, dependsOn: [second], approval: {}, script: 'echo third $RELAY_ATTEMPT >> $MARKS'}";

fn resume(desk: &Desk, database: &TestDb, id: &str, arguments: &[&str]) -> Told {
    let mut command = desk.relay_without_file();
    Told::of(command.args(["--database-url", database.url(), "--resume", id]).args(arguments))
}

/// Starts a run, waits for a line, and gives the run's id.
fn start(desk: &Desk, database: &TestDb, line: &str) -> (Program, String) {
    let arguments = ["--migrate", "--approve", "--database-url", database.url()];
    let program = Program::start(desk.relay().args(arguments));
    let lines = told::until(&program, line);
    let (_, id) = lines[0].trim_end_matches(')').split_once("(id ").expect("its id");
    (program, id.to_owned())
}

#[test]
fn what_was_cut_off_goes_on_and_nothing_that_ended_runs_again() {
    let (desk, database) = (Desk::flow(THREE), TestDb::new());
    let (program, id) = start(&desk, &database, "second | ready");
    program.signal(Signal::KILL);
    assert_eq!(told::end(program).code, None, "it was killed");

    let told = resume(&desk, &database, &id, &["--approve=third"]);
    assert_eq!((told.code, told.errors.as_str()), (Some(0), ""), "{:?}", told.lines);
    // Leadership of the killed one runs out first, and the user knows what is waited for.
    told.in_order(&[told.lines.first().expect("a note"), &format!("run flow-* (id {id}) goes on")]);
    assert!(told.lines[0].starts_with("note: relay-run-"), "{:?}", told.lines);
    assert!(told.task("first").is_empty(), "it does not run again: {:?}", told.lines);
    told.at("first SUCCESS 1");
    told.in_order(&["second RUNNING (attempt 2)", "second SUCCESS (attempt 2)"]);
    told.in_order(&["third READY: it was approved", "third SUCCESS", "second SUCCESS 2"]);
    assert_eq!(desk.marks(), ["first 1", "second 1", "second 2", "third 1"]);

    // Once more: it has ended, and says how.
    let again = resume(&desk, &database, &id, &[]);
    assert_eq!(
        (again.code, again.lines[0].as_str()),
        (Some(0), format!("run flow-* ({id}) has ended before").as_str())
    );
    again.at("second SUCCESS 2");
    assert_eq!(desk.marks().len(), 4);
}

#[test]
fn what_is_made_at_most_once_is_not_run_again_after_a_kill() {
    let spec = "  tasks:
    - name: once
      onWorkerLost: Fail
      retry: {limit: 3}
      script: |
        echo once $RELAY_ATTEMPT >> $MARKS
        echo ready
        exec sleep 5";
    let (desk, database) = (Desk::flow(spec), TestDb::new());
    let (program, id) = start(&desk, &database, "once | ready");
    program.signal(Signal::KILL);
    assert_eq!(told::end(program).code, None, "it was killed");
    let told = resume(&desk, &database, &id, &[]);
    assert_eq!(told.code, Some(1), "{:?}", told.lines);
    let end =
        told.lines.iter().any(|line| line.contains("once FAILED") && line.contains("it is not run again"));
    assert!(end, "{:?}", told.lines);
    assert_eq!(desk.marks(), ["once 1"]);
}

#[test]
fn after_two_ctrl_c_a_run_goes_on_at_once() {
    let (desk, database) = (Desk::flow(THREE), TestDb::new());
    let (program, id) = start(&desk, &database, "second | ready");
    program.signal(Signal::INT);
    told::until(&program, "cancelling");
    program.signal(Signal::INT);
    let told = told::end(program);
    assert_eq!(told.code, Some(130));
    let hint = told.lines.last().expect("a hint");
    assert_eq!(hint, &format!("it goes on with: relay run --database-url URL --resume {id}"));
    let told = resume(&desk, &database, &id, &["--approve"]);
    assert!(!told.lines[0].starts_with("note:"), "it had given the namespace up: {:?}", told.lines);
    told.at("second CANCELLED 1 the run was cancelled");
    assert_eq!((told.code, desk.marks().len()), (Some(130), 2), "the cancel stands: {:?}", told.lines);
}

#[test]
fn an_approval_that_was_open_is_asked_again() {
    let spec = "  tasks: [{name: go, approval: {}, script: 'echo ran >> $MARKS'}]";
    let (desk, database) = (Desk::flow(spec), TestDb::new());
    assert_eq!(
        Told::of(desk.relay().args(["--approve", "--migrate", "--database-url", database.url()])).code,
        Some(0)
    );
    let mut first = super::terminal::User::starts(desk.relay().args(["--database-url", database.url()]));
    let id = first.sees("run flow-*").trim_end_matches(')').rsplit_once(' ').expect("an id").1.to_owned();
    first.sees("? approve `go`");
    first.is_killed();

    // Nobody can be asked here.
    let told = resume(&desk, &database, &id, &[]);
    assert_eq!(told.code, Some(2));
    assert!(told.errors.contains("--approve=go"), "{}", told.errors);
    let mut command = desk.relay_without_file();
    let mut second =
        super::terminal::User::starts(command.args(["--database-url", database.url(), "--resume", &id]));
    second.sees("? approve `go`");
    second.types("y\n");
    second.sees("go SUCCESS");
    assert_eq!((second.leaves(), desk.marks().len()), (Some(0), 2));
}

#[test]
fn an_approval_that_was_given_before_may_be_named_again() {
    let spec = "  tasks:
    - {name: publish, approval: {}, script: 'echo ready; [ $RELAY_ATTEMPT != 1 ] || exec sleep 60'}
    - {name: other, dependsOn: [publish], approval: {}, command: ['true']}";
    let (desk, database) = (Desk::flow(spec), TestDb::new());
    let (program, id) = start(&desk, &database, "publish | ready");
    drop(program);
    let told = resume(&desk, &database, &id, &["--approve=publish"]);
    assert_eq!(told.code, Some(2));
    assert!(told.errors.contains("--approve=other"), "only what is open is missed: {}", told.errors);
    let told = resume(&desk, &database, &id, &["--approve=publish,other"]);
    assert_eq!((told.code, told.errors.as_str()), (Some(0), ""), "{:?}", told.lines);
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let (desk, database) = (Desk::flow(THREE), TestDb::new());
    let (program, id) = start(&desk, &database, "second | ready");
    let told = resume(&desk, &database, &id, &["--approve"]);
    assert_eq!(told.code, Some(2));
    assert!(told.errors.starts_with("error: relay-run-"), "a live run names its holder: {}", told.errors);
    drop(program);

    let told = resume(&desk, &database, "01900000-0000-7000-8000-000000000000", &[]);
    let why = "error: run 01900000-0000-7000-8000-000000000000 is not in this database";
    assert_eq!(told.code, Some(2));
    assert!(told.errors.starts_with(why), "{}", told.errors);

    let told = Told::of(desk.relay_without_file().args(["--resume", &id]));
    assert_eq!(told.code, Some(2));
    assert!(told.errors.contains("--database-url"), "{}", told.errors);
}
