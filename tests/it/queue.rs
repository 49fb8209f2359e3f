//! The queues one by one: bounds, and what can happen to them alone. (What every queue must do is in `conformance`.)

mod postgres;
mod redis;

use relay::model::job::{Job, News};
use relay::queue::{
    Claim, Jobs, Pools, Position, Queue, QueueError,
    memory::{Limits, MemoryQueue},
};

use crate::support::jobs::{all_led, job, job_id, report, second};

fn is_full<T: std::fmt::Debug>(answer: Result<T, QueueError>) {
    assert!(matches!(answer, Err(QueueError::Full(_))), "{answer:?}");
}

#[tokio::test]
async fn every_book_has_a_bound_and_room_again_later() {
    let queue = MemoryQueue::new(Limits { pending: 2, reports: 2, workers: 1 });
    queue.lead(&all_led(1));
    queue.publish(&[job(1), job(2)]).await.expect("there is room");
    queue.publish(&[job(2)]).await.expect("nothing new");
    is_full(queue.publish(&[job(3)]).await);
    let claim = Claim { worker: "w".to_owned(), pools: Pools::Every, slots: 1, holding: Vec::new() };
    queue.claim(&claim).await.expect("a job");
    queue.publish(&[job(3)]).await.expect("there is room again");

    let news = || report("w", &job_id(1), News::Started);
    queue.report(news()).await.expect("there is room");
    queue.report(news()).await.expect("there is room");
    is_full(queue.report(news()).await);
    queue.settle(Position(1), &[]).await.expect("settled");
    queue.report(news()).await.expect("there is room again");

    queue.beat("w", &[], second(0)).await.expect("there is room");
    is_full(queue.beat("v", &[], second(0)).await);
}

#[tokio::test]
async fn a_worker_of_every_pool_takes_by_rank() {
    let queue = MemoryQueue::default();
    queue.lead(&all_led(1));
    let of = |pool: &str, n| Job { pool: pool.to_owned(), ..job(n) };
    let jobs = [of("b/x", 3), of("a/y", 2), of("c/z", 1), of("a/y", 4)];
    queue.publish(&jobs).await.expect("published");
    let claim = Claim { worker: "w".to_owned(), pools: Pools::Every, slots: 9, holding: Vec::new() };
    let taken = queue.claim(&claim).await.expect("a claim");
    let numbers: Vec<u32> = taken.iter().map(|job| job.id.task_run.key.task).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}
