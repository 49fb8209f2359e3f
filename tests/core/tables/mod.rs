//! The transition tables: against the design, typed out once more by hand; against the CHECKs that the migrations end
//! in; against the diagrams in ARCHITECTURE.md, which are printed from them.

mod diagram;
mod sql;

use std::collections::BTreeSet;

use relay::model::status::{RUN_EDGES, RunStatus, TASK_BIRTHS, TASK_EDGES, TaskStatus};

/// Section 5 of the design. Whoever changes the table says so here as well.
const TASKS: &str = "
    PENDING  -> READY SKIPPED UPSTREAM_FAILED FAILED CANCELLED
    READY    -> QUEUED BLOCKED SUCCESS RUNNING SKIPPED FAILED CANCELLED
    BLOCKED  -> READY FAILED SKIPPED CANCELLED
    QUEUED   -> RUNNING READY FAILED CANCELLED
    RUNNING  -> SUCCESS FAILED SKIPPED RETRYING CANCELLED
    RETRYING -> READY CANCELLED
    SUCCESS  ->
    FAILED   ->
    SKIPPED  ->
    UPSTREAM_FAILED ->
    CANCELLED ->
";
const RUNS: &str = "
    QUEUED    -> RUNNING CANCELLED
    RUNNING   -> SUCCESS FAILED CANCELLED
    SUCCESS   -> RUNNING
    FAILED    -> RUNNING
    CANCELLED ->
";
/// A task, an item (or one whose expressions fail), a user's mark and skip.
const BIRTHS: &str = "PENDING READY FAILED SUCCESS SKIPPED";

/// Pairs of states, from lines like those above.
fn edges(text: &str) -> BTreeSet<(String, String)> {
    let line = |line: &str| {
        let (from, to) = line.split_once("->").expect("an arrow");
        let from = from.trim().to_owned();
        to.split_whitespace().map(|to| (from.clone(), to.to_owned())).collect::<Vec<_>>()
    };
    text.lines().filter(|l| !l.trim().is_empty()).flat_map(line).collect()
}

fn states(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| Some(line.split_once("->")?.0.trim())).collect()
}

#[test]
fn the_task_table_is_the_one_of_the_design() {
    let table = TASK_EDGES.iter().map(|e| (e.from.to_string(), e.to.to_string()));
    assert_eq!(table.clone().collect::<BTreeSet<_>>(), edges(TASKS));
    assert_eq!(table.count(), edges(TASKS).len(), "no edge stands twice");
    assert_eq!(TaskStatus::ALL.iter().map(|s| s.as_str()).collect::<BTreeSet<_>>(), states(TASKS));
    let births: BTreeSet<&str> = TASK_BIRTHS.iter().map(|s| s.as_str()).collect();
    assert_eq!(births, BIRTHS.split(' ').collect());
}

#[test]
fn the_run_table_is_the_one_of_the_design() {
    let table = RUN_EDGES.iter().map(|e| (e.from.to_string(), e.to.to_string()));
    assert_eq!(table.clone().collect::<BTreeSet<_>>(), edges(RUNS));
    assert_eq!(table.count(), edges(RUNS).len(), "no edge stands twice");
    assert_eq!(RunStatus::ALL.iter().map(|s| s.as_str()).collect::<BTreeSet<_>>(), states(RUNS));
}

#[test]
fn final_means_that_no_edge_leaves() {
    for status in TaskStatus::ALL {
        assert_eq!(status.is_final(), status.next().next().is_none(), "{status}");
        assert_eq!(status.can_become(TaskStatus::Cancelled), !status.is_final(), "{status} can be cancelled");
    }
}

#[test]
fn the_functions_read_the_table() {
    for from in TaskStatus::ALL {
        let next: Vec<TaskStatus> = from.next().collect();
        for to in TaskStatus::ALL {
            assert_eq!(from.can_become(*to), next.contains(to), "{from} -> {to}");
        }
    }
    for from in RunStatus::ALL {
        let next: Vec<RunStatus> = from.next().collect();
        for to in RunStatus::ALL {
            assert_eq!(from.can_become(*to), next.contains(to), "{from} -> {to}");
        }
    }
}

#[test]
fn each_word_has_one_spelling() {
    for status in TaskStatus::ALL {
        assert_eq!(TaskStatus::parse(status.as_str()), Some(*status));
    }
    assert_eq!(TaskStatus::parse("pending"), None);
    assert_eq!(RunStatus::parse("PENDING"), None);
}
