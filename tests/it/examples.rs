//! Every example, run as its first lines say, and looked at as a user would.

use std::collections::BTreeSet;

use crate::support::{Told, read, repository};

/// An example by its name, with further arguments.
#[track_caller]
fn run(name: &str, arguments: &[&str]) -> Told {
    assert!(TESTED.contains(&name), "{name} is missing in the list of tested examples");
    let file = repository("examples").join(name).with_extension("yaml");
    let mut all = vec![file.to_str().expect("a path of text")];
    all.extend(arguments);
    Told::run(&all)
}

/// Those with a test below: each of the folder.
const TESTED: [&str; 17] = [
    "approval",
    "at-most-once",
    "cluster",
    "diamond",
    "fail-fast",
    "failing",
    "finally",
    "for-each",
    "hello",
    "on-error-continue",
    "outputs",
    "params",
    "retry",
    "runs",
    "scripts",
    "timeouts",
    "when",
];

fn files() -> BTreeSet<String> {
    let folder = std::fs::read_dir(repository("examples")).expect("the folder");
    let names = folder.map(|e| e.expect("an entry").file_name().into_string().expect("text"));
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn each_example_has_a_test() {
    let tested: BTreeSet<String> = TESTED.iter().map(|name| format!("{name}.yaml")).collect();
    assert_eq!(files(), tested);
}

#[test]
fn the_index_lists_each_example_once_with_its_first_line() {
    let index = read("examples/README.md");
    let rows: Vec<(&str, &str)> = index
        .lines()
        .filter_map(|line| line.strip_prefix("| [")?.strip_suffix(" |")?.split_once(" | "))
        .collect();
    assert_eq!(rows.len(), files().len(), "{rows:?}");
    for name in files() {
        let text = read(&format!("examples/{name}"));
        let purpose = text.lines().next().and_then(|l| l.strip_prefix("# ")).expect("a comment");
        let link = format!("{name}]({name})");
        assert!(rows.contains(&(link.as_str(), purpose)), "{name}: {purpose:?} is not in the index");
        let how = text.lines().take(6).any(|l| l.contains(&format!("run examples/{name}")));
        assert!(how, "{name} does not say how it is run");
    }
}

#[test]
fn hello_greets() {
    let told = run("hello", &[]);
    let all = [
        "run hello-* of hello",
        "greet RUNNING",
        "greet | Hello from Relay",
        "greet SUCCESS",
        "",
        "TASK STATUS TRIES TIME WHY",
        "greet SUCCESS 1",
        "hello-*: SUCCESS",
    ];
    assert_eq!(
        (told.lines.as_slice(), told.code, told.errors.as_str()),
        (all.map(String::from).as_slice(), Some(0), "")
    );
}

#[test]
fn a_diamond_joins_the_outputs_of_both_sides() {
    let told = run("diamond", &[]);
    assert_eq!(told.task("report"), ["RUNNING", "| orders.csv: 3 rows, 50 in all", "SUCCESS"]);
    for side in ["count", "total"] {
        told.in_order(&[
            "extract SUCCESS",
            &format!("{side} RUNNING"),
            &format!("{side} SUCCESS"),
            "report RUNNING",
        ]);
    }
    assert_eq!((told.lines.last().map(String::as_str), told.code), (Some("diamond-*: SUCCESS"), Some(0)));
}

#[test]
fn scripts_run_in_the_shell_and_in_what_their_first_line_names() {
    let told = run("scripts", &[]);
    let shell = told.task("shell");
    assert!(shell[1].starts_with("| the year is 2"), "{shell:?}");
    assert_eq!(shell[2], "| run scripts-*, task shell, attempt 1");
    assert_eq!(told.task("awk"), ["RUNNING", "| 1 + 4 + 9 + 16 = 30", "SUCCESS"]);
    assert_eq!(told.task("strict"), ["RUNNING", "| an empty directory", "SUCCESS"]);
    assert_eq!(told.code, Some(0));
}

#[test]
fn params_are_typed_and_one_is_demanded() {
    let told = run("params", &["-p", "date=2026-11-20", "-p", "retries=5", "-p", "regions=[\"eu\"]"]);
    let lines = [
        "RUNNING",
        "| date 2026-11-20",
        "| ratio 0.5",
        "| dry run true",
        "| regions [\"eu\"]",
        "| labels {\"team\":\"platform\"}",
        "| at most 6 tries in staging",
        "SUCCESS",
    ];
    assert_eq!((told.task("show").as_slice(), told.code), (lines.as_slice(), Some(0)), "{}", told.errors);

    let told = run("params", &[]);
    assert_eq!((told.code, told.lines.len()), (Some(2), 0));
    assert!(told.errors.contains("-p date="), "it tells how to give it: {}", told.errors);
    let told = run("params", &["-p", "date=yesterday"]);
    assert_eq!((told.code, told.lines.len()), (Some(2), 0));
    assert!(told.errors.contains("pattern"), "{}", told.errors);
}

#[test]
fn of_two_branches_one_runs() {
    let told = run("when", &[]);
    assert_eq!(told.task("quick-check"), ["RUNNING", "| a quick check is enough", "SUCCESS"]);
    assert_eq!(told.task("full-check"), ["SKIPPED: its `when` was false"]);
    told.at("sign SKIPPED - - an upstream task was skipped: `full-check` is SKIPPED");
    assert_eq!(told.code, Some(0));

    let told = run("when", &["-p", "environment=production"]);
    assert_eq!(told.task("quick-check"), ["SKIPPED: its `when` was false"]);
    assert_eq!(told.task("sign"), ["RUNNING", "| signed", "SUCCESS"]);
    assert_eq!(told.code, Some(0));
}

#[test]
fn a_list_becomes_items_and_their_outputs_a_list() {
    let told = run("for-each", &[]);
    for (n, region) in ["eu", "us", "ap"].iter().enumerate() {
        let item = format!("load[{n}]");
        assert_eq!(told.task(&item), ["RUNNING", &format!("| loading {region}"), "SUCCESS"]);
        told.in_order(&[&format!("{item} SUCCESS"), "load SUCCESS", "join RUNNING"]);
    }
    assert_eq!(told.task("join")[1], "| loaded [\"eu\",\"us\",\"ap\"]; 2 of them with more than 100 rows");
    told.at("load SUCCESS - 3 of 3 items SUCCESS");
    // Two at a time: the third starts when one of the first two has ended.
    let ends = told.at("load[0] SUCCESS").min(told.at("load[1] SUCCESS"));
    assert!(told.at("load[2] RUNNING") > ends, "{}", told.lines.join("\n"));

    let told = run("for-each", &["-p", "regions=[\"sa\"]"]);
    assert_eq!(told.task("join")[1], "| loaded [\"sa\"]; 0 of them with more than 100 rows");
}

#[test]
fn what_fails_at_first_is_tried_again() {
    let told = run("retry", &[]);
    let away = |n: u32| format!("it ended with status 75; last on stderr: try {n}: the service is away");
    let lines = [
        "RUNNING".to_owned(),
        "| try 1: the service is away".to_owned(),
        format!("RETRYING: {}", away(1)),
        "RUNNING (attempt 2)".to_owned(),
        "| try 2: the service is away".to_owned(),
        format!("RETRYING (attempt 2): {}", away(2)),
        "RUNNING (attempt 3)".to_owned(),
        "| try 3: here it is".to_owned(),
        "SUCCESS (attempt 3)".to_owned(),
    ];
    assert_eq!(told.task("flaky"), lines);
    told.at("flaky SUCCESS 3");
    assert_eq!(told.code, Some(0));
}

#[test]
fn what_runs_at_most_once_is_tried_again_if_it_said_so_itself() {
    let told = run("at-most-once", &[]);
    let charge = told.task("charge");
    assert_eq!(charge[..2], ["RUNNING", "| the bank is closed, nothing was done"]);
    assert_eq!(charge[charge.len() - 3..], ["RUNNING (attempt 2)", "| charged", "SUCCESS (attempt 2)"]);
    assert_eq!((told.task("receipt").len(), told.code), (3, Some(0)));
}

#[test]
fn what_takes_too_long_is_stopped() {
    let told = run("timeouts", &[]);
    let end = "FAILED: it ran longer than its timeout of 200ms";
    assert_eq!(told.task("slow"), ["RUNNING", "| this takes a while", end]);
    told.at("slow FAILED 1 it ran longer than its timeout of 200ms");
    told.at("quick SUCCESS 1");
    assert_eq!(
        (told.lines.last().map(String::as_str), told.code),
        (Some("timeouts-*: FAILED: a task failed"), Some(1))
    );
}

#[test]
fn a_failure_stops_what_depends_on_it_and_nothing_else() {
    let told = run("failing", &[]);
    let why = "it ended with status 3; last on stderr: table orders: 4 rows without a customer";
    let lines = [
        "TASK STATUS TRIES TIME WHY".to_owned(),
        "extract SUCCESS 1".to_owned(),
        format!("check FAILED 1 {why}"),
        "publish UPSTREAM_FAILED - - an upstream task failed: `check` is FAILED".to_owned(),
        "archive SUCCESS 1".to_owned(),
        "failing-*: FAILED: a task failed".to_owned(),
    ];
    assert_eq!((told.summary(), told.code), (lines.as_slice(), Some(1)));
    let live = [
        "RUNNING".to_owned(),
        "| checking 3 tables".to_owned(),
        "| table orders: 4 rows without a customer".to_owned(),
        format!("FAILED: {why}"),
    ];
    let mut check = told.task("check");
    // Two pipes: which of the lines is read first is chance.
    check[1..3].sort();
    assert_eq!(check, live);
    assert_eq!(told.task("publish"), ["UPSTREAM_FAILED: an upstream task failed"]);
}

#[test]
fn a_failure_that_does_not_matter_is_told_and_forgiven() {
    let told = run("on-error-continue", &[]);
    assert!(told.task("optional-report")[2].starts_with("FAILED: it ended with status 1"));
    assert_eq!(told.task("publish"), ["RUNNING", "| published without a report", "SUCCESS"]);
    assert_eq!(
        (told.lines.last().map(String::as_str), told.code),
        (Some("on-error-continue-*: SUCCESS"), Some(0))
    );
}

#[test]
fn the_first_failure_stops_new_starts() {
    let told = run("fail-fast", &[]);
    let why = "something failed before, and failFast is set";
    let lines = [
        "TASK STATUS TRIES TIME WHY".to_owned(),
        "copy FAILED - an item failed: 1 of 4 items failed; 1 of 4 items SUCCESS".to_owned(),
        "copy[1] FAILED 1 it ended with status 1".to_owned(),
        format!("copy[2] CANCELLED - - {why}"),
        format!("copy[3] CANCELLED - - {why}"),
        "slow SUCCESS 1".to_owned(),
        format!("unrelated CANCELLED - - {why}"),
        "fail-fast-*: FAILED: a task failed".to_owned(),
    ];
    assert_eq!((told.summary(), told.code), (lines.as_slice(), Some(1)));
    told.in_order(&[
        "copy[0] SUCCESS",
        "copy[1] RUNNING",
        "copy FAILED: an item failed: 1 of 4 items failed",
    ]);
    told.in_order(&["copy[1] FAILED: it ended with status 1", "slow | slow, but not stopped"]);
}

#[test]
fn finally_runs_after_a_success_and_after_a_failure() {
    let told = run("finally", &[]);
    told.in_order(&["work SUCCESS", "clean-up RUNNING", "clean-up SUCCESS", "notify RUNNING"]);
    assert_eq!(told.task("notify")[1], "| the run is SUCCESS, work was SUCCESS");
    assert_eq!(told.task("page-somebody"), ["SKIPPED: its `when` was false"]);
    assert_eq!(told.code, Some(0));

    let told = run("finally", &["-p", "broken=true"]);
    assert_eq!(told.task("clean-up"), ["RUNNING", "| cleaned up", "SUCCESS"]);
    assert_eq!(told.task("notify")[1], "| the run is FAILED, work was FAILED");
    assert_eq!(told.task("page-somebody")[1], "| a person is called");
    assert_eq!(told.code, Some(1));
}

#[test]
fn an_approval_given_beforehand_lets_the_task_run() {
    let told = run("approval", &["--approve=publish"]);
    let lines = [
        "BLOCKED: it waits for an approval",
        "READY: it was approved",
        "RUNNING",
        "| published 1.4.2",
        "SUCCESS",
    ];
    assert_eq!((told.task("publish").as_slice(), told.code), (lines.as_slice(), Some(0)));

    // A test has no terminal.
    let told = run("approval", &[]);
    assert_eq!((told.code, told.lines.len()), (Some(2), 0), "nothing ran: {:?}", told.lines);
    assert!(told.errors.contains("--approve=publish"), "{}", told.errors);
}

#[test]
fn a_run_has_results() {
    let told = run("outputs", &[]);
    let end = [
        "outputs-*: SUCCESS",
        " output empty = false",
        " output rows = [6,9,7]",
        " output source = \"warehouse\"",
    ];
    assert_eq!((&told.summary()[3..], told.code), (end.map(String::from).as_slice(), Some(0)));
}

#[test]
fn two_runs_of_a_file_go_on_at_once() {
    let told = run("runs", &[]);
    let of_both: Vec<&String> = told.lines.iter().filter(|l| l.starts_with("run ")).collect();
    assert_eq!(of_both, ["run greet-world of greeting", "run greet-crew of greeting"]);
    assert_eq!(told.task("greet-world/greet"), ["RUNNING", "| Hello, world!", "SUCCESS"]);
    assert_eq!(told.task("greet-crew/greet"), ["RUNNING", "| Ahoy, crew!", "SUCCESS"]);
    told.in_order(&["greet-world SUCCESS", "greet-world: SUCCESS"]);
    told.in_order(&["greet-crew SUCCESS", "greet-crew: SUCCESS"]);
    assert_eq!(told.code, Some(0));
}

#[test]
fn the_manifests_of_a_cluster_run_on_a_laptop_too() {
    let told = run("cluster", &["--approve"]);
    let publish = told.task("publish");
    assert_eq!(publish[publish.len() - 3..], ["RUNNING", "| published app-1.4.2.tar", "SUCCESS"]);
    assert_eq!((told.lines.last().map(String::as_str), told.code), (Some("release-1: SUCCESS"), Some(0)));
}
