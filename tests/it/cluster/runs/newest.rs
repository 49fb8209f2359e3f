//! A Run pins what its Workflow says at that moment, however much else there is to look at.

use super::rig::Rig;
use super::{HELLO, run_of};

/// A Workflow that takes a moment to read.
fn large(name: &str, word: &str) -> String {
    let tasks: String = (0..150)
        .map(|n| format!("    - {{name: t{n}, command: [echo, '{word}', '$(run.name)']}}\n"))
        .collect();
    format!(
        "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec:\n  tasks:\n{tasks}---\n"
    )
}

#[test]
fn a_run_that_comes_in_one_apply_with_an_edit_runs_what_was_edited() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    let mut all: String = (0..50).map(|n| large(&format!("other-{n}"), "new")).collect();
    all += &HELLO.replace("said=hello", "said=goodbye");
    all += &run_of("hello", "second", ", params: {who: world}");
    rig.apply(&all);
    rig.wait("run/second", "Succeeded");
    let run = rig.get("run", "second");
    assert_eq!(run["status"]["outputs"]["said"], "goodbye world");
    rig.wait("workflow/hello", "Ready");
    assert_eq!(run["status"]["revision"], rig.get("workflow", "hello")["status"]["revision"]);
}
