//! Orders and presence: what a worker is told, and who is there.

use relay::queue::{Go, Orders, Position};

use super::{Ends, over_every_queue, soon, still_waits};
use crate::support::jobs::{job, job_id, placed, report, second, success};

over_every_queue! {
    a_cancel_calls_the_worker, a_cancel_that_nobody_holds_is_forgotten, a_job_that_has_ended_is_not_cancelled,
    a_job_settled_under_a_worker_is_abandoned, a_settled_end_calls_nobody,
    a_worker_that_leaves_is_gone_and_its_leases_are_not, whoever_waits_is_told_to_begin, nobody_else_is_told_to_begin;
    brief a_worker_is_present_while_it_beats,
}

async fn beat(ends: &Ends, worker: &str, holding: &[u32]) -> Orders {
    let holding: Vec<_> = holding.iter().map(|n| job_id(*n)).collect();
    let orders = ends.jobs.beat(worker, &holding, second(0)).await.expect("a beat");
    // Where a worker keeps its ends until they are settled it counts them.
    Orders { unsettled: 0, ..orders }
}

/// A queue in which worker `w` is known, and holds two jobs.
async fn held(ends: &Ends) {
    beat(ends, "w", &[]).await;
    ends.queue.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(ends.claim("w", 2).await.len(), 2);
}

async fn a_cancel_calls_the_worker(ends: Ends) {
    held(&ends).await;
    beat(&ends, "v", &[]).await;
    let (mut called, mut other) = (ends.jobs.called("w"), ends.jobs.called("v"));
    still_waits(&mut called).await;
    ends.queue.cancel(&placed(1)).await.expect("cancelled");
    soon(called).await.expect("a call");
    still_waits(&mut other).await;
    soon(ends.jobs.called("w")).await.expect("a call, until the beat has answered it");
    let orders = Orders { cancel: vec![job_id(1)], ..Orders::default() };
    assert_eq!(beat(&ends, "w", &[0, 1]).await, orders);
    still_waits(&mut ends.jobs.called("w")).await;
    assert_eq!(beat(&ends, "w", &[0, 1]).await, orders, "said at each beat, for an answer may be lost");
}

async fn a_cancel_that_nobody_holds_is_forgotten(ends: Ends) {
    ends.queue.cancel(&placed(0)).await.expect("no error");
    held(&ends).await;
    assert_eq!(beat(&ends, "w", &[0, 1]).await, Orders::default());
}

async fn a_job_that_has_ended_is_not_cancelled(ends: Ends) {
    held(&ends).await;
    ends.jobs.report(report("w", &job_id(0), success())).await.expect("reported");
    ends.queue.cancel(&placed(0)).await.expect("no error");
    assert_eq!(beat(&ends, "w", &[0, 1]).await, Orders::default());
}

async fn a_job_settled_under_a_worker_is_abandoned(ends: Ends) {
    held(&ends).await;
    let mut called = ends.jobs.called("w");
    still_waits(&mut called).await;
    ends.queue.settle(Position::START, &[placed(0)]).await.expect("settled");
    soon(called).await.expect("a call");
    let orders = Orders { abandoned: vec![job_id(0)], ..Orders::default() };
    assert_eq!(beat(&ends, "w", &[0, 1]).await, orders);
    assert_eq!(beat(&ends, "w", &[1]).await, Orders::default());
}

async fn a_settled_end_calls_nobody(ends: Ends) {
    held(&ends).await;
    ends.jobs.report(report("w", &job_id(0), success())).await.expect("reported");
    let end = soon(ends.queue.reports(Position::START, 9)).await.expect("reports")[0].at;
    ends.queue.settle(end, &[placed(0)]).await.expect("settled");
    still_waits(&mut ends.jobs.called("w")).await;
}

fn go(task: u32, worker: &str) -> Go {
    Go { place: placed(task), worker: worker.to_owned() }
}

async fn whoever_waits_is_told_to_begin(ends: Ends) {
    held(&ends).await;
    let mut called = ends.jobs.called("w");
    still_waits(&mut called).await;
    ends.queue.go(&[go(1, "w")]).await.expect("told");
    soon(called).await.expect("a call");
    let orders = Orders { go: vec![job_id(1)], ..Orders::default() };
    assert_eq!(beat(&ends, "w", &[0, 1]).await, orders);
    ends.queue.go(&[go(1, "w"), go(0, "w")]).await.expect("told again");
    let both = Orders { go: vec![job_id(0), job_id(1)], ..Orders::default() };
    assert_eq!(beat(&ends, "w", &[0, 1]).await, both, "said at each beat, for an answer may be lost");
    ends.queue.cancel(&placed(1)).await.expect("cancelled");
    assert_eq!(beat(&ends, "w", &[0, 1]).await.cancel, [job_id(1)]);
    ends.queue.settle(Position::START, &[placed(0), placed(1)]).await.expect("settled");
    assert_eq!(beat(&ends, "w", &[0, 1]).await.go, []);
}

async fn nobody_else_is_told_to_begin(ends: Ends) {
    held(&ends).await;
    ends.queue.go(&[go(0, "v"), go(7, "w")]).await.expect("no error");
    assert_eq!(beat(&ends, "w", &[0, 1]).await, Orders::default());
    ends.jobs.report(report("w", &job_id(1), success())).await.expect("reported");
    ends.queue.go(&[go(1, "w")]).await.expect("no error");
    assert_eq!(beat(&ends, "w", &[0, 1]).await, Orders::default(), "it has ended");
    // A word for a job of that name that was forgotten is none for its next life.
    ends.queue.go(&[go(0, "w")]).await.expect("told");
    ends.queue.settle(Position::START, &[placed(0)]).await.expect("settled");
    ends.queue.publish(&[job(0)]).await.expect("published");
    assert_eq!(ends.claim("w", 1).await.len(), 1);
    assert_eq!(beat(&ends, "w", &[0]).await, Orders::default());
}

async fn a_worker_is_present_while_it_beats(ends: Ends) {
    let present = async || ends.queue.census(ends.now()).await.expect("a census").present;
    let beat = async |worker| ends.jobs.beat(worker, &[], ends.now()).await.expect("a beat");
    assert_eq!(present().await, [""; 0]);
    beat("a").await;
    beat("b").await;
    assert_eq!(present().await, ["a", "b"]);
    soon(async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            looks.tick().await;
            beat("b").await;
            match present().await.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["a", "b"] => {}
                others => return assert_eq!(others, ["b"]),
            }
        }
    })
    .await;
    beat("a").await;
    assert_eq!(present().await, ["a", "b"], "it is back");
}

async fn a_worker_that_leaves_is_gone_and_its_leases_are_not(ends: Ends) {
    held(&ends).await;
    ends.jobs.leave("w").await.expect("a good-bye");
    let census = ends.queue.census(second(0)).await.expect("a census");
    assert_eq!(census.present, [""; 0]);
    let leases: Vec<_> = census.leases.into_iter().map(|l| (l.place.job, l.worker)).collect();
    assert_eq!(leases, [(job_id(0), "w".to_owned()), (job_id(1), "w".to_owned())]);
    ends.queue.settle(Position::START, &[placed(0), placed(1)]).await.expect("settled");
    assert_eq!(ends.books().await, (vec![], vec![]));
}
