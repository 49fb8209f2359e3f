//! Level, not edge: what happened while no operator was there comes to the same end.

use super::rig::{Rig, condition};
use super::{HELLO, PATIENT, is, run_of};

#[test]
fn what_was_applied_before_the_operator_started_runs() {
    let mut rig = Rig::without_operator();
    rig.apply(&run_of("hello", "early", ""));
    rig.apply(HELLO);
    rig.start();
    rig.wait("run/early", "Succeeded");
}

#[test]
fn a_run_that_was_deleted_while_nobody_watched_is_cancelled_and_others_go_on() {
    let mut rig = Rig::new();
    rig.apply(PATIENT);
    let (gone, stays) = (rig.file("gone"), rig.file("stays"));
    rig.apply(&run_of("patient", "gone", &format!(", params: {{file: '{gone}'}}")));
    rig.apply(&run_of("patient", "stays", &format!(", params: {{file: '{stays}'}}")));
    rig.until("run", "gone", |run| run["status"]["tasks"]["running"] == 1);
    rig.until("run", "stays", |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
    rig.run(&["delete", "run", "gone"]);
    rig.run(&["delete", "workflow", "patient"]);
    rig.start();
    rig.until_live(&["stays"]);
    std::fs::write(&stays, "").expect("a file");
    rig.wait("run/stays", "Succeeded");
    let heads = rig.heads();
    assert!(heads.is_empty(), "{heads:?}");
}

#[test]
fn a_run_that_ended_while_nobody_wrote_is_told_by_the_next_operator() {
    let mut rig = Rig::new();
    rig.apply(PATIENT);
    let file = rig.file("go");
    rig.apply(&run_of("patient", "ends", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "ends", |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
    std::fs::write(&file, "").expect("a file");
    rig.start_without_operator();
    rig.until_live(&[]);
    assert_eq!(rig.get("run", "ends")["status"]["state"], "Running");
    rig.stop();
    rig.start();
    rig.wait("run/ends", "Succeeded");
}

#[test]
fn a_restart_writes_nothing_that_is_said_already() {
    let mut rig = Rig::new();
    rig.apply(HELLO);
    rig.apply(super::ASKS);
    rig.apply(&run_of("hello", "done", ""));
    rig.apply(&run_of("asks", "waits", ""));
    rig.apply(&run_of("nothing", "missing", ""));
    rig.wait("run/done", "Finished");
    rig.until_state("waits", "AwaitingApproval");
    rig.until_state("missing", "WorkflowMissing");
    rig.until_event("waits", "AwaitingApproval");
    rig.until_event("missing", "WorkflowMissing");
    let names = ["run/done", "run/waits", "run/missing", "workflow/hello", "workflow/asks"];
    let versions =
        |rig: &Rig| names.map(|name| rig.run(&["get", name, "-o", "jsonpath={.metadata.resourceVersion}"]));
    let (before, told) = (versions(&rig), rig.events("waits").len());
    rig.stop();
    rig.start();
    rig.apply(&run_of("hello", "later", ""));
    rig.wait("run/later", "Finished");
    assert_eq!(versions(&rig), before);
    assert_eq!(rig.events("waits").len(), told);
    assert_eq!(condition(&rig.get("run", "waits"), "Reconciling"), is("True", "AwaitingApproval"));
}

#[test]
fn an_api_server_that_is_away_stops_no_run_and_hears_of_its_end_later() {
    let rig = Rig::new();
    rig.apply(PATIENT);
    let file = rig.file("go");
    rig.apply(&run_of("patient", "lonely", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "lonely", |run| run["status"]["tasks"]["running"] == 1);
    rig.control.kill_server();
    std::fs::write(&file, "").expect("a file");
    rig.until_live(&[]);
    rig.until_hears(false);
    rig.control.start_server();
    rig.wait("run/lonely", "Succeeded");
    rig.until_hears(true);
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "after", ""));
    rig.wait("run/after", "Succeeded");
}

/// A Run may outlive its rows by years: it ended, and stays as it is, whatever is said in it.
#[test]
fn a_run_that_ended_and_was_removed_from_the_store_is_not_run_again() {
    let mut rig = Rig::new();
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "old", ""));
    rig.wait("run/old", "Succeeded");
    let before = rig.get("run", "old")["status"].clone();
    rig.remove_what_ended();
    // While the operator works, ...
    rig.run(&["label", "run", "old", "looked=at"]);
    rig.apply(&run_of("hello", "next", ""));
    rig.wait("run/next", "Succeeded");
    assert_eq!(rig.get("run", "old")["status"], before);
    // ... and by one that never heard of it.
    rig.stop();
    rig.start();
    rig.run(&["label", "run", "old", "looked=again", "--overwrite"]);
    rig.apply(&run_of("hello", "last", ""));
    rig.wait("run/last", "Succeeded");
    assert_eq!(rig.get("run", "old")["status"], before);
    let found = rig.runtime.block_on(rig.store.find_runs(&rig.namespace, "old", 9)).expect("read");
    assert_eq!(found, vec![], "it was accepted anew");
}

#[test]
fn a_store_that_forgot_a_run_does_not_run_it_again() {
    let mut rig = Rig::new();
    rig.apply(PATIENT);
    let file = rig.file("go");
    rig.apply(&run_of("patient", "known", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "known", |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
    rig.forget();
    rig.start();
    let run = rig.until_state("known", "StoreBehind");
    assert_eq!(condition(&run, "Stalled"), is("True", "StoreBehind"));
    assert!(rig.live().is_empty());
}
