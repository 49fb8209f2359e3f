//! Two and three operators by the chart, two of which lead at a time: one that leads is killed, and the runs of its part go on.

use std::process::Output;

use relay::model::ids::ShardId;
use serde_json::Value;

use super::faults::{all_landed, kill, pods, take_off};
use super::installed::{Installed, SYSTEM, alone, logs, shell};
use super::kubectl::{Namespace, kubectl, well};
use super::rows;
use super::servers::until;
use crate::support::from_bed;

/// What the chart gives to the operators.
const OPERATORS: &str = "app.kubernetes.io/name=relay";

/// The installation with more operators than one, until the value goes.
struct Grown;

fn upgrade(values: &str) -> Output {
    let command = format!(
        "helm upgrade relay charts/relay --namespace {SYSTEM} --reuse-values {values} --wait --timeout 3m"
    );
    shell(&command, &from_bed("RELAY_TEST_KUBECONFIG"))
}

impl Grown {
    #[track_caller]
    fn new(replicas: u32) -> Grown {
        let grown = Grown;
        grown.to(replicas);
        grown
    }

    /// So many operators, two of which lead.
    #[track_caller]
    fn to(&self, replicas: u32) {
        let output = upgrade(&format!("--set replicas={replicas} --set leaders=2"));
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), logs());
    }
}

impl Drop for Grown {
    fn drop(&mut self) {
        let output = upgrade("--set replicas=1 --set leaders=1");
        if !output.status.success() {
            eprintln!("the installation is not as it was: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Two lead, each a half.
#[track_caller]
fn two_lead(relay: &Installed) -> Vec<String> {
    let url = relay.servers.postgres_url();
    until("two operators lead a half each", || rows::leaders(&url).values().eq(&[32, 32]));
    rows::leaders(&url).into_keys().collect()
}

/// A namespace of this half of the shards.
fn of_half(half: u8) -> Namespace {
    let is_of = |own: &Namespace| ShardId::of_namespace(&own.name).number() / 32 == half;
    (0..100).map(|_| Namespace::new("parts")).find(is_of).expect("one of many")
}

#[test]
fn one_of_two_leaders_is_killed_and_the_runs_of_both_parts_end() {
    let (relay, _turn) = alone();
    let grown = Grown::new(2);
    two_lead(relay);
    grown.to(3);
    let before = two_lead(relay);
    let owns = [of_half(0), of_half(1)];
    owns.iter().for_each(take_off);
    let name = |pod: &Value| pod["metadata"]["name"].as_str().expect("a name").to_owned();
    let mut victims = pods(SYSTEM, OPERATORS);
    assert_eq!(victims.len(), 3);
    victims.retain(|pod| before[0].starts_with(&format!("{}-", name(pod))));
    assert_eq!(victims.len(), 1, "{before:?}");
    kill(&victims);
    owns.iter().for_each(|own| all_landed(relay, own));
    let after = two_lead(relay);
    assert!(!after.contains(&before[0]), "{before:?} {after:?}");
    let budget =
        ["-n", SYSTEM, "get", "poddisruptionbudget", "relay", "-o", "jsonpath={.spec.maxUnavailable}"];
    assert_eq!(well(kubectl().args(budget).output().expect("kubectl starts")), "1");
}
