//! A store that was set back to an older state: what an object says is ahead of it, and nothing is done twice unasked.

use super::rig::{Rig, condition};
use super::{PATIENT, is, run_of};

/// A live run, and an operator that is not there.
fn stopped(rig: &mut Rig, name: &str) {
    let file = rig.file(name);
    rig.apply(PATIENT);
    rig.apply(&run_of("patient", name, &format!(", params: {{file: '{file}'}}")));
    rig.until("run", name, |run| run["status"]["tasks"]["running"] == 1);
    rig.stop();
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

fn want(rig: &Rig, name: &str, state: &str) {
    let patch = format!(r#"{{"spec":{{"desiredState":"{state}"}}}}"#);
    rig.run(&["patch", "run", name, "--type=merge", "-p", &patch]);
}

#[test]
fn a_run_whose_status_is_ahead_of_the_store_is_paused_until_its_user_decides() {
    let mut rig = Rig::new();
    stopped(&mut rig, "ahead");
    went_on(&rig, "ahead", r#"{"position": 1000}"#);
    rig.start();
    let run = rig.until_state("ahead", "StoreBehind");
    assert_eq!(condition(&run, "Stalled"), is("True", "StoreBehind"));
    assert_eq!((&run["status"]["position"], &run["status"]["tasks"]["total"]), (&1000.into(), &3.into()));
    assert!(rig.row("ahead").paused_at.is_some(), "nothing new starts");
    rig.until_event("ahead", "StoreBehind");
    // Another start changes nothing about that.
    rig.stop();
    rig.start();
    let run = rig.until_state("ahead", "StoreBehind");
    assert!(rig.row("ahead").paused_at.is_some() && rig.live() == ["ahead"], "{run:#}");
    want(&rig, "ahead", "Paused");
    rig.until_state("ahead", "Paused");
    want(&rig, "ahead", "Running");
    rig.until_state("ahead", "Running");
    assert!(rig.row("ahead").paused_at.is_none());
}

#[test]
fn a_run_that_had_ended_and_is_live_in_the_store_is_paused_and_keeps_its_end() {
    let mut rig = Rig::new();
    stopped(&mut rig, "ended");
    let end = r#"{"state": "Succeeded", "conditions": [
        {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z"},
        {"type": "Finished", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z"}]}"#;
    went_on(&rig, "ended", end);
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
