//! What is said of a pool.

use relay::conductor::Demand;
use relay::crd::status::{Condition, ConditionStatus, WorkerPoolStatus};
use relay::operator::workers::{
    deployments::Live,
    pods::Problem,
    status::{Numbers, Verdict, events, status, verdict},
};

use crate::support::jobs::second;

fn live(pods: u32, ready: u32) -> Live {
    Live { pods, ready, updated: pods, asked: pods, observed: true, ..Live::default() }
}

fn problem(stalls: bool) -> Problem {
    Problem { stalls, reason: "ImagePullFailed", message: "the image is not there".to_owned() }
}

fn marks(verdict: &Verdict) -> (&str, bool, bool, bool) {
    (verdict.reason, verdict.ready, verdict.reconciling, verdict.stalled)
}

#[test]
fn a_pool_is_ready_when_it_can_take_tasks_now_or_from_zero() {
    let told = |live: &Live, replicas, wanted, problem: Option<&Problem>| {
        let verdict = verdict(live, (replicas, None), wanted, problem);
        let (reason, ready, reconciling, stalled) = marks(&verdict);
        (reason.to_owned(), ready, reconciling, stalled)
    };
    let is = |reason: &str, ready, reconciling, stalled| (reason.to_owned(), ready, reconciling, stalled);
    assert_eq!(told(&live(0, 0), 0, 0, None), is("ScaledToZero", true, false, false));
    assert_eq!(told(&live(2, 2), 2, 2, None), is("WorkersReady", true, false, false));
    assert_eq!(told(&live(2, 1), 2, 2, None), is("WorkersReady", true, true, false));
    assert_eq!(told(&live(0, 0), 2, 2, None), is("WorkersStarting", false, true, false));
    // The last one is retired: nothing is missing.
    assert_eq!(told(&live(1, 0), 1, 0, None), is("Idle", true, false, false));
    assert_eq!(told(&live(5, 2), 5, 2, None), is("WorkersReady", true, false, false));
    assert_eq!(told(&live(1, 0), 1, 1, Some(&problem(true))), is("ImagePullFailed", false, false, true));
    assert_eq!(told(&live(2, 1), 2, 2, Some(&problem(true))), is("ImagePullFailed", false, false, true));
    assert_eq!(told(&live(2, 1), 2, 2, Some(&problem(false))), is("ImagePullFailed", true, true, false));
    let by_hand = verdict(&live(0, 0), (0, Some(0)), 0, None);
    assert_eq!(marks(&by_hand), ("NoReplicas", false, false, false), "the first task starts none");
    // A problem of a pod that nobody needs is none.
    assert_eq!(told(&live(2, 1), 2, 1, Some(&problem(true))), is("WorkersReady", true, false, false));
}

fn said(before: &WorkerPoolStatus, verdict: &Verdict, at: i64) -> WorkerPoolStatus {
    let numbers = Numbers { wanted: 2, demand: Demand { ready: 1, queued: 2, running: 3 } };
    status(("default", 4), verdict, (Some(&live(2, 1)), Some(numbers)), before, second(at))
}

fn condition<'a>(status: &'a WorkerPoolStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

#[test]
fn a_status_has_the_numbers_and_its_conditions_move_only_with_what_they_say() {
    let first = said(&WorkerPoolStatus::default(), &verdict(&live(2, 0), (2, None), 2, None), 0);
    assert_eq!(
        (first.wanted, first.waiting, first.queued, first.running),
        (Some(2), Some(1), Some(2), Some(3))
    );
    assert_eq!(
        (first.replicas, first.ready_replicas, first.observed_generation),
        (Some(2), Some(1), Some(4))
    );
    assert_eq!(
        first.selector.as_deref(),
        Some("app.kubernetes.io/managed-by=relay,relay.works/pool=default")
    );
    assert_eq!(condition(&first, "Ready").expect("always").status, ConditionStatus::False);
    assert_eq!(condition(&first, "Reconciling").expect("on its way").status, ConditionStatus::True);
    assert_eq!(condition(&first, "Stalled"), None);
    assert_eq!(
        said(&first, &verdict(&live(2, 0), (2, None), 2, None), 9),
        first,
        "said again it is the same"
    );
    let second_ = said(&first, &verdict(&live(2, 2), (2, None), 2, None), 9);
    assert_eq!(condition(&second_, "Ready").expect("always").last_transition_time, second(9));
}

#[test]
fn an_event_tells_when_a_pool_needs_mending_and_when_it_was() {
    let none = WorkerPoolStatus::default();
    let broken = Verdict::stalled("TemplateRefused", "spec.template: no".to_owned());
    let told = events(&none, &broken);
    assert_eq!((told[0].reason, told[0].warning), ("TemplateRefused", true));
    let stalled = said(&none, &broken, 0);
    assert_eq!(events(&stalled, &broken), [], "once");
    let well = verdict(&live(2, 2), (2, None), 2, None);
    assert_eq!(events(&stalled, &well)[0].reason, "Mended");
    assert_eq!(events(&said(&none, &well, 0), &well), []);
}
