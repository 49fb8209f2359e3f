//! A store that was set back to an older state: what an object says is ahead of it, and nothing is done twice unasked.

use super::rig::{Rig, condition};
use super::{HELLO, PATIENT, is, run_of};
use relay::conductor::Older;

/// The status of a Run that ended.
const END: &str = r#"{"state": "Succeeded", "conditions": [
    {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z"},
    {"type": "Finished", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z"}]}"#;

/// A live run, and an operator that is not there.
fn stopped(rig: &mut Rig, name: &str) -> String {
    let file = rig.file(name);
    rig.apply(PATIENT);
    rig.apply(&run_of("patient", name, &format!(", params: {{file: '{file}'}}")));
    rig.until("run", name, |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
    file
}

/// The status as it would have gone on before the store was set back.
fn went_on(rig: &Rig, name: &str, status: &str) {
    rig.run(&[
        "patch",
        "run",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &format!("{{\"status\":{status}}}"),
    ]);
}

#[test]
fn a_shard_of_which_the_store_is_behind_stops_until_the_older_state_is_accepted() {
    let mut rig = Rig::new();
    let file = stopped(&mut rig, "ahead");
    went_on(&rig, "ahead", r#"{"position": 1000}"#);
    rig.start();
    let run = rig.until_state("ahead", "StoreBehind");
    assert_eq!(condition(&run, "Stalled"), is("True", "StoreBehind"));
    assert_eq!((&run["status"]["position"], &run["status"]["tasks"]["total"]), (&1000.into(), &3.into()));
    assert!(
        run["status"]["message"].as_str().is_some_and(|said| said.contains("--accept-older-state")),
        "{run:#}"
    );
    rig.until_event("ahead", "StoreBehind");
    // What is new is not begun, what ends meanwhile is not heard, and another start changes nothing about that.
    rig.apply(HELLO);
    rig.apply(&run_of("hello", "new", ""));
    std::fs::write(&file, "").expect("a file");
    rig.until_state("new", "StoreBehind");
    rig.stop();
    rig.start();
    rig.until_state("ahead", "StoreBehind");
    assert!(rig.live().is_empty());
    assert_eq!(rig.row("ahead").status, relay::model::status::RunStatus::Running, "it is as it was");
    assert!(!std::path::Path::new(&format!("{file}.end")).exists());

    rig.stop();
    rig.older = Older::Accepted;
    rig.start();
    let run = rig.until_state("ahead", "Succeeded");
    assert!(run["status"]["position"].as_i64() > Some(1000), "no position is told twice: {run:#}");
    assert_eq!(condition(&run, "Stalled"), None);
    rig.wait("run/new", "Succeeded");
    // It is remembered by the position: another start need not be told again.
    rig.stop();
    rig.older = Older::Stops;
    rig.start();
    rig.apply(&run_of("hello", "after", ""));
    rig.wait("run/after", "Succeeded");
}

#[test]
fn also_what_ended_proves_that_the_store_is_behind() {
    let mut rig = Rig::new();
    let file = stopped(&mut rig, "done");
    went_on(&rig, "done", &END.replacen('{', r#"{"position": 1000, "#, 1));
    rig.apply(&run_of("hello", "new", ""));
    std::fs::write(&file, "").expect("a file");
    rig.start();
    rig.until_state("new", "StoreBehind");
    let row = rig.row("done");
    assert_eq!(
        (row.status, row.paused_at),
        (relay::model::status::RunStatus::Running, None),
        "it is as it was"
    );
    assert!(rig.live().is_empty());
    assert!(!std::path::Path::new(&format!("{file}.end")).exists(), "nothing was run");
}

#[test]
fn a_position_that_cannot_be_is_believed_by_nobody() {
    let mut rig = Rig::new();
    let file = stopped(&mut rig, "absurd");
    went_on(&rig, "absurd", r#"{"position": 9223372036854775807}"#);
    rig.start();
    std::fs::write(&file, "").expect("a file");
    rig.wait("run/absurd", "Succeeded");
}

#[test]
fn a_run_that_had_ended_and_is_live_in_the_store_is_paused_and_keeps_its_end() {
    let mut rig = Rig::new();
    stopped(&mut rig, "ended");
    went_on(&rig, "ended", END);
    rig.start();
    let run = rig.until_state("ended", "StoreBehind");
    assert_eq!(condition(&run, "Stalled"), is("True", "StoreBehind"));
    assert_eq!(condition(&run, "Finished"), is("True", "Succeeded"));
    assert_eq!(condition(&run, "Succeeded"), is("True", "Succeeded"));
    assert!(rig.row("ended").paused_at.is_some(), "nothing new starts");
    rig.until_event("ended", "StoreBehind");
    let row = rig.row("ended");
    rig.run(&["delete", "run", "ended"]);
    rig.until_row(&row.id, |row| row.stop.is_some());
}
