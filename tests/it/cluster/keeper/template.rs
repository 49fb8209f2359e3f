//! Templates that are refused, and those of another Relay: what becomes of the workers that there are.

use relay::queue::Jobs;
use serde_json::Value;

use super::{pool, rig::Rig};
use crate::cluster::kubectl::{condition, is_true};
use crate::support::jobs::{report, success};

#[test]
fn a_template_that_is_refused_stops_no_scaling() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool(""));
    rig.demand(1);
    rig.until_asked(1);
    rig.workers_start();
    rig.until_says("WorkersReady");
    let made = rig.get("deployment", "relay-pool");

    rig.apply(&pool("  template: {spec: {nodeSelectors: {disk: ssd}}}"));
    let words = rig.until_says("TemplateRefused");
    assert!(words.contains("nodeSelectors") && words.contains("1 workers are ready"), "{words}");
    let refused = rig.get("workerpool", "pool");
    assert!(is_true(&refused, "Stalled"));
    assert_eq!(condition(&refused, "Ready").expect("always").0, "True", "it takes tasks as before");
    rig.demand(3);
    let more = rig.until_asked(3);
    assert_eq!(more["spec"]["template"], made["spec"]["template"]);
    assert_eq!(more["metadata"]["ownerReferences"], made["metadata"]["ownerReferences"]);
    // Nor does one that knows only what is there.
    rig.stop();
    rig.demand(4);
    rig.start("relay:1");
    assert_eq!(rig.until_asked(4)["spec"]["template"], made["spec"]["template"]);
    rig.demand(0);
    rig.until_asked(0);

    rig.apply(&pool("  template: {spec: {nodeSelector: {disk: ssd}}}"));
    rig.until_says("ScaledToZero");
    let mended = rig.get("deployment", "relay-pool");
    assert_eq!(mended["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    assert_eq!(mended["spec"]["replicas"], 0);
    rig.demand(2);
    rig.until_asked(2);
}

fn installs(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["initContainers"][0]["image"]
}

#[test]
fn another_relay_leaves_busy_workers_what_they_are() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool(""));
    rig.demand(1);
    rig.until_asked(1);
    rig.workers_start();
    rig.until_says("WorkersReady");
    let worker = rig.worker();
    let job = rig.give(&worker);
    let made = rig.get("deployment", "relay-pool");

    rig.stop();
    rig.start("relay:2");
    rig.wait("it says that it waits", || rig.until_says("WorkersReady").contains("once they are idle"));
    rig.demand(2);
    let more = rig.until_asked(2);
    assert_eq!(more["spec"]["template"], made["spec"]["template"]);
    rig.workers_start();
    // A task is done with when its end is committed: its worker still holds it.
    rig.demand(0);
    rig.until("workerpool", "pool", |pool| pool["status"]["running"] == 0);
    assert_eq!(installs(&rig.get("deployment", "relay-pool")), "relay:1");
    // The conductor settles it.
    let told = worker.report(report("relay-pool-0-w", &job, success()));
    rig.runtime.block_on(told).expect("told");
    rig.until("deployment", "relay-pool", |made| installs(made) == "relay:2");
}

#[test]
fn what_a_user_changes_reaches_busy_workers_and_brings_the_newer_relay_along() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool(""));
    rig.demand(1);
    rig.until_asked(1);
    rig.workers_start();
    rig.until_says("WorkersReady");
    rig.stop();
    rig.start("relay:2");
    rig.wait("it says that it waits", || rig.until_says("WorkersReady").contains("once they are idle"));
    rig.apply(&pool("  template: {metadata: {annotations: {take: newer}}}"));
    rig.until("deployment", "relay-pool", |made| installs(made) == "relay:2");
}
