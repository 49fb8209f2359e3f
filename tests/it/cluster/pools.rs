//! WorkerPools as a user sees them: what is made for them, what is put back, what is said when workers do not start.

use serde_json::{Value, json};

use super::installed::shared;
use super::kubectl::{LATER, Namespace, SOON, condition, is_true, well};
use super::main_job::rows_of;

/// A pool called `pool`, with this beside its image.
fn pool(image: &str, more: &str) -> String {
    format!(
        "apiVersion: relay.works/v1alpha1
kind: WorkerPool
metadata: {{name: pool}}
spec:
  image: '{image}'
  scaleDownDelay: 1s
{more}"
    )
}

fn says(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |pool| condition(pool, "Ready").is_some_and(|(_, why, _)| why == reason)
}

fn message(pool: &Value) -> String {
    condition(pool, "Ready").expect("it is there").2
}

#[test]
fn a_pool_makes_a_deployment_that_goes_with_it() {
    let (relay, _turn) = shared();
    let own = Namespace::new("pool");
    own.apply(&pool("busybox:1.36", "  minReplicas: 1"));
    own.wait("workerpool/pool", "Ready", LATER);
    let ready = own.until("workerpool", "pool", LATER, |pool| pool["status"]["readyReplicas"] == 1);
    assert_eq!(condition(&ready, "Ready").expect("it is there").1, "WorkersReady");
    own.wait("deployment/relay-pool", "Available", SOON);
    let table = own.run(&["get", "rwp", "pool"]);
    assert!(table.contains("busybox:1.36"), "{table}");
    let user = |list: &str| {
        list.contains(&format!("{}/pool", own.name)) || list.contains(&format!("{}.pool", own.name))
    };
    assert!(user(&relay.servers.redis(&["acl", "users"])), "workers have a user of their own");

    own.run(&["delete", "workerpool", "pool"]);
    own.until("deployment", "relay-pool", LATER, Value::is_null);
    own.until("secret", "relay-pool-redis", LATER, Value::is_null);
    own.until("workerpool", "pool", LATER, |_| !user(&relay.servers.redis(&["acl", "users"])));
}

#[test]
fn a_task_goes_on_when_its_pool_is_deleted() {
    let (relay, _turn) = shared();
    let own = Namespace::new("poolgone");
    own.apply(&format!(
        "{}---
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {{name: patient}}
spec:
  pool: pool
  tasks: [{{name: wait, script: 'sleep 8; echo done'}}]
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {{name: patient-1}}
spec: {{workflowRef: {{name: patient}}}}
",
        pool("busybox:1.36", "")
    ));
    own.until("run", "patient-1", LATER, |run| run["status"]["tasks"]["running"] == 1);
    own.run(&["delete", "workerpool", "pool"]);
    own.wait("run/patient-1", "Succeeded", LATER);
    assert_eq!(rows_of(relay, &own.get("run", "patient-1")).tasks["wait"].attempt, 1, "it ran once");
}

#[test]
fn what_is_changed_by_hand_is_put_back_and_a_pool_at_rest_is_left_alone() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("drift");
    own.apply(&pool("busybox:1.36", "  maxReplicas: 2"));
    own.until("workerpool", "pool", SOON, says("ScaledToZero"));
    let made = own.get("deployment", "relay-pool");

    // Without its own command a worker would not be one.
    let broken = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": ["sleep", "1"]}]);
    own.run(&["patch", "deployment", "relay-pool", "--type=json", "-p", &broken.to_string()]);
    let command =
        |deployment: &Value| deployment["spec"]["template"]["spec"]["containers"][0]["command"].clone();
    own.until("deployment", "relay-pool", SOON, |deployment| command(deployment) == command(&made));
    own.run(&["delete", "deployment", "relay-pool"]);
    let again = own.until("deployment", "relay-pool", SOON, |deployment| {
        !deployment.is_null() && deployment["metadata"]["uid"] != made["metadata"]["uid"]
    });
    own.until("deployment", "relay-pool", SOON, |deployment| {
        deployment["status"]["observedGeneration"] == again["metadata"]["generation"]
    });

    // A change that changes nothing about the workers is seen, and writes nothing to them.
    let before = own.get("deployment", "relay-pool");
    own.apply(&pool("busybox:1.36", "  maxReplicas: 3"));
    own.until("workerpool", "pool", SOON, |pool| pool["status"]["observedGeneration"] == 2);
    let after = own.get("deployment", "relay-pool");
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
}

#[test]
fn a_pool_is_scaled_by_hand_like_a_deployment() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("hand");
    own.apply(&pool("busybox:1.36", "  slotsPerWorker: 1"));
    own.until("workerpool", "pool", SOON, says("ScaledToZero"));
    own.run(&["scale", "workerpool", "pool", "--replicas=2"]);
    own.until("workerpool", "pool", LATER, |pool| pool["status"]["readyReplicas"] == 2);
    own.run(&["scale", "workerpool", "pool", "--replicas=1"]);
    own.until("workerpool", "pool", LATER, |pool| pool["status"]["replicas"] == 1);
    own.run(&["scale", "workerpool", "pool", "--replicas=0"]);
    own.until("workerpool", "pool", LATER, |pool| pool["status"]["replicas"] == 0);
    own.until("workerpool", "pool", SOON, says("NoReplicas"));
}

#[test]
fn why_workers_do_not_start_is_said_on_the_pool_until_it_is_mended() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("image");
    let template = "  minReplicas: 1
  template: {spec: {containers: [{name: worker, imagePullPolicy: Never}]}}";
    own.apply(&pool("nobody/has:this", template));
    let stalled = own.until("workerpool", "pool", LATER, says("ImageMissing"));
    assert!(is_true(&stalled, "Stalled"));
    assert!(message(&stalled).contains("nobody/has:this"), "{}", message(&stalled));
    let events = own.events("pool");
    assert!(events.iter().any(|(reason, _)| reason == "ImageMissing"), "{events:?}");
    own.apply(&pool("busybox:1.36", template));
    let mended = own.until("workerpool", "pool", LATER, says("WorkersReady"));
    assert!(!is_true(&mended, "Stalled"));
    own.until("workerpool", "pool", SOON, |_| {
        own.events("pool").iter().any(|(reason, _)| reason == "Mended")
    });
}

#[test]
fn a_template_that_the_server_refuses_is_told_with_its_path() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("template");
    own.apply(&pool(
        "busybox:1.36",
        "  template: {spec: {containers: [{name: worker, resources: {limits: {memory: lots}}}]}}",
    ));
    let refused = own.until("workerpool", "pool", SOON, says("TemplateRefused"));
    assert!(is_true(&refused, "Stalled"));
    assert!(message(&refused).contains("quantities must match"), "{}", message(&refused));
    own.apply(&pool("busybox:1.36", "  template: {spec: {nodeSelectors: {disk: ssd}}}"));
    let misspelt = own.until("workerpool", "pool", SOON, |pool| {
        says("TemplateRefused")(pool) && message(pool).contains("nodeSelectors")
    });
    assert!(message(&misspelt).contains("spec.template.spec.nodeSelectors"), "{}", message(&misspelt));
    own.apply(&pool("busybox:1.36", "  template: {spec: {nodeSelector: {kubernetes.io/os: linux}}}"));
    own.until("workerpool", "pool", SOON, says("ScaledToZero"));
    let deployment = own.get("deployment", "relay-pool");
    assert_eq!(deployment["spec"]["template"]["spec"]["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
}

#[test]
fn a_deployment_of_somebody_else_is_left_alone() {
    let (_relay, _turn) = shared();
    let own = Namespace::new("taken");
    let labels =
        "app.kubernetes.io/managed-by=relay,app.kubernetes.io/name=relay-worker,relay.works/pool=pool";
    own.run(&["create", "deployment", "relay-pool", "--image=busybox:1.36", "--replicas=0"]);
    for label in labels.split(',') {
        own.run(&["label", "deployment", "relay-pool", label]);
    }
    let theirs = own.get("deployment", "relay-pool");
    own.apply(&pool("busybox:1.36", ""));
    let taken = own.until("workerpool", "pool", SOON, says("NameTaken"));
    assert!(message(&taken).contains("relay-pool"), "{}", message(&taken));
    assert_eq!(own.get("deployment", "relay-pool")["spec"], theirs["spec"]);
    well(own.kubectl(&["delete", "deployment", "relay-pool"]).output().expect("kubectl starts"));
    own.until("workerpool", "pool", SOON, says("ScaledToZero"));
}
