//! The machine as tasks find it: slots, environment, a reader that goes away.

use std::process::Command;

use super::Desk;
use crate::support::{Program, Told, told};

#[test]
fn one_slot_runs_one_task_at_a_time() {
    let task = |name: &str| {
        format!("    - {{name: {name}, script: 'echo start >> $MARKS; echo {name}; echo end >> $MARKS'}}\n")
    };
    let desk = Desk::flow(&format!("  tasks:\n{}{}{}", task("a"), task("b"), task("c")));
    let told = desk.run(&["--slots", "1"]);
    assert_eq!(
        (desk.marks(), told.code),
        (["start", "end"].repeat(3).iter().map(|s| s.to_string()).collect(), Some(0))
    );
}

#[test]
fn two_slots_run_two_at_a_time() {
    // Each waits until the other has started: with one slot this would take for ever.
    let task = |name: &str, other: &str| {
        format!(
            "    - name: {name}\n      timeout: 30s\n      script: |\n        : > \"$MARKS.{name}\"\n        \
             until [ -e \"$MARKS.{other}\" ]; do sleep 0.01; done\n"
        )
    };
    let desk = Desk::flow(&format!("  tasks:\n{}{}", task("a", "b"), task("b", "a")));
    assert_eq!(desk.run(&["--slots", "2"]).code, Some(0));
}

/// The environment of a task, without Relay's own variables.
fn environment(told: &Told) -> Vec<&str> {
    let lines = told.task("show").into_iter().filter_map(|line| line.strip_prefix("| "));
    let mut lines: Vec<&str> = lines.filter(|line| !line.starts_with("RELAY_")).collect();
    lines.sort();
    lines
}

#[test]
fn tasks_see_four_variables_of_the_shell_and_what_is_handed_to_them() {
    let desk = Desk::flow("  tasks: [{name: show, command: [/usr/bin/env]}]");
    let mut command = desk.relay();
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/h").env("LANG", "C").env("TMPDIR", "/tmp");
    command
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("DATABASE_URL", "secret")
        .env("GIVEN", "from the shell");
    let told = Told::of(command.args(["--env", "GIVEN", "--env", "SET=v=w", "--env", "HOME=/elsewhere"]));
    let marks = format!("MARKS={}", desk.path("marks").display());
    let all = [
        "GIVEN=from the shell",
        "HOME=/elsewhere",
        "LANG=C",
        &marks,
        "PATH=/usr/bin:/bin",
        "SET=v=w",
        "TMPDIR=/tmp",
    ];
    assert_eq!((environment(&told), told.code), (all.to_vec(), Some(0)));
}

#[test]
fn a_variable_that_is_not_there_is_refused() {
    let desk = Desk::flow("  tasks: [{name: show, script: echo ran >> $MARKS}]");
    for (argument, why) in [("ABSENT_X", "no such variable"), ("RELAY_TASK=x", "RELAY_"), ("=x", "a name")] {
        let told = desk.run(&["--env", argument]);
        assert_eq!((told.code, desk.marks().len()), (Some(2), 0), "{argument}");
        assert!(told.errors.contains(why) && told.errors.contains(argument), "{}", told.errors);
    }
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let desk = Desk::flow(
        "  tasks:
    - {name: a, script: 'seq 20000; echo a >> $MARKS'}
    - {name: b, dependsOn: [a], script: 'echo b >> $MARKS'}",
    );
    let mut shell = Command::new("sh");
    // The status of relay, not that of head, is what counts.
    let line = "{ \"$0\" run \"$1\" --env \"MARKS=$2\"; echo $? > \"$2.status\"; } | head -n 1";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_relay")]).arg(desk.path("flow.yaml")).arg(desk.path("marks"));
    let told = told::end(Program::start(&mut shell));
    assert_eq!((told.lines, told.errors.as_str()), (vec!["run flow-* of flow".to_owned()], ""));
    assert_eq!(desk.marks(), ["a", "b"]);
    let status = std::fs::read_to_string(desk.path("marks.status")).expect("relay has ended");
    assert_eq!(status, "0\n");
}

#[test]
fn a_thousand_items_are_told_in_a_few_lines() {
    let desk = Desk::flow(
        "  params: [{name: n, type: array}]
  tasks:
    - name: each
      forEach: {from: params.n}
      env: [{name: N, value: $(item)}]
      script: '[ $N != 250 ]'",
    );
    let numbers: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let file = desk.write("n.yaml", &format!("n: [{}]", numbers.join(", ")));
    let told = desk.run(&["--params", &file]);
    assert_eq!(told.code, Some(1));
    assert!(told.lines.len() < 30, "{} lines:\n{}", told.lines.len(), told.lines.join("\n"));
    told.in_order(&[
        "each[250] FAILED: it ended with status 1",
        "each FAILED: an item failed: 1 of 1000 items failed",
    ]);
    let far = told.task("each").iter().filter(|line| line.contains(" of 1000 items ended")).count();
    assert!((5..10).contains(&far), "{}", told.lines.join("\n"));
    told.at("each FAILED - an item failed: 1 of 1000 items failed; 999 of 1000 items SUCCESS");
}
