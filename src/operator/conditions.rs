//! Conditions: what waits on an object (`kubectl wait`, Flux, Argo CD) reads these and nothing else.

use jiff::Timestamp;

use crate::crd::status::{Condition, ConditionStatus};

/// What is to be said of an object, in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Why, in one word.
    pub reason: String,
    /// Why, in words for people.
    pub message: String,
    /// Is it on its way?
    pub reconciling: bool,
    /// Must somebody mend it?
    pub stalled: bool,
}

/// Conditions of a Run: `Succeeded` and `Finished` always, `Reconciling` and `Stalled` while they hold.
pub fn of_run(
    succeeded: ConditionStatus,
    standing: &Standing,
    generation: i64,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let finished = match succeeded {
        ConditionStatus::Unknown => ConditionStatus::False,
        ConditionStatus::True | ConditionStatus::False => ConditionStatus::True,
    };
    let always = [("Succeeded", succeeded), ("Finished", finished)];
    told(&always, standing, generation, before, now)
}

/// Conditions of a Workflow: `Ready` always, `Reconciling` and `Stalled` while they hold.
pub fn of_workflow(
    ready: bool,
    standing: &Standing,
    generation: i64,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let ready = if ready { ConditionStatus::True } else { ConditionStatus::False };
    told(&[("Ready", ready)], standing, generation, before, now)
}

fn told(
    always: &[(&str, ConditionStatus)],
    standing: &Standing,
    generation: i64,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let held = [("Reconciling", standing.reconciling), ("Stalled", standing.stalled)];
    let held = held.into_iter().filter(|(_, holds)| *holds).map(|(kind, _)| (kind, ConditionStatus::True));
    let condition = |(kind, status): (&str, ConditionStatus)| {
        let same = before.iter().find(|known| known.kind == kind && known.status == status);
        Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time: same.map_or(now, |known| known.last_transition_time),
            reason: standing.reason.clone(),
            message: standing.message.clone(),
        }
    };
    always.iter().copied().chain(held).map(condition).collect()
}

/// Has the object of these conditions ended?
pub fn finished(conditions: &[Condition]) -> bool {
    conditions.iter().any(|known| known.kind == "Finished" && known.status == ConditionStatus::True)
}
