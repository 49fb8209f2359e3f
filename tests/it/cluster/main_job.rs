//! The main job, as a user does it: apply, look, approve, read logs, look again.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::installed::{Installed, readme, shared, shell};
use super::kubectl::{LATER, Namespace, SOON, condition, is_true};
use super::rows;
use crate::support::{Program, from_bed, relay, repository};

/// A pool of busybox workers that goes to zero soon.
pub const POOL: &str = "
apiVersion: relay.works/v1alpha1
kind: WorkerPool
metadata: {name: default}
spec: {image: 'busybox:1.36', slotsPerWorker: 4, maxReplicas: 2, scaleDownDelay: 2s}
---
";

/// `relay logs` for the bed's cluster.
pub fn relay_logs(namespace: &Namespace, arguments: &[&str]) -> Command {
    let mut command = relay();
    command
        .env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG"))
        .args(["logs", "-n", &namespace.name])
        .args(arguments);
    command
}

#[track_caller]
fn logs_of(namespace: &Namespace, arguments: &[&str]) -> String {
    let told = Program::start(&mut relay_logs(namespace, arguments)).finish(SOON);
    assert!(told.status.success(), "{}{}", told.output, told.errors);
    told.output
}

/// Its rows, by the Run object.
#[track_caller]
pub fn rows_of(relay: &Installed, run: &Value) -> rows::Rows {
    let id = run["metadata"]["uid"].as_str().expect("a uid");
    rows::of_run(&relay.servers.postgres_url(), id).unwrap_or_else(|| panic!("no rows of {id}"))
}

#[test]
fn the_examples_apply_as_they_are_and_go_their_way() {
    let (relay, _turn) = shared();
    let own = Namespace::new("examples");
    let folder = repository("examples");
    own.run(&["apply", "-f", folder.to_str().expect("text")]);

    for workflow in own.list("workflows") {
        let name = workflow["metadata"]["name"].as_str().expect("a name");
        own.wait(&format!("workflow/{name}"), "Ready", SOON);
    }
    let workflow = own.get("workflow", "release");
    let revision = workflow["status"]["revision"].as_str().expect("a revision");
    assert!(revision.starts_with(&format!("{}/release@", own.name)), "{revision}");

    own.wait("run/greet-world", "Succeeded", LATER);
    own.wait("run/greet-crew", "Finished", LATER);
    assert!(logs_of(&own, &["greet-crew"]).contains("Ahoy, crew!"));

    let asks =
        |run: &Value| condition(run, "Reconciling").is_some_and(|(_, why, _)| why == "AwaitingApproval");
    let run = own.until("run", "release-1", LATER, asks);
    let asking = &run["status"]["awaiting"][0];
    assert_eq!(asking["task"], "publish");
    assert_eq!(asking["message"], "Publish app-1.4.2.tar after 42 tests?");
    assert_eq!(condition(&run, "Succeeded").expect("always there").0, "Unknown");
    let blocked = rows_of(relay, &run);
    assert_eq!((blocked.status.as_str(), blocked.tasks["publish"].status.as_str()), ("RUNNING", "BLOCKED"));

    own.run(&["annotate", "run", "release-1", "approval.relay.works/publish=approved"]);
    own.wait("run/release-1", "Succeeded", SOON);
    let run = own.get("run", "release-1");
    assert_eq!(condition(&run, "Finished").expect("always there").0, "True");
    assert_eq!(run["status"]["tasks"]["succeeded"], 4);
    let rows = rows_of(relay, &run);
    assert_eq!(rows.status, "SUCCESS");
    for (task, row) in &rows.tasks {
        assert_eq!((row.status.as_str(), row.attempt, row.successes), ("SUCCESS", 1, 1), "{task}");
    }
    let text = logs_of(&own, &["release-1"]);
    assert!(text.contains("building 1.4.2") && text.contains("published app-1.4.2.tar"), "{text}");
    assert!(!logs_of(&own, &["release-1", "build"]).contains("published"), "only of one task");

    let reasons: Vec<String> = own.events("release-1").into_iter().map(|(reason, _)| reason).collect();
    for wanted in ["AwaitingApproval", "Succeeded"] {
        assert!(reasons.iter().any(|r| r == wanted), "{wanted} is not in {reasons:?}");
    }
    let table = own.run(&["get", "rr", "release-1"]);
    assert!(table.contains("4/4") && table.contains("Succeeded"), "{table}");
    // Twice is once: nothing is written again.
    let before = own.get("run", "release-1");
    own.run(&["apply", "-f", folder.to_str().expect("text")]);
    let after = own.get("run", "release-1");
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    assert_eq!(
        own.get("workflow", "release")["metadata"]["resourceVersion"],
        workflow["metadata"]["resourceVersion"]
    );
}

#[test]
fn logs_are_followed_until_the_run_has_ended() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("follow");
    own.apply(&format!(
        "{POOL}apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: talk}}
spec:
  tasks:
    - {{name: first, script: 'echo one'}}
    - {{name: second, dependsOn: [first], approval: {{message: 'Go on?'}}, script: 'echo two'}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: talk-1}}
spec: {{workflowRef: {{name: talk}}}}
"
    ));
    own.until("run", "talk-1", SOON, |run| run["status"]["state"].is_string());
    let follower = Program::start(&mut relay_logs(&own, &["talk-1", "-f"]));
    assert!(follower.line(LATER).ends_with("one"));
    own.until("run", "talk-1", SOON, |run| run["status"]["awaiting"][0]["task"] == "second");
    own.run(&["annotate", "run", "talk-1", "approval.relay.works/second=approved"]);
    assert!(follower.line(SOON).ends_with("two"));
    let told = follower.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
}

#[test]
fn a_pool_grows_from_zero_and_goes_back_without_ending_a_busy_worker() {
    let (relay, _turn) = shared();
    let own = Namespace::new("scale");
    let pool = "apiVersion: relay.works/v1alpha1
kind: WorkerPool
metadata: {name: default}
spec: {image: 'busybox:1.36', slotsPerWorker: 1, maxReplicas: 3, scaleDownDelay: 1s}
";
    own.apply(pool);
    let at = |workers: u64| {
        move |pool: &Value| {
            pool["status"]["replicas"].as_u64().unwrap_or(0) == workers
                && pool["status"]["observedGeneration"] == 1
        }
    };
    own.until("workerpool", "default", SOON, at(0));
    own.apply(
        "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: uneven}
spec:
  tasks:
    - {name: long, script: 'i=0; while [ $i -lt 150 ]; do [ -f stop ] && exit; sleep 0.1; i=$((i+1)); done; echo through'}
    - {name: short, script: 'sleep 1'}
    - {name: brief, script: 'sleep 1'}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: uneven-1}
spec: {workflowRef: {name: uneven}}
",
    );
    own.until("workerpool", "default", LATER, at(3));
    // Two of three have nothing to do any longer, and go; the third one works on.
    own.until("workerpool", "default", LATER, at(1));
    own.wait("run/uneven-1", "Succeeded", LATER);
    let rows = rows_of(relay, &own.get("run", "uneven-1"));
    assert!(rows.tasks.values().all(|row| row.attempt == 1), "a busy worker was ended: {rows:?}");
    own.until("workerpool", "default", LATER, at(0));
    assert_eq!(own.get("deployment", "relay-default")["spec"]["replicas"], 0);
}

#[test]
fn what_is_wrong_is_said_where_it_is_and_stops_nobody_else() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("broken");
    let broken = |n: usize| {
        format!(
            "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: broken-{n}}}
spec:
  tasks:
    - {{name: a, command: ['true'], when: 'tasks.nobody.outputs.x == 1'}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: broken-{n}}}
spec: {{workflowRef: {{name: broken-{n}}}}}
---
"
        )
    };
    let all: String = (0..50).map(broken).collect();
    own.apply(&format!(
        "{all}{POOL}apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: good}}
spec: {{tasks: [{{name: a, command: [echo, fine]}}], params: [{{name: count, type: integer, default: 1}}]}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: good}}
spec: {{workflowRef: {{name: good}}}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: bad-params}}
spec: {{workflowRef: {{name: good}}, params: {{count: many, other: 1}}}}
"
    ));
    own.wait("run/good", "Succeeded", LATER);
    for n in [0, 49] {
        let name = format!("broken-{n}");
        let workflow = own.until("workflow", &name, SOON, |w| is_true(w, "Stalled"));
        let (status, reason, message) = condition(&workflow, "Ready").expect("it is there");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "Invalid"));
        assert!(message.contains("spec.tasks[0].when") && message.contains("nobody"), "{message}");
        let run = own.until("run", &name, SOON, |r| condition(r, "Finished").is_some());
        let (status, reason, _) = condition(&run, "Finished").expect("it is there");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "WorkflowInvalid"));
    }
    own.wait("run/bad-params", "Finished", SOON);
    let run = own.get("run", "bad-params");
    let (status, reason, message) = condition(&run, "Succeeded").expect("it is there");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidParams"));
    assert!(message.contains("spec.params.count"), "{message}");
    assert!(is_true(&run, "Stalled"));
    let noted = own.events("broken-0");
    assert!(noted.iter().any(|(_, note)| note.contains("spec.tasks[0].when")), "{noted:?}");
}

#[test]
fn a_mended_workflow_lets_its_run_go_on() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("mended");
    let workflow = |program: &str| {
        format!(
            "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: late}}
spec: {{tasks: [{{name: a, {program}}}]}}
"
        )
    };
    own.apply(
        "apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: late-1}
spec: {workflowRef: {name: late}}
",
    );
    let reason_is = |wanted: &'static str| {
        move |run: &Value| condition(run, "Finished").is_some_and(|(_, why, _)| why == wanted)
    };
    own.until("run", "late-1", SOON, reason_is("WorkflowMissing"));
    own.apply(&workflow("command: ['true'], when: 'params.nothing'"));
    own.until("run", "late-1", SOON, reason_is("WorkflowInvalid"));
    own.apply(&workflow("command: ['true']"));
    own.until("run", "late-1", SOON, reason_is("PoolMissing"));
    own.apply(POOL.trim_end_matches("---\n"));
    own.wait("run/late-1", "Succeeded", Duration::from_secs(120));
}

#[test]
fn the_readme_leads_from_nothing_to_a_finished_run() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("readme");
    // The README's reader is in a namespace of their own.
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("kubeconfig");
    std::fs::copy(from_bed("RELAY_TEST_KUBECONFIG"), &config).expect("a copy");
    let config = config.to_str().expect("text");
    let enter = format!("kubectl config set-context --current --namespace={}", own.name);
    for command in std::iter::once(&enter).chain(&readme()[3..]) {
        let output = shell(command, config);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(is_true(&own.get("run", "release-1"), "Finished"), "the last command waits for it");
    own.wait("run/release-1", "Succeeded", SOON);
}
