//! Runs that cannot go on, and Workflows that cannot be stored: each says so, and its user can still end it.

use super::rig::{Rig, condition};
use super::{HELLO, PATIENT, is, run_of};
use crate::support::TestDb;

/// A run whose rows cannot be read any more when the operator starts again.
fn unreadable(database: &TestDb) -> (Rig, String) {
    let mut rig = Rig::on_postgres(database);
    let file = rig.file("go");
    rig.apply(PATIENT);
    rig.apply(&run_of("patient", "broken", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "broken", |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
    rig.sql(
        database,
        "alter table task_runs add column kept text; update task_runs set kept = reason, reason = 'Nonsense'",
    );
    rig.start();
    (rig, file)
}

fn mend(rig: &Rig, database: &TestDb) {
    rig.sql(database, "update task_runs set reason = kept where reason = 'Nonsense'");
}

fn want(rig: &Rig, state: &str) {
    let patch = format!(r#"{{"spec":{{"desiredState":"{state}"}}}}"#);
    rig.run(&["patch", "run", "broken", "--type=merge", "-p", &patch]);
}

#[test]
fn a_run_whose_rows_cannot_be_read_says_so_and_is_cancelled_once_they_can() {
    let database = TestDb::new();
    let (rig, _) = unreadable(&database);
    let run = rig.until_state("broken", "SetAside");
    assert_eq!(condition(&run, "Stalled"), is("True", "SetAside"));
    let message = run["status"]["message"].as_str().expect("a message");
    assert!(message.contains("Nonsense") && message.contains("set desiredState"), "{message}");
    assert_eq!(run["status"]["tasks"]["total"], 3, "what was known of it stays");
    rig.until_event("broken", "SetAside");
    want(&rig, "Cancelled");
    let run = rig.until("run", "broken", |run| run["status"]["observedGeneration"] == 2);
    let message = run["status"]["message"].as_str().expect("a message");
    assert!(message.contains("could not be followed"), "{message}");
    assert_ne!(run["status"]["desired"], "Cancelled", "that was not done");
    mend(&rig, &database);
    rig.run(&["annotate", "run", "broken", "example.org/mended=yes"]);
    let run = rig.until("run", "broken", |run| run["status"]["desired"] == "Cancelled");
    assert_ne!(run["status"]["state"], "SetAside");
}

#[test]
fn a_run_that_was_mended_is_loaded_by_a_pause_and_goes_on() {
    let database = TestDb::new();
    let (rig, file) = unreadable(&database);
    rig.until_state("broken", "SetAside");
    mend(&rig, &database);
    // As its status says. Its rows can be read, so it is known what it does.
    want(&rig, "Paused");
    rig.until_state("broken", "Paused");
    want(&rig, "Running");
    rig.until_state("broken", "Running");
    assert_eq!(rig.live(), ["broken"]);
    std::fs::write(&file, "").expect("a file");
}

#[test]
fn a_run_that_was_set_aside_is_cancelled_when_its_run_is_deleted() {
    let database = TestDb::new();
    let (rig, _) = unreadable(&database);
    rig.until_state("broken", "SetAside");
    mend(&rig, &database);
    let row = rig.row("broken");
    assert!(row.stop.is_none());
    rig.run(&["delete", "run", "broken"]);
    rig.until_row(&row.id, |row| row.stop.is_some());
}

#[test]
fn a_workflow_that_cannot_be_stored_says_so_and_its_runs_too() {
    let database = TestDb::new();
    let rig = Rig::on_postgres(&database);
    rig.sql(
        &database,
        "create function no() returns trigger language plpgsql as $$ begin raise exception 'no room for %', new.name using errcode = 'check_violation'; end $$;
         create trigger no before insert on workflows for each row when (new.name = 'hello') execute function no()",
    );
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "waits", ""));
    let workflow = rig.until("workflow", "hello", |workflow| condition(workflow, "Ready").is_some());
    assert_eq!(condition(&workflow, "Ready"), is("False", "NotStored"));
    assert_eq!(condition(&workflow, "Stalled"), is("True", "NotStored"));
    let message = workflow["status"]["conditions"][0]["message"].as_str().expect("a message");
    assert!(message.contains("no room for hello") && message.contains("it is tried again"), "{message}");
    assert_eq!(rig.until_event("hello", "WorkflowNotStored"), message);
    let run = rig.until_state("waits", "WorkflowPending");
    assert_eq!(condition(&run, "Stalled"), is("True", "WorkflowPending"));
    assert!(run["status"]["message"].as_str().is_some_and(|message| message.contains("no room for hello")));
    rig.sql(&database, "drop trigger no on workflows");
    rig.run(&["annotate", "workflow", "hello", "example.org/mended=yes"]);
    rig.wait("run/waits", "Succeeded");
    rig.wait("workflow/hello", "Ready");
}
