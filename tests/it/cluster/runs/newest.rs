//! A Run pins what its Workflow says at that moment, however much else there is to look at.

use super::rig::Rig;
use super::{HELLO, run_of};
use crate::support::TestDb;

#[test]
fn a_run_that_comes_in_one_apply_with_an_edit_runs_what_was_edited() {
    let database = TestDb::new();
    let rig = Rig::on_postgres(&database);
    // Fifty others take their time, so that the edit waits for its turn while the Run is there already.
    rig.sql(
        &database,
        "create function late() returns trigger language plpgsql as $$ begin perform pg_sleep(0.4); return new; end $$;
         create trigger late before insert on workflows for each row when (new.name like 'other-%') execute function late()",
    );
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    let mut all: String =
        (0..50).map(|n| HELLO.replace("name: hello", &format!("name: other-{n}"))).collect();
    all += &HELLO.replace("said=hello", "said=goodbye");
    all += &run_of("hello", "second", ", params: {who: world}");
    rig.apply(&all);
    rig.wait("run/second", "Succeeded");
    let run = rig.get("run", "second");
    assert_eq!(run["status"]["outputs"]["said"], "goodbye world");
    rig.wait("workflow/hello", "Ready");
    assert_eq!(run["status"]["revision"], rig.get("workflow", "hello")["status"]["revision"]);
}

#[test]
fn a_workflow_is_read_once_more_before_a_run_of_it_is_accepted() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    let before = rig.control.calls("GET", "workflows");
    let all: String = (0..30).map(|n| run_of("hello", &format!("r{n}"), "")).collect();
    rig.apply(&all);
    rig.run(&["wait", "run", "--all", "--for=condition=Succeeded", "--timeout=90s"]);
    let reads = rig.control.calls("GET", "workflows") - before;
    assert!((1..=30).contains(&reads), "{reads} reads");
}
