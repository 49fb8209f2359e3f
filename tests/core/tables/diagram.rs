//! The diagrams in ARCHITECTURE.md. RELAY_GENERATE=1 (`make generate`) rewrites them.

use std::{fmt::Display, path::PathBuf};

use relay::model::status::{Edge, RUN_BIRTHS, RUN_EDGES, RunStatus, TASK_BIRTHS, TASK_EDGES, TaskStatus};

/// A state diagram, in mermaid's language.
fn diagram<S: Copy + Display>(births: &[S], edges: &[Edge<S>], finals: &[S]) -> String {
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for birth in births {
        text += &format!("    [*] --> {birth}\n");
    }
    for edge in edges {
        text += &format!("    {} --> {}: {}\n", edge.from, edge.to, edge.when);
    }
    for end in finals {
        text += &format!("    {end} --> [*]\n");
    }
    text + "```\n"
}

fn of_task_runs() -> String {
    let finals: Vec<TaskStatus> = TaskStatus::ALL.iter().copied().filter(|s| s.is_final()).collect();
    diagram(TASK_BIRTHS, TASK_EDGES, &finals)
}

fn of_runs() -> String {
    let finals: Vec<RunStatus> = RunStatus::ALL.iter().copied().filter(|s| s.is_final()).collect();
    diagram(RUN_BIRTHS, RUN_EDGES, &finals)
}

/// The page with the blocks between their markers replaced; none when a marker is missing.
fn filled(page: &str) -> Option<String> {
    let mut page = page.to_owned();
    for (name, block) in [("task states", of_task_runs()), ("run states", of_runs())] {
        let opening = format!("<!-- generated: {name} -->\n");
        let start = page.find(&opening)? + opening.len();
        let end = start + page[start..].find("<!-- end -->")?;
        page.replace_range(start..end, &block);
    }
    Some(page)
}

#[test]
fn architecture_draws_the_tables() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = std::fs::read_to_string(&path).expect("ARCHITECTURE.md is there");
    let printed = filled(&page).expect("ARCHITECTURE.md has the markers of both diagrams");
    if std::env::var("RELAY_GENERATE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, printed).expect("ARCHITECTURE.md can be written");
        return;
    }
    assert!(page == printed, "ARCHITECTURE.md draws other tables than the code has. Run `make generate`.");
}

#[test]
fn labels_are_such_that_mermaid_can_read_them() {
    let labels = TASK_EDGES.iter().map(|e| e.when).chain(RUN_EDGES.iter().map(|e| e.when));
    for label in labels {
        assert!(!label.is_empty() && !label.contains([':', ';', '\n']), "`{label}`");
    }
}

#[test]
fn a_page_without_markers_is_found_out() {
    assert_eq!(filled("# Nothing here\n"), None);
    let page = "<!-- generated: task states -->\nformer drawing\n<!-- end -->\n<!-- generated: run states -->\n<!-- end -->\n";
    let page = filled(page).expect("both markers are there");
    assert!(
        page.contains("    PENDING --> READY: its rule holds\n") && !page.contains("former drawing"),
        "{page}"
    );
    assert_eq!(filled(&page).as_ref(), Some(&page), "filled once is filled for good");
}
