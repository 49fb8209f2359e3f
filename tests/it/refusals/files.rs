//! Files that are refused for what they are.

use super::{Desk, refused};

#[test]
fn a_file_of_ten_mebibytes() {
    let desk = Desk::new(&"# much ado\n".repeat(10 * 1024 * 1024 / 11 + 1));
    let told = "error: flow.yaml:1:1: the file has 10.0 MiB, and 4 MiB are allowed; split it, or keep data out of manifests\n";
    assert_eq!(refused(&desk, &[]), told);
}

#[test]
fn a_file_that_is_no_text() {
    let desk = Desk::new("");
    std::fs::write(desk.path("flow.yaml"), b"\x7fELF\x02\x01\x01\0\0\xff\xfe\xfd").expect("written");
    let told = refused(&desk, &[]);
    let first = told.lines().next().expect("a line");
    assert_eq!(
        first,
        "error: flow.yaml:1:10: this is not UTF-8 text; is it a manifest at all? Save it as UTF-8"
    );
    assert!(!told.contains('\x7f') && !told.contains('\0'), "the terminal gets none of it: {told:?}");
}

#[test]
fn a_file_that_is_not_there() {
    let desk = Desk::new("");
    std::fs::remove_file(desk.path("flow.yaml")).expect("it was there");
    assert_eq!(refused(&desk, &[]), "error: flow.yaml: there is no such file\n");
}

#[test]
fn a_directory() {
    let desk = Desk::new("");
    std::fs::remove_file(desk.path("flow.yaml")).expect("it was there");
    std::fs::create_dir(desk.path("flow.yaml")).expect("made");
    assert_eq!(refused(&desk, &[]), "error: flow.yaml: this is a directory; name a file in it\n");
}

#[test]
fn several_workflows_of_which_none_is_named() {
    let workflow = |name: &str| {
        format!(
            "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec: {{tasks: [{{name: go}}]}}\n"
        )
    };
    let desk = Desk::new(&[workflow("a"), workflow("b")].join("---\n"));
    let told = "error: flow.yaml: there are several Workflows and no Run; choose one with --workflow: a, b\n";
    assert_eq!(refused(&desk, &[]), told);
    let told = "error: flow.yaml: there is no Workflow `c` in this file; it has: a, b\n";
    assert_eq!(refused(&desk, &["--workflow", "c"]), told);
}
