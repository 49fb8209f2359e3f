//! Approvals given beforehand, or refused for want of anybody to ask.

use super::Desk;

const TWO: &str = "  tasks:
    - {name: first, approval: {}, script: echo first >> $MARKS}
    - {name: second, dependsOn: [first], approval: {required: 2}, script: echo second >> $MARKS}
    - {name: plain, command: ['true']}";

#[test]
fn all_are_given_by_the_bare_flag_and_some_by_name() {
    for arguments in
        [&["--approve"][..], &["--approve=first,second"], &["--approve=first", "--approve=second"]]
    {
        let desk = Desk::flow(TWO);
        let told = desk.run(arguments);
        assert_eq!(
            (told.code, desk.marks().join(" ")),
            (Some(0), "first second".to_owned()),
            "{arguments:?}"
        );
    }
}

#[test]
fn what_nobody_can_be_asked_is_refused_before_anything_runs() {
    let desk = Desk::flow(TWO);
    let told = desk.run(&["--approve=first"]);
    assert_eq!((told.code, told.lines.len(), desk.marks().len()), (Some(2), 0, 0));
    let why = "error: task `second` of Workflow flow needs an approval, and there is no terminal to ask at; \
               give it beforehand with --approve=second, or all with --approve\n";
    assert_eq!(told.errors, why);
}

#[test]
fn an_approval_for_a_task_that_asks_for_none_is_refused() {
    let desk = Desk::flow(TWO);
    for name in ["plain", "frist"] {
        let told = desk.run(&[&format!("--approve={name}"), "--approve"]);
        let why = format!(
            "error: --approve={name}: no task of that name needs an approval; those that do: first, second\n"
        );
        assert_eq!((told.code, told.errors, desk.marks().len()), (Some(2), why, 0));
    }
}

#[test]
fn an_approval_that_nobody_gives_in_time_ends() {
    // By --approve it would be given; a rejection by time needs a question that stays open: see `terminal`.
    let desk = Desk::flow(
        "  tasks: [{name: go, approval: {message: 'Go with $(1 / 0)?'}, script: echo ran >> $MARKS}]",
    );
    let told = desk.run(&["--approve"]);
    assert_eq!((told.code, desk.marks().len()), (Some(1), 0));
    let why = &told.task("go")[0];
    assert!(why.starts_with("FAILED: an expression could not be evaluated: approval.message: "), "{why}");
}
