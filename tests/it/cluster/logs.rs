//! `relay logs` against a cluster: who may, and what it says when it cannot.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::installed::{SYSTEM, shared};
use super::kubectl::{LATER, Namespace, SOON, kubectl, well, with_input};
use super::main_job::{POOL, relay_logs};
use crate::support::{Finished, Program};

const TALK: &str = "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: talk}
spec:
  tasks:
    - {name: plain, script: 'echo out; echo err >&2'}
    - {name: each, dependsOn: [plain], forEach: {from: '[7, 8]', as: digit}, env: [{name: DIGIT, value: $(digit)}], script: 'echo item $DIGIT'}
    - {name: last, dependsOn: [each], approval: {message: 'Go on?'}, script: 'echo last'}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: talk-1}
spec: {workflowRef: {name: talk}}
";

/// A run that has spoken and waits for approval.
fn talking(what: &str) -> Namespace {
    let own = Namespace::new(what);
    own.apply(&format!("{POOL}{TALK}"));
    own.until("run", "talk-1", LATER, |run| run["status"]["awaiting"][0]["task"] == "last");
    own
}

/// A kubeconfig by which everything is done as somebody else.
fn as_user(user: &str, folder: &Path) -> PathBuf {
    let config =
        well(kubectl().args(["config", "view", "--raw", "-o", "json"]).output().expect("kubectl starts"));
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["users"][0]["user"]["as"] = user.into();
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).expect("written");
    path
}

fn told(own: &Namespace, arguments: &[&str]) -> Finished {
    Program::start(&mut relay_logs(own, arguments)).finish(SOON)
}

#[test]
fn lines_say_whose_they_are_as_far_as_that_is_not_clear() {
    let (_relay, _turn) = shared();
    let own = talking("logs");
    let all = told(&own, &["talk-1"]);
    assert!(all.status.success(), "{}", all.errors);
    let mut lines: Vec<&str> = all.output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[each/0#1] item 7", "[each/1#1] item 8", "[plain#1] err", "[plain#1] out"]);
    let mut plain: Vec<String> = told(&own, &["talk-1", "plain"]).output.lines().map(str::to_owned).collect();
    plain.sort_unstable();
    assert_eq!(plain, ["err", "out"]);
    assert_eq!(told(&own, &["talk-1", "each/1"]).output, "[each/1#1] item 8\n");
    let json = told(&own, &["talk-1", "each/0", "--json"]).output;
    let entry: Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(
        (&entry["task"], &entry["item"], &entry["text"]),
        (&"each".into(), &0.into(), &"item 7".into())
    );
}

#[test]
fn what_is_not_there_is_said() {
    let (_relay, _turn) = shared();
    let own = talking("nologs");
    let absent = told(&own, &["talk-2"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        absent.errors.contains("no run `talk-2`") && absent.errors.contains("kubectl get runs"),
        "{}",
        absent.errors
    );
    let absent = told(&own, &["talk-1", "pain"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(absent.errors.contains("it has plain, each, last"), "{}", absent.errors);
    let absent = told(&own, &["talk-1", "--operator-namespace", &own.name]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(absent.errors.contains("no operator runs in namespace"), "{}", absent.errors);
    let absent = told(&own, &["talk-1", "--context", "elsewhere"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(absent.errors.contains("elsewhere"), "{}", absent.errors);
}

#[test]
fn a_run_that_was_made_anew_is_not_taken_for_the_one_before() {
    let (_relay, _turn) = shared();
    let own = talking("anew");
    own.run(&["delete", "run/talk-1", "workflow/talk"]);
    let (_, run) = TALK.split_once("---\n").expect("a Workflow and a Run");
    own.apply(run);
    own.until("run", "talk-1", SOON, |run| run["status"]["state"] == "WorkflowMissing");
    let waits = told(&own, &["talk-1"]);
    assert_eq!((waits.status.code(), waits.output.as_str()), (Some(1), ""), "{}", waits.errors);
    let words =
        format!("the Run `talk-1` of namespace `{}` has not been accepted yet: WorkflowMissing", own.name);
    assert!(waits.errors.contains(&words), "{}", waits.errors);
    let follower = Program::start(&mut relay_logs(&own, &["talk-1", "-f"]));
    own.apply(TALK);
    (0..4).for_each(|_| drop(follower.line(LATER)));
    own.run(&["annotate", "run", "talk-1", "approval.relay.works/last=approved"]);
    let told = follower.finish(LATER);
    assert!(told.status.success() && told.output.ends_with("last\n"), "{}{}", told.output, told.errors);
}

#[test]
fn ctrl_c_ends_a_follower_quietly() {
    let (_relay, _turn) = shared();
    let own = talking("ctrlc");
    let follower = Program::start(&mut relay_logs(&own, &["talk-1", "-f"]));
    (0..4).for_each(|_| drop(follower.line(SOON)));
    follower.signal(Signal::INT);
    let told = follower.finish(SOON);
    assert_eq!((told.status.code(), told.errors.as_str()), (Some(130), ""));
}

#[test]
fn whoever_may_forward_ports_to_the_operator_reads_logs_and_others_are_told_what_they_lack() {
    let (_relay, _turn) = shared();
    let own = talking("rights");
    let folder = tempfile::tempdir().expect("a folder");
    let config = as_user("reader", folder.path());
    let config = config.to_str().expect("text");
    let asked = || told(&own, &["talk-1", "plain", "--kubeconfig", config]);
    let refused = asked();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.errors.contains("the right to list pods in namespace `relay-system`"),
        "{}",
        refused.errors
    );
    let allow = |rules: &str| {
        let text = format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reads-logs, namespace: {SYSTEM}}}
rules: [{rules}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reads-logs, namespace: {SYSTEM}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads-logs}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: reader}}]
"
        );
        well(with_input(kubectl().args(["apply", "-f", "-"]), &text));
    };
    // The API server hears of new rights a moment later.
    let until = |wanted: fn(&Finished) -> bool| {
        let told = (0..50).map(|_| asked()).find(wanted);
        told.unwrap_or_else(|| panic!("it does not come: {}", asked().errors))
    };
    let list = "{apiGroups: [''], resources: [pods], verbs: [list]}";
    allow(list);
    let refused = until(|told| told.errors.contains("no port can be forwarded"));
    assert!(refused.errors.contains("get and create pods/portforward"), "{}", refused.errors);
    allow(&format!("{list}, {{apiGroups: [''], resources: [pods/portforward], verbs: [get, create]}}"));
    let shown = until(|told| told.status.success());
    let mut lines: Vec<&str> = shown.output.lines().collect();
    lines.sort_unstable();
    let uid = own.get("run", "talk-1")["metadata"]["uid"].as_str().expect("a uid").to_owned();
    for words in [uid.as_str(), "the right to get runs.relay.works in namespace"] {
        assert!(shown.errors.contains(words), "{words}: {}", shown.errors);
    }
    assert_eq!(lines, ["err", "out"]);
}
