//! What a user wishes of a run that is on its way: pause, cancel, delete, reject.

use serde_json::Value;

use super::installed::shared;
use super::kubectl::{LATER, Namespace, SOON, condition};
use super::main_job::{POOL, rows_of};

/// A run whose first task waits for a file that `kubectl exec` could make, and never comes.
fn waiting(own: &Namespace) {
    own.apply(&format!(
        "{POOL}apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: wait}}
spec:
  tasks:
    - {{name: long, script: 'sleep 600'}}
    - {{name: after, dependsOn: [long], script: 'echo after'}}
  finally:
    - {{name: last, script: 'echo last'}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: wait-1}}
spec: {{workflowRef: {{name: wait}}}}
"
    ));
    own.until("run", "wait-1", LATER, |run| run["status"]["tasks"]["running"] == 1);
}

fn wish(own: &Namespace, state: &str) {
    let patch = format!("{{\"spec\":{{\"desiredState\":\"{state}\"}}}}");
    own.run(&["patch", "run", "wait-1", "--type=merge", "-p", &patch]);
}

#[test]
fn a_cancelled_run_ends_its_process_and_stays_cancelled() {
    let (relay, _turn) = shared();
    let own = Namespace::new("cancel");
    waiting(&own);
    wish(&own, "Cancelled");
    own.wait("run/wait-1", "Finished", SOON);
    wish(&own, "Running");
    let run = own.get("run", "wait-1");
    let (status, reason, _) = condition(&run, "Succeeded").expect("it is there");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Cancelled"));
    let rows = rows_of(relay, &run);
    let of = |task: &str| rows.tasks[task].status.as_str();
    assert_eq!(
        (rows.status.as_str(), of("long"), of("after"), of("last")),
        ("CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED")
    );
}

#[test]
fn a_run_is_cancelled_with_its_finally_tasks_when_that_is_wished() {
    let (relay, _turn) = shared();
    let own = Namespace::new("cancelfinally");
    waiting(&own);
    wish(&own, "CancelledRunFinally");
    own.wait("run/wait-1", "Finished", SOON);
    let rows = rows_of(relay, &own.get("run", "wait-1"));
    assert_eq!((rows.status.as_str(), rows.tasks["last"].status.as_str()), ("CANCELLED", "SUCCESS"));
}

#[test]
fn a_deleted_run_is_cancelled_and_a_deleted_workflow_leaves_its_runs_whole() {
    let (relay, _turn) = shared();
    let own = Namespace::new("delete");
    waiting(&own);
    own.run(&["delete", "workflow", "wait"]);
    let run = own.get("run", "wait-1");
    assert_eq!(rows_of(relay, &run).status, "RUNNING");
    own.run(&["delete", "run", "wait-1"]);
    super::servers::until("the run's rows are CANCELLED", || rows_of(relay, &run).status == "CANCELLED");
    assert_eq!(rows_of(relay, &run).tasks["long"].status, "CANCELLED");
}

#[test]
fn a_paused_run_starts_nothing_until_it_goes_on() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("pause");
    own.apply(&format!(
        "{POOL}apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: wait}}
spec:
  tasks:
    - {{name: ask, approval: {{message: 'Go?'}}, script: 'echo asked'}}
    - {{name: after, dependsOn: [ask], script: 'echo after'}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: wait-1}}
spec: {{workflowRef: {{name: wait}}}}
"
    ));
    own.until("run", "wait-1", SOON, |run| run["status"]["awaiting"][0]["task"] == "ask");
    wish(&own, "Paused");
    let paused = |run: &Value| condition(run, "Reconciling").is_some_and(|(_, why, _)| why == "Paused");
    own.until("run", "wait-1", SOON, paused);
    own.run(&["annotate", "run", "wait-1", "approval.relay.works/ask=approved"]);
    let ready = own.until("run", "wait-1", SOON, |run| run["status"]["tasks"]["ready"] == 1);
    assert!(paused(&ready), "{ready:#}");
    wish(&own, "Running");
    own.wait("run/wait-1", "Succeeded", LATER);
}

#[test]
fn a_rejected_task_fails_its_run_and_says_who() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("reject");
    own.apply(
        "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: wait}
spec: {tasks: [{name: ask, approval: {message: 'Go?'}, script: 'echo asked'}]}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: wait-1}
spec: {workflowRef: {name: wait}}
",
    );
    own.until("run", "wait-1", SOON, |run| run["status"]["awaiting"][0]["task"] == "ask");
    own.run(&["annotate", "run", "wait-1", "approval.relay.works/ask=rejected"]);
    own.wait("run/wait-1", "Finished", SOON);
    let run = own.get("run", "wait-1");
    assert_eq!(run["status"]["failures"][0]["reason"], "Rejected");
    let (status, _, _) = condition(&run, "Stalled").expect("a failed run is to be looked at");
    assert_eq!(status, "True");
}
