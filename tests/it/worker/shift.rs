//! The worker's loops when all goes well: claim, run, tell, beat, obey, drain.

use std::{sync::atomic::Ordering, time::Duration};

use relay::feed::{Feed, Item, Reader};
use relay::model::job::{Job, News, Outcome, PROTOCOL};
use relay::queue::{Claim, Jobs, Pools, Position, Queue, Roster};
use relay::worker::Limits;

use super::scripted::{Stage, beside, lasting, success};
use crate::support::jobs::{job_id, placed};

#[tokio::test(start_paused = true)]
async fn a_job_is_claimed_run_logged_and_told() {
    let stage = Stage::new();
    let mut reader = stage.feed.subscribe(None, Reader::Every);
    stage.publish(&[lasting(1, 3)]).await;
    let told = beside(stage.worker(2), async {
        let first = stage.queue.reports(Position::START, 9).await.expect("reports");
        let second = stage.queue.reports(first[0].at, 9).await.expect("reports");
        [first[0].report.clone(), second[0].report.clone()]
    })
    .await;
    assert_eq!([&told[0].news, &told[1].news], [&News::Started, &News::Ended(success())]);
    assert_eq!(
        told.map(|r| (r.job, r.worker, r.at.as_second() - stage.clock.now().as_second())),
        [(job_id(1), "w".to_owned(), -3), (job_id(1), "w".to_owned(), 0)]
    );
    let Item::Line(line) = &reader.next(1).await[0] else { panic!("no line") };
    assert_eq!((line.text.as_str(), line.number), ("task 1 runs", 1));
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_at_once_than_there_are_slots_and_no_slot_stays_free() {
    let stage = Stage::new();
    stage.publish(&(0..9).map(|n| lasting(n, 10)).collect::<Vec<_>>()).await;
    let ends = beside(stage.worker(3), stage.ends(9)).await;
    let times: Vec<i64> = ends.iter().map(|(_, _, at)| *at).collect();
    assert_eq!(times, [10, 10, 10, 20, 20, 20, 30, 30, 30]);
    assert_eq!(stage.executor.seen().most_at_once, 3);
}

#[tokio::test(start_paused = true)]
async fn a_short_job_does_not_wait_for_a_long_one() {
    let stage = Stage::new();
    stage.publish(&[lasting(0, 60), lasting(1, 1), lasting(2, 2), lasting(3, 3)]).await;
    let ends = beside(stage.worker(2), stage.ends(4)).await;
    let order: Vec<(u32, i64)> = ends.iter().map(|(task, _, at)| (*task, *at)).collect();
    assert_eq!(order, [(1, 1), (2, 2), (3, 4), (0, 62)]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_taken_away_and_given_again_runs_once_its_old_process_is_gone() {
    let stage = Stage::new();
    stage.executor.stopping.store(30, Ordering::Relaxed);
    stage.publish(&[lasting(1, 3600)]).await;
    let ends = beside(stage.worker(2), async {
        stage.until(1).await;
        stage.queue.settle(Position::START, &[placed(1)]).await.expect("taken away");
        stage.until(2).await;
        stage.publish(&[lasting(1, 3600)]).await;
        stage.ends(1).await
    })
    .await;
    assert_eq!(ends, [(1, success(), 3631)]);
    assert_eq!(stage.executor.seen().started, [1, 1]);
    assert_eq!(stage.executor.seen().most_at_once, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_a_running_job_at_once() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 3600), lasting(2, 7)]).await;
    let ends = beside(stage.worker(2), async {
        stage.until(1).await;
        stage.queue.cancel(&placed(1)).await.expect("cancelled");
        stage.ends(2).await
    })
    .await;
    assert_eq!(ends, [(1, Outcome::Cancelled, 1), (2, success(), 7)]);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_job_is_stopped_and_its_slot_is_free_again() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 3600)]).await;
    let ends = beside(stage.worker(1), async {
        stage.until(1).await;
        // As a conductor that took the worker for lost.
        stage.queue.settle(Position(1), &[placed(1)]).await.expect("settled");
        stage.publish(&[lasting(2, 4)]).await;
        stage.ends(1).await
    })
    .await;
    assert_eq!(ends, [(2, success(), 5)], "of the other nothing is told");
    assert_eq!(stage.executor.seen().cancelled, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_stays_present_and_a_dead_one_does_not() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 500)]).await;
    beside(stage.worker(1), async {
        stage.until(400).await;
        assert_eq!(stage.present().await, ["w"]);
    })
    .await;
    // Here the worker was dropped: what ran was stopped, and its lease tells of it.
    assert_eq!(stage.executor.seen().dropped, [1]);
    stage.until(440).await;
    let census = stage.queue.census(stage.clock.now()).await.expect("a census");
    assert_eq!((census.present.len(), census.leases.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_draining_worker_ends_what_it_runs_and_claims_nothing_more() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 30), lasting(2, 40)]).await;
    let plan = async {
        stage.until(10).await;
        stage.shutdown.drain.cancel();
        stage.publish(&[lasting(3, 1)]).await;
        stage.until(15).await;
        assert_eq!(stage.present().await, ["w"], "it still beats");
    };
    let ((), (), ends) = tokio::join!(stage.worker(4), plan, stage.ends(2));
    assert_eq!(ends, [(1, success(), 30), (2, success(), 40)]);
    assert_eq!(stage.second(), 40);
    assert_eq!(stage.present().await, [""; 0], "it said good-bye");
    let left = Claim { worker: "v".to_owned(), pools: Pools::Every, slots: 1, holding: vec![] };
    assert_eq!(stage.queue.claim(&left).await.expect("a claim")[0].id, job_id(3), "the third is still there");
}

/// Drains while a job runs that ends at second 5, and is not acknowledged before that second: when the worker has ended.
async fn drained(acknowledged: i64) -> i64 {
    let stage = Stage::new();
    stage.jobs.unsettled_until.store(acknowledged, Ordering::Relaxed);
    stage.publish(&[lasting(1, 5)]).await;
    let drain = async {
        stage.until(1).await;
        stage.shutdown.drain.cancel();
    };
    let ((), (), ends) = tokio::join!(stage.worker(1), drain, stage.ends(1));
    assert_eq!(ends, [(1, success(), 5)]);
    stage.second()
}

#[tokio::test(start_paused = true)]
async fn a_draining_worker_stays_until_its_results_are_acknowledged() {
    assert_eq!(drained(0).await, 5);
    assert_eq!(drained(20).await, 20);
}

#[tokio::test(start_paused = true)]
async fn without_a_conductor_a_draining_worker_goes_after_a_while_and_its_results_lie_in_the_queue() {
    assert_eq!(drained(1_000_000).await, 5 + 30);
}

#[tokio::test(start_paused = true)]
async fn draining_has_a_bound_and_a_kill_has_none() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 3600)]).await;
    stage.shutdown.drain.cancel();
    let limits = Limits { drain: Duration::from_secs(60), ..Limits::default() };
    // Told to drain before it began: it claims nothing, and ends at once.
    stage.worker_with(1, limits).await;
    assert_eq!((stage.second(), stage.executor.seen().started), (0, vec![]));

    let stage = Stage::new();
    stage.publish(&[lasting(1, 3600)]).await;
    let drain = async {
        stage.until(1).await;
        stage.shutdown.drain.cancel();
    };
    tokio::join!(stage.worker_with(1, limits), drain);
    assert_eq!((stage.second(), stage.executor.seen().dropped), (61, vec![1]));

    let stage = Stage::new();
    stage.publish(&[lasting(1, 3600)]).await;
    let kill = async {
        stage.until(1).await;
        stage.shutdown.kill.cancel();
    };
    tokio::join!(stage.worker(1), kill);
    assert_eq!((stage.second(), stage.executor.seen().dropped), (1, vec![1]));
    let told = stage.queue.reports(Position::START, 9).await.expect("reports");
    assert_eq!(told.len(), 1, "its start, and nothing of an end");
}

#[tokio::test(start_paused = true)]
async fn a_retired_worker_claims_nothing_and_goes_on_once_it_is_recalled() {
    let stage = Stage::new();
    let (worker, mut ready) = stage.worker_and_readiness(2);
    let ends = beside(worker, async {
        ready.wait_for(|ready| *ready).await.expect("it works");
        stage.until(1).await;
        assert_eq!(stage.queue.retire("data/default", 9).await.expect("retired"), 1);
        ready.wait_for(|ready| !*ready).await.expect("it works");
        assert_eq!(stage.second(), 1, "it hears of it at once");
        stage.publish(&[lasting(1, 5)]).await;
        stage.until(100).await;
        assert_eq!(stage.executor.seen().started, [0; 0]);
        assert_eq!(stage.present().await, ["w"], "it is there all the while");
        stage.queue.recall("data/default").await.expect("recalled");
        ready.wait_for(|ready| *ready).await.expect("it works");
        stage.ends(1).await
    })
    .await;
    assert_eq!(ends, [(1, success(), 105)]);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_version_that_the_worker_does_not_know_is_refused() {
    let stage = Stage::new();
    stage.publish(&[Job { version: 99, ..lasting(1, 5) }, lasting(2, 5)]).await;
    let ends = beside(stage.worker(2), stage.ends(2)).await;
    let Outcome::Failed { message, .. } = &ends[0].1 else { panic!("it ran: {:?}", ends[0]) };
    assert!(message.contains("version 99"), "{message}");
    assert_eq!((ends[0].0, ends[1].clone()), (1, (2, success(), 5)));
    assert_eq!(stage.executor.seen().started, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_the_version_before_or_after_is_run() {
    let stage = Stage::new();
    let of = |version, task| Job { version, ..lasting(task, 5) };
    stage.publish(&[of(PROTOCOL - 1, 1), of(PROTOCOL + 1, 2)]).await;
    let ends = beside(stage.worker(2), stage.ends(2)).await;
    assert_eq!(ends, [(1, success(), 5), (2, success(), 5)]);
}
