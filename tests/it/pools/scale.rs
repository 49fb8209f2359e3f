//! How many workers there should be, and the way there.

use std::time::Duration;

use relay::conductor::Demand;
use relay::operator::workers::scale::{Peak, Seen, Step, Tell, step, wanted};
use serde_json::json;

use super::pool;
use crate::support::jobs::second;

fn demand(ready: usize, queued: usize, running: usize) -> Demand {
    Demand { ready, queued, running }
}

/// Workers of a Deployment at rest, each idle and ready.
fn at_rest(workers: u32) -> Seen {
    Seen { asked: Some(workers), rests: true, pods: workers, ..Seen::default() }
}

fn next(seen: Seen, wanted: u32) -> Step {
    step(seen, wanted, Some(wanted), second(0))
}

#[test]
fn workers_are_wanted_for_every_task_that_runs_or_may_run() {
    let spec = pool(json!({"slotsPerWorker": 4, "maxReplicas": 5})).spec;
    let cases =
        [((0, 0, 0), 0), ((1, 0, 0), 1), ((0, 4, 0), 1), ((2, 2, 1), 2), ((0, 0, 20), 5), ((900, 0, 0), 5)];
    for ((ready, queued, running), workers) in cases {
        assert_eq!(wanted(&spec, demand(ready, queued, running)), workers, "{ready} {queued} {running}");
    }
    let kept = pool(json!({"minReplicas": 2})).spec;
    assert_eq!(wanted(&kept, demand(0, 0, 0)), 2);
    let manual = pool(json!({"replicas": 3, "maxReplicas": 1})).spec;
    assert_eq!((wanted(&manual, demand(0, 0, 0)), wanted(&manual, demand(99, 0, 0))), (3, 3));
}

#[test]
fn it_grows_at_once() {
    assert_eq!(
        next(Seen::default(), 2),
        Step { replicas: 2, ..Step::default() },
        "there is no Deployment yet"
    );
    assert_eq!(next(at_rest(0), 3).replicas, 3);
    let moving = Seen { rests: false, pods: 1, retired: 1, ..at_rest(2) };
    assert_eq!(next(moving, 5), Step { replicas: 5, tell: vec![Tell::Recall], again: None });
}

#[test]
fn it_shrinks_by_the_workers_that_were_seen_to_have_gone_idle() {
    let first = next(at_rest(5), 2);
    assert_eq!((first.replicas, &first.tell[..]), (5, &[Tell::Retire(3)][..]), "none is unready yet");
    let again = first.again.expect("it looks again");
    assert!(again > second(0));

    let some = next(Seen { retired: 2, idle: 2, ..at_rest(5) }, 2);
    assert_eq!((some.replicas, &some.tell[..]), (3, &[Tell::Retire(3)][..]), "two of three are out");
    let all = next(Seen { retired: 3, idle: 3, ..at_rest(5) }, 2);
    assert_eq!((all.replicas, all.tell.len()), (2, 0));
    let more = next(Seen { retired: 4, idle: 4, ..at_rest(5) }, 2);
    assert_eq!(
        (more.replicas, &more.tell[..]),
        (2, &[Tell::Recall, Tell::Retire(3)][..]),
        "one is needed again"
    );
}

#[test]
fn nobody_is_recalled_while_the_retired_are_on_their_way_out() {
    let going = Seen { rests: false, pods: 5, retired: 3, idle: 3, ..at_rest(2) };
    let step = next(going, 2);
    assert_eq!((step.replicas, step.tell.len()), (2, 0));
    assert!(step.again.is_some());
    let settled = Seen { retired: 1, ..at_rest(2) };
    assert_eq!(next(settled, 2).tell, [Tell::Recall], "whoever survived");
    assert_eq!(next(at_rest(2), 2), Step { replicas: 2, ..Step::default() });
}

#[test]
fn demand_that_comes_back_recalls_at_once() {
    let retiring = Seen { retired: 3, idle: 1, ..at_rest(5) };
    assert_eq!(next(retiring, 5).tell, [Tell::Recall]);
    assert_eq!(next(retiring, 7), Step { replicas: 7, tell: vec![Tell::Recall], again: None });
}

#[test]
fn a_busy_worker_that_looks_unready_stops_the_way_down() {
    let seen = Seen { retired: 3, idle: 3, busy_unready: 1, ..at_rest(5) };
    assert_eq!(next(seen, 2).replicas, 5, "a ReplicaSet might take it first");
}

#[test]
fn while_two_templates_are_about_only_a_pool_that_is_idle_as_a_whole_shrinks() {
    let rolling = Seen { rests: false, pods: 4, retired: 1, idle: 1, ..at_rest(3) };
    assert_eq!(next(rolling, 0).replicas, 3);
    let stuck = Seen { rests: false, pods: 4, idle: 4, ..at_rest(3) };
    assert_eq!(next(stuck, 0).replicas, 0, "none of them ever started");
    let never_made = Seen { rests: false, pods: 0, ..at_rest(3) };
    assert_eq!(next(never_made, 1).replicas, 1);
}

#[test]
fn the_most_that_was_wanted_within_the_delay_is_kept() {
    let delay = Duration::from_secs(60);
    let mut peak = Peak::default();
    assert_eq!(peak.note(second(0), 5, delay).0, None, "of the time before nothing is known");
    assert_eq!(peak.note(second(60), 5, delay), (Some(5), None));
    // Five were wanted until now.
    assert_eq!(peak.note(second(100), 2, delay), (Some(5), Some(second(160))));
    assert_eq!(peak.note(second(130), 4, delay), (Some(5), Some(second(160))));
    assert_eq!(peak.note(second(140), 1, delay), (Some(5), Some(second(160))));
    assert_eq!(peak.note(second(160), 1, delay), (Some(4), Some(second(200))));
    assert_eq!(peak.note(second(200), 1, delay), (Some(1), None));
    assert_eq!(peak.note(second(201), 9, delay), (Some(9), None));
    let mut none = Peak::default();
    assert_eq!(none.note(second(0), 3, Duration::ZERO), (Some(3), None));
    assert_eq!(none.note(second(1), 0, Duration::ZERO), (Some(0), None));
}

#[test]
fn until_the_delay_has_passed_nothing_falls() {
    let seen = at_rest(5);
    assert_eq!(step(seen, 0, None, second(0)), Step { replicas: 5, ..Step::default() });
    assert_eq!(step(seen, 0, Some(5), second(0)), Step { replicas: 5, ..Step::default() });
    assert_eq!(step(seen, 0, Some(3), second(0)).tell, [Tell::Retire(2)]);
}
