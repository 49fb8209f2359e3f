//! Where values come from, and what of a file runs.

use std::process::Command;

use super::{Desk, a_run, flow};
use crate::support::Told;

const FIVE: &str = "  params:
    - {name: a, default: default}
    - {name: b, default: default}
    - {name: c, default: default}
    - {name: d, default: default}
  tasks:
    - name: show
      env: [{name: ALL, value: \"$(params.a) $(params.b) $(params.c) $(params.d)\"}]
      script: echo \"$ALL\"";

#[test]
fn a_flag_wins_over_the_file_over_the_run_over_the_default() {
    let run = a_run("one", "flow", "{b: run, c: run, d: run}");
    let desk = Desk::new(&(flow("flow", FIVE) + &run));
    let file = desk.write("params.yaml", "c: file\nd: file\n");
    let told = desk.run(&["--params", &file, "-p", "d=flag"]);
    assert_eq!((told.task("show")[1], told.code), ("| default run file flag", Some(0)), "{}", told.errors);
}

const TYPED: &str = "  params:
    - {name: text}
    - {name: whole, type: integer}
    - {name: real, type: number}
    - {name: flag, type: boolean}
    - {name: list, type: array}
    - {name: map, type: object}
  tasks:
    - name: show
      env:
        - name: ALL
          value: \"$(params.text + '!') $(params.whole + 1) $(params.real / 4.0) $(!params.flag) $(params.list[1]) $(params.map.k)\"
      script: echo \"$ALL\"";

#[test]
fn flags_are_read_by_the_declared_type() {
    let desk = Desk::flow(TYPED);
    let flags =
        ["-p", "text=7", "-p", "whole=7", "-p", "real=7", "-p", "flag=true", "-p", "list=[1,2]", "-p"];
    let told = desk.run(&[&flags[..], &["map={\"k\":\"v=w\"}"]].concat());
    assert_eq!((told.task("show")[1], told.code), ("| 7! 8 1.75 false 2 v=w", Some(0)), "{}", told.errors);
}

#[test]
fn params_come_as_yaml_and_as_json() {
    let desk = Desk::flow(TYPED);
    let yaml = desk.write("p.yaml", "text: a\nwhole: 7\nreal: 7\nflag: true\nlist: [1, 2]\nmap:\n  k: v\n");
    let json =
        desk.write("p.json", r#"{"text":"a","whole":7,"real":7.0,"flag":true,"list":[1,2],"map":{"k":"v"}}"#);
    for file in [yaml, json] {
        let told = desk.run(&["--params", &file]);
        assert_eq!((told.task("show")[1], told.code), ("| a! 8 1.75 false 2 v", Some(0)), "{}", told.errors);
    }
}

fn marking(name: &str) -> String {
    flow(name, &format!("  tasks:\n    - {{name: go, script: 'echo {name} >> $MARKS'}}"))
}

#[test]
fn of_several_workflows_one_is_chosen() {
    let desk = Desk::new(&[marking("first"), marking("second")].join("---\n"));
    let told = desk.run(&["--workflow", "second"]);
    assert_eq!((told.code, desk.marks()), (Some(0), vec!["second".to_owned()]));

    let told = desk.run(&[]);
    assert_eq!(told.code, Some(2));
    assert!(told.errors.contains("choose one with --workflow: first, second"), "{}", told.errors);
    let told = desk.run(&["--workflow", "third"]);
    assert_eq!(told.code, Some(2));
    assert!(told.errors.contains("no Workflow `third`"), "{}", told.errors);
    assert_eq!(desk.marks().len(), 1, "nothing else ran");
}

#[test]
fn all_runs_of_a_file_run_and_the_worst_decides() {
    let spec = "  params: [{name: code, type: integer}]
  tasks:
    - name: go
      env: [{name: CODE, value: $(params.code)}]
      script: echo run $CODE >> $MARKS; exit $CODE";
    let runs = a_run("good", "flow", "{code: 0}") + &a_run("bad", "flow", "{code: 4}");
    let desk = Desk::new(&(flow("flow", spec) + &runs));
    let told = desk.run(&[]);
    let mut marks = desk.marks();
    marks.sort();
    assert_eq!((told.code, marks), (Some(1), vec!["run 0".to_owned(), "run 4".to_owned()]));
    told.at("good: SUCCESS");
    told.at("bad: FAILED: a task failed");
}

#[test]
fn a_file_comes_by_standard_input() {
    let desk = Desk::flow("  tasks: [{name: go, command: [echo, here]}]");
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" run - < \"$1\"", env!("CARGO_BIN_EXE_relay")]).arg(desk.path("flow.yaml"));
    let told = Told::of(&mut shell);
    assert_eq!((told.task("go")[1], told.code), ("| here", Some(0)), "{}", told.errors);
}

#[test]
fn pools_are_named_once_and_what_needs_a_cluster_is_refused() {
    let pool = |name: &str| {
        format!(
            "---\napiVersion: relay.works/v1alpha1\nkind: WorkerPool\nmetadata: {{name: {name}}}\nspec: {{image: x:1}}\n"
        )
    };
    let tasks = "  tasks: [{name: go, pool: a, command: [echo, here]}]";
    let desk = Desk::new(&(flow("flow", tasks) + &pool("a") + &pool("b")));
    let told = desk.run(&[]);
    let notes: Vec<&String> = told.lines.iter().filter(|l| l.starts_with("note:")).collect();
    assert_eq!((notes.len(), told.code), (1, Some(0)), "{notes:?}");
    assert!(notes[0].contains("WorkerPool") && notes[0].contains("ignored"), "{notes:?}");

    let desk = Desk::flow("  tasks: [{name: go, pod: {}, script: echo ran >> $MARKS}]");
    let told = desk.run(&[]);
    assert_eq!((told.code, desk.marks().len(), told.lines.len()), (Some(2), 0, 0));
    assert!(told.errors.contains("pod"), "{}", told.errors);
}

#[test]
fn usage_that_is_wrong_is_refused_with_what_would_be_right() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "<FILE>"),
        (&["a.yaml", "--resume", "x", "--database-url", "x"], "cannot be used with"),
        (&["a.yaml", "--migrate"], "--database-url <URL>"),
        (&["a.yaml", "--slots", "0"], "1..=1000"),
        (&["a.yaml", "--parms", "x"], "--params"),
    ];
    for (arguments, hint) in cases {
        let told = Told::run(arguments);
        assert_eq!((told.code, told.lines.len()), (Some(2), 0), "{arguments:?}");
        assert!(told.errors.starts_with("error: ") && told.errors.contains(hint), "{}", told.errors);
    }
}
