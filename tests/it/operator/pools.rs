//! Whether a pool can take tasks, by what its object says.

use relay::operator::{PoolState, Pools};
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
