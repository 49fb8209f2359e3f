//! Whether a pool can take tasks, by what its object says.

use relay::crd::status::{ConditionStatus, WorkflowStatus};
use relay::operator::api::ObjectName;
use relay::operator::workers::desired::drain;
use relay::operator::{PoolState, Pools, beyond_drain, workflow_status};
use serde_json::{Value, json};

use super::name;

fn stands(spec: Value, ready: (&str, &str), workers: u32) -> PoolState {
    let (status, reason) = ready;
    PoolState::of(&json!({"spec": spec, "status": {"readyReplicas": workers, "conditions": [{
        "type": "Ready", "status": status, "reason": reason, "message": format!("because of {reason}"),
        "lastTransitionTime": "2027-01-15T08:00:00Z",
    }]}}))
}

#[test]
fn a_timeout_longer_than_its_pool_drains_is_warned_of_and_no_other() {
    let flow = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: one, namespace: data}
spec:
  pool: slow
  tasks:
    - {name: short, pool: quick, command: ['true'], timeout: 50s}
    - {name: endless, pool: quick, command: ['true']}
    - {name: long, command: ['true'], timeout: 2h}
";
    let manifests = relay::crd::load("flow.yaml", flow.as_bytes(), &Default::default());
    let workflow = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0).workflow;
    let grace = |seconds: u64| {
        drain(&json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}}))
    };
    let pools = Pools::default();
    let of = |pool: &str| ObjectName::new("data", pool);
    let warned = || beyond_drain(&workflow, |pool| pools.drain(&of(pool)));
    assert_eq!(warned(), None, "no pool is known");
    pools.drains(&of("quick"), grace(60));
    // An hour, where the template says nothing.
    pools.drains(&of("slow"), drain(&json!({"spec": {}})));
    let said = warned().expect("2 h are longer than one");
    assert!(
        said.contains("task long") && said.contains("7200 s") && said.contains("terminationGrace"),
        "{said}"
    );
    let unread = WorkflowStatus::default();
    let told = workflow_status(1, (&Ok("data/one@0123".to_owned()), Some(&said)), &unread, super::second(0));
    let ready = told.conditions.iter().find(|condition| condition.kind == "Ready").expect("a condition");
    assert!(ready.message.contains(&said) && ready.status == ConditionStatus::True, "{ready:?}");
    pools.drains(&of("slow"), grace(8_000));
    assert_eq!(warned(), None);
}

#[test]
fn a_pool_counts_as_stuck_when_no_worker_can_take_a_task() {
    let spec = || json!({"image": "busybox"});
    assert_eq!(PoolState::of(&json!({"spec": spec()})), PoolState::Works, "nothing is said of it yet");
    for (ready, workers) in [
        (("True", "ScaledToZero"), 0),
        (("True", "WorkersReady"), 2),
        (("False", "WorkersStarting"), 0),
        (("False", "ImagePullFailed"), 1),
    ] {
        assert_eq!(stands(spec(), ready, workers), PoolState::Works, "{ready:?}");
    }
    let because = |reason: &str| format!("because of {reason}");
    let full = PoolState::NoCapacity(because("Unschedulable"));
    assert_eq!(stands(spec(), ("False", "Unschedulable"), 0), full);
    for reason in ["ImagePullFailed", "TemplateRefused", "Invalid", "RedisUnavailable"] {
        assert_eq!(stands(spec(), ("False", reason), 0), PoolState::Stalled(because(reason)));
    }
    let PoolState::NoCapacity(why) = stands(json!({"replicas": 0}), ("True", "ScaledToZero"), 0) else {
        panic!("no worker will ever start")
    };
    assert!(why.contains("spec.replicas"), "{why}");
}

#[test]
fn a_pool_is_missing_once_all_were_told() {
    let pools = Pools::default();
    let mut changes = pools.changes();
    assert_eq!(pools.state(&name()), PoolState::Works);
    pools.complete();
    assert_eq!(pools.state(&name()), PoolState::Missing);
    assert!(changes.has_changed().expect("open"));
    changes.mark_unchanged();
    pools.seen(&name(), PoolState::Works);
    assert!(changes.has_changed().expect("open"));
    changes.mark_unchanged();
    pools.seen(&name(), PoolState::Works);
    assert!(!changes.has_changed().expect("open"), "it stands as before");
    pools.gone(&name());
    assert_eq!(pools.state(&name()), PoolState::Missing);
}
