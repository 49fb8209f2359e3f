//! Two conductors on one Redis, each with shards of its own; and one whose shards change.

use std::sync::Arc;
use std::time::Duration;

use relay::link::RedisSettings;
use relay::model::ids::ShardId;
use relay::queue::{
    Epochs, Position, Queue, Roster,
    redis::{Limits, RedisQueue},
};

use super::lost::{at_work, the_workers_word_is_taken, with_time};
use super::{books, census, is_unavailable, reports, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, placed},
};

/// All shards but that of the usual pool.
fn the_others(epoch: i64) -> Epochs {
    let mut epochs = all_led(epoch);
    epochs.remove(&ShardId::of_pool(POOL));
    epochs
}

/// A conductor of the other shards.
fn another(settings: &RedisSettings) -> Arc<RedisQueue> {
    let queue = RedisQueue::new(settings, Limits::default()).expect("a queue");
    queue.lead(&the_others(1));
    Arc::new(queue)
}

#[tokio::test]
async fn whoever_finds_a_new_life_first_lets_nobody_work_from_old_books_of_another_ones_pool() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let settings = with_time(&server, Duration::from_secs(2));
    let (queue, w) = at_work(&settings).await;
    let v = worker(&server.settings(), "v").await;
    server.kill();
    is_unavailable(w.beat(&[job_id(0)]).await);
    server.start_again().await;
    // This one leads other pools, and loads the scripts of all workers.
    let other = another(&settings);
    until("the other conductor is there", async || other.ping().await.ok()).await;
    is_unavailable(v.try_claim(1, &[]).await);
    until("the conductor is back", async || queue.ping().await.ok()).await;
    the_workers_word_is_taken(&queue, &w).await;
}

#[tokio::test]
async fn that_one_heard_all_of_its_workers_says_nothing_of_anothers() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_secs(9));
    let other = another(&settings);
    let mut pools = (0..).map(|n| format!("data-{n}/default"));
    let its_pool = pools.find(|pool| ShardId::of_pool(pool) != ShardId::of_pool(POOL)).expect("one of many");
    other.admit(&its_pool, "secret").await.expect("a pool");
    census(&other).await;
    let (queue, w) = at_work(&settings).await;
    until("its own telling is over", async || (!census(&other).await.announcing).then_some(())).await;
    server.say(&["FLUSHALL"]).await;
    assert!(census(&other).await.announcing && census(&queue).await.announcing);
    until("nobody works for it", async || (!census(&other).await.announcing).then_some(())).await;
    assert!(census(&queue).await.announcing, "its worker has not told");
    w.beat(&[job_id(0)]).await.expect("a beat");
    until("it has", async || (!census(&queue).await.announcing).then_some(())).await;
    assert_eq!(books(&census(&queue).await).1, [(job_id(0), "w"), (job_id(1), "w")]);
}

/// Nobody was let in by this process: so it is with a pool that was deleted, and whose workers end what they run.
#[tokio::test]
async fn a_pool_that_is_empty_only_because_redis_is_is_not_forgotten() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_secs(9));
    let queue = RedisQueue::new(&settings, Limits::default()).expect("a queue");
    queue.lead(&all_led(1));
    queue.publish(&[job(0)]).await.expect("published");
    let w = worker(&settings, "w").await;
    assert_eq!(w.claim(1).await, [job_id(0)]);
    server.say(&["FLUSHALL"]).await;
    assert_eq!(books(&census(&queue).await), (vec![], vec![]));
    w.beat(&[job_id(0)]).await.expect("its pool is there");
    assert_eq!(books(&census(&queue).await).1, [(job_id(0), "w")]);
}

#[tokio::test]
async fn whoever_leads_a_pool_anew_reads_its_reports_from_the_start() {
    let server = RedisServer::start(&[]).await;
    let (queue, w) = at_work(&with_time(&server, Duration::from_millis(1))).await;
    let before = reports(&queue, Position::START).await;
    let last = before[before.len() - 1].at;
    // Led by another one for a while: what was read of it is not this one's to settle.
    queue.lead(&Epochs::new());
    queue.lead(&the_others(2));
    queue.settle(last, &[]).await.expect("there is nothing to settle");
    queue.lead(&Epochs::new());
    queue.lead(&all_led(3));
    let again = reports(&queue, Position::START).await;
    let told = |all: &[relay::queue::Told]| all.iter().map(|t| t.report.clone()).collect::<Vec<_>>();
    assert_eq!(told(&again), told(&before));
    assert!(again.iter().all(|t| t.at > last), "positions rise");
    queue.settle(again[again.len() - 1].at, &[placed(1)]).await.expect("settled");
    assert_eq!(books(&census(&queue).await), (vec![job_id(2)], vec![(job_id(0), "w")]));
    w.beat(&[job_id(0)]).await.expect("a beat");
}
