//! Approvals by annotation.

use super::rig::{Rig, condition};
use super::{ASKS, is, run_of};

const KEY: &str = "approval.relay.works/publish";

fn asking(rig: &Rig, name: &str) {
    rig.apply(ASKS);
    rig.apply(&run_of("asks", name, ""));
    rig.until_state(name, "AwaitingApproval");
}

#[test]
fn the_command_that_the_status_prints_approves() {
    let rig = Rig::new();
    asking(&rig, "release");
    let run = rig.get("run", "release");
    let awaiting = &run["status"]["awaiting"][0];
    assert_eq!((&awaiting["task"], &awaiting["message"]), (&"publish".into(), &"Publish it?".into()));
    let command = awaiting["command"].as_str().expect("a command").to_owned();
    assert!(rig.until_event("release", "AwaitingApproval").contains(&command));
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words[..4], ["kubectl", "annotate", "run", "release"]);
    rig.run(&words[1..]);
    rig.wait("run/release", "Succeeded");
    assert!(rig.until_event("release", "Approved").contains("unknown (unverified)"));
    assert_eq!(rig.get("run", "release")["status"]["disregarded"], serde_json::Value::Null);
}

#[test]
fn a_rejection_with_a_name_and_a_note_ends_the_run() {
    let rig = Rig::new();
    asking(&rig, "release");
    let value = format!("{KEY}=rejected 1 alice%40example.org not on a Friday");
    rig.run(&["annotate", "run", "release", &value]);
    rig.wait("run/release", "Finished");
    let run = rig.get("run", "release");
    assert_eq!(run["status"]["failures"][0]["reason"], "Rejected");
    let message = run["status"]["failures"][0]["message"].as_str().expect("a message");
    assert!(message.contains("alice@example.org") && message.contains("Friday"), "{message}");
}

#[test]
fn what_is_said_before_the_task_asks_decides_nothing_until_it_is_said_again() {
    let mut rig = Rig::new();
    rig.apply(ASKS);
    let file = rig.file("go");
    rig.apply(&run_of("asks", "hasty", &format!(", params: {{file: '{file}'}}")));
    rig.until("run", "hasty", |run| run["status"]["tasks"]["running"] == 1);
    rig.run(&["annotate", "run", "hasty", &format!("{KEY}=approved")]);
    let run = rig.until("run", "hasty", |run| !run["status"]["disregarded"].is_null());
    let reason = run["status"]["disregarded"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("set it again when the task asks"), "{reason}");
    assert!(rig.until_event("hasty", "ApprovalDisregarded").contains(&reason));
    std::fs::write(&file, "").expect("a file");
    rig.until_state("hasty", "AwaitingApproval");
    rig.stop();
    rig.start();
    let run = rig.until_state("hasty", "AwaitingApproval");
    assert_eq!(run["status"]["disregarded"][0]["value"], "approved");
    rig.run(&["annotate", "run", "hasty", &format!("{KEY}-")]);
    rig.until("run", "hasty", |run| run["status"]["disregarded"].is_null());
    rig.run(&["annotate", "run", "hasty", &format!("{KEY}=approved")]);
    rig.wait("run/hasty", "Succeeded");
}

#[test]
fn an_approval_that_came_with_the_run_decides_nothing() {
    let rig = Rig::new();
    rig.apply(&ASKS.replace("      dependsOn: [first]\n", ""));
    let run = run_of("asks", "eager", "")
        .replace("name: eager}", &format!("name: eager, annotations: {{{KEY}: approved}}}}"));
    rig.apply(&run);
    let run = rig.until_state("eager", "AwaitingApproval");
    assert_eq!(run["status"]["disregarded"][0]["task"], "publish");
}

#[test]
fn nonsense_is_named_once_and_harms_nobody() {
    let rig = Rig::new();
    asking(&rig, "odd");
    let nonsense = format!("{KEY}=approved x/%zz \u{202e}/////\napproved 99 bob");
    rig.run(&["annotate", "run", "odd", "approval.relay.works/nosuch=approved", &nonsense]);
    let run = rig.until("run", "odd", |run| {
        run["status"]["disregarded"].as_array().is_some_and(|list| list.len() == 3)
    });
    assert_eq!(condition(&run, "Succeeded"), is("Unknown", "AwaitingApproval"));
    let told = run["status"]["disregarded"].to_string();
    assert!(told.contains("no task nosuch") && told.contains("asking 1 is open"), "{told}");
    rig.run(&["annotate", "run", "odd", "--overwrite", &format!("{KEY}=approved")]);
    rig.wait("run/odd", "Succeeded");
}

#[test]
fn two_people_are_two_and_one_is_one() {
    let rig = Rig::new();
    rig.apply(&ASKS.replace("{message: 'Publish it?'}", "{required: 2}"));
    rig.apply(&run_of("asks", "both", ""));
    rig.until_state("both", "AwaitingApproval");
    rig.run(&["annotate", "run", "both", &format!("{KEY}=approved 1 ann\napproved 1 ann again")]);
    let run = rig.until("run", "both", |run| !run["status"]["awaiting"][0]["approvedBy"].is_null());
    assert_eq!(run["status"]["awaiting"][0]["approvedBy"], serde_json::json!(["ann (unverified)"]));
    rig.run(&["annotate", "run", "both", "--overwrite", &format!("{KEY}=approved 1 ann\napproved 1 bob")]);
    rig.wait("run/both", "Succeeded");
}

#[test]
fn what_was_approved_before_a_restart_is_not_approved_again() {
    let mut rig = Rig::new();
    rig.apply(&ASKS.replace("{message: 'Publish it?'}", "{required: 2}"));
    rig.apply(&run_of("asks", "once", ""));
    rig.until_state("once", "AwaitingApproval");
    rig.run(&["annotate", "run", "once", &format!("{KEY}=approved 1 ann")]);
    rig.until("run", "once", |run| !run["status"]["awaiting"][0]["approvedBy"].is_null());
    rig.until_event("once", "Approved");
    rig.stop();
    rig.start();
    rig.run(&["annotate", "run", "once", "--overwrite", &format!("{KEY}=approved 1 ann\napproved 1 bob")]);
    rig.wait("run/once", "Succeeded");
    rig.until_event("once", "Succeeded");
    let events = rig.events("once");
    let of = |user: &str| {
        events.iter().filter(|(reason, note)| reason == "Approved" && note.contains(user)).count()
    };
    assert_eq!((of("ann"), of("bob")), (1, 1), "{events:?}");
}
