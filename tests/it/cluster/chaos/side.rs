//! A namespace beside the one under load, which is deleted while a run is at work in it.

use std::path::Path;

use serde_json::json;

use super::house::{House, namespace};

/// Its run ends as CANCELLED in Postgres, and nothing of its pool stays under way in Redis.
pub fn deleted_in_mid_run(house: &mut House) {
    let name = format!("side-{}", &uuid::Uuid::now_v7().simple().to_string()[20..]);
    house.apply(&name, &namespace(&name));
    let go_on = house.folder.path().join(&name);
    house.apply(&name, &manifests(&go_on));
    let own = |what: &str| format!("select count(*) from runs where namespace = '{name}' and {what}");
    let at_work = format!(
        "select count(*) from task_runs t join runs r on r.id = t.run_id where r.namespace = '{name}' and t.status = 'RUNNING'"
    );
    let mut worker = house.worker_of(&name);
    house.until("the run beside is at work", |house| house.number(&at_work) == Some(1));
    delete(house, &name);
    house.until("the run beside is cancelled", |house| house.number(&own("status = 'CANCELLED'")) == Some(1));
    std::fs::write(go_on, "").expect("a file");
    worker.kill();
}

fn manifests(go_on: &Path) -> String {
    let script = format!("until [ -e {} ]; do sleep 0.1; done", go_on.display());
    let objects = [
        json!({"kind": "WorkerPool", "metadata": {"name": "pool"}, "spec": {"image": "none:1", "replicas": 1}}),
        json!({"kind": "Workflow", "metadata": {"name": "waits"}, "spec": {
            "pool": "pool", "tasks": [{"name": "waits", "script": script}]}}),
        json!({"kind": "Run", "metadata": {"name": "waits"}, "spec": {"workflowRef": {"name": "waits"}}}),
    ];
    let of_relay = objects.map(|mut object| {
        object["apiVersion"] = json!("relay.works/v1alpha1");
        object.to_string()
    });
    of_relay.join("\n---\n")
}

/// What the controller of namespaces does, which is not there: everything in it goes, then itself.
fn delete(house: &mut House, name: &str) {
    house.insist(&["delete", "namespace", name, "--wait=false"], "");
    for kind in ["runs", "workflows", "workerpools", "deployments", "secrets", "events.events.k8s.io"] {
        house.insist(&["-n", name, "delete", kind, "--all", "--wait=false"], "");
    }
    let empty = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
    let path = format!("/api/v1/namespaces/{name}/finalize");
    house.insist(&["replace", "--raw", &path, "-f", "-"], &empty.to_string());
}
