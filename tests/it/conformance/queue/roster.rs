//! Who works for a pool, and how workers are told to stop claiming without a job being cut off.

use relay::queue::{Claim, Member, Position};

use super::{Ends, claim, over_every_queue, soon, still_waits};
use crate::support::jobs::{POOL, job, job_id, placed, report, second, success};

over_every_queue! {
    a_pool_knows_who_works_for_it_and_what_they_hold, who_left_is_no_member,
    a_retired_worker_is_called_and_gets_no_job_until_it_is_recalled, a_busy_worker_is_not_retired,
    who_is_retired_already_counts, a_worker_of_another_pool_is_left_alone,
}

const OTHER: &str = "data/other";

/// A worker of the pool is there, and has asked for jobs once.
async fn enters(ends: &Ends, worker: &str, pool: &str) {
    ends.jobs.beat(worker, &[], second(0)).await.expect("a beat");
    let pools = relay::queue::Pools::One(pool.to_owned());
    let claim = Claim { pools, ..claim(worker, 0) };
    assert_eq!(soon(ends.jobs.claim(&claim)).await.expect("a claim"), []);
}

async fn publish(ends: &Ends, tasks: &[u32]) {
    let jobs: Vec<_> = tasks.iter().map(|n| job(*n)).collect();
    ends.queue.publish(&jobs).await.expect("published");
}

async fn members(ends: &Ends) -> Vec<(String, usize, bool)> {
    let members = ends.roster.members(POOL).await.expect("members");
    let mut told: Vec<_> =
        members.into_iter().map(|Member { worker, held, retired }| (worker, held, retired)).collect();
    told.sort();
    told
}

fn member(worker: &str, held: usize, retired: bool) -> (String, usize, bool) {
    (worker.to_owned(), held, retired)
}

async fn retired(ends: &Ends, worker: &str) -> bool {
    ends.jobs.beat(worker, &[], second(0)).await.expect("a beat").retired
}

async fn a_pool_knows_who_works_for_it_and_what_they_hold(ends: Ends) {
    assert_eq!(members(&ends).await, []);
    enters(&ends, "a", POOL).await;
    enters(&ends, "b", POOL).await;
    publish(&ends, &[0, 1]).await;
    assert_eq!(ends.claim("a", 2).await.len(), 2);
    assert_eq!(members(&ends).await, [member("a", 2, false), member("b", 0, false)]);
    ends.jobs.report(report("a", &job_id(0), success())).await.expect("reported");
    let end = soon(ends.queue.reports(Position::START, 9)).await.expect("reports")[0].at;
    ends.queue.settle(end, &[placed(0)]).await.expect("settled");
    assert_eq!(members(&ends).await, [member("a", 1, false), member("b", 0, false)]);
}

async fn who_left_is_no_member(ends: Ends) {
    enters(&ends, "a", POOL).await;
    enters(&ends, "b", POOL).await;
    ends.jobs.leave("a").await.expect("a good-bye");
    assert_eq!(members(&ends).await, [member("b", 0, false)]);
}

async fn a_retired_worker_is_called_and_gets_no_job_until_it_is_recalled(ends: Ends) {
    enters(&ends, "w", POOL).await;
    let mut called = ends.jobs.called("w");
    still_waits(&mut called).await;
    assert_eq!(ends.roster.retire(POOL, 1).await.expect("retired"), 1);
    soon(called).await.expect("a call");
    assert!(retired(&ends, "w").await);
    assert!(retired(&ends, "w").await, "said at each beat, for an answer may be lost");
    assert_eq!(members(&ends).await, [member("w", 0, true)]);

    publish(&ends, &[0]).await;
    let request = claim("w", 1);
    let mut claiming = ends.jobs.claim(&request);
    still_waits(&mut claiming).await;
    drop(claiming);
    assert_eq!(ends.books().await, (vec![job_id(0)], vec![]));

    ends.roster.recall(POOL).await.expect("recalled");
    soon(ends.jobs.called("w")).await.expect("a call");
    assert!(!retired(&ends, "w").await);
    assert_eq!(ends.claim("w", 1).await.len(), 1);
    assert_eq!(members(&ends).await, [member("w", 1, false)]);
}

async fn a_busy_worker_is_not_retired(ends: Ends) {
    enters(&ends, "busy", POOL).await;
    publish(&ends, &[0]).await;
    assert_eq!(ends.claim("busy", 1).await.len(), 1);
    assert_eq!(ends.roster.retire(POOL, 5).await.expect("nobody is idle"), 0);
    enters(&ends, "idle", POOL).await;
    assert_eq!(ends.roster.retire(POOL, 5).await.expect("retired"), 1);
    assert_eq!(members(&ends).await, [member("busy", 1, false), member("idle", 0, true)]);
    assert!(!retired(&ends, "busy").await);
}

async fn who_is_retired_already_counts(ends: Ends) {
    for worker in ["a", "b", "c"] {
        enters(&ends, worker, POOL).await;
    }
    for (most, now) in [(1, 1), (1, 1), (2, 2), (1, 2)] {
        assert_eq!(ends.roster.retire(POOL, most).await.expect("retired"), now);
        assert_eq!(members(&ends).await.iter().filter(|(.., retired)| *retired).count(), now);
    }
}

async fn a_worker_of_another_pool_is_left_alone(ends: Ends) {
    enters(&ends, "w", POOL).await;
    enters(&ends, "v", OTHER).await;
    assert_eq!(ends.roster.retire(OTHER, 9).await.expect("retired"), 1);
    assert_eq!(members(&ends).await, [member("w", 0, false)]);
    assert_eq!(ends.roster.retire(POOL, 9).await.expect("retired"), 1);
    ends.roster.recall(OTHER).await.expect("recalled");
    assert_eq!(members(&ends).await, [member("w", 0, true)]);
}
