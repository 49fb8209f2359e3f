//! Words that come late: Redis was emptied since they were said.

use std::time::Duration;

use relay::queue::{Queue, Roster};

use super::{books, census, conductor, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, report, success},
};
use relay::queue::Jobs;

/// It opens the pool in the incarnation that is gone, as one does that asked for it before Redis was emptied.
#[tokio::test]
async fn a_pool_that_is_opened_late_makes_no_worker_a_stranger() {
    let server = RedisServer::start(&[]).await;
    let mut settings = server.settings();
    settings.announce = Duration::from_secs(2);
    let queue = conductor(&settings).await;
    let w = worker(&settings, "w").await;
    queue.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(w.claim(2).await, [job_id(0), job_id(1)]);
    w.jobs.report(report("w", &job_id(1), success())).await.expect("told");
    // It knows the incarnation, and has another pool open.
    let late = relay::queue::redis::RedisQueue::new(&settings, Default::default()).expect("a queue");
    late.lead(&all_led(1));
    server.say(&["SREM", "relay:pools", POOL]).await;
    late.admit("data/other", "secret").await.expect("a pool");

    server.say(&["FLUSHALL"]).await;
    late.admit(POOL, "secret").await.expect("opened");
    let orders = w.beat(&[job_id(0)]).await.expect("a beat");
    assert_eq!(orders.abandoned, [], "what it runs is its own");

    // The other one finds out that these are other books, and begins a life of its own.
    until("everybody has told", async || {
        let _ = w.beat(&[job_id(0)]).await;
        (!census(&queue).await.announcing).then_some(())
    })
    .await;
    assert_eq!(books(&census(&queue).await), (vec![], vec![(job_id(0), "w"), (job_id(1), "w")]));
}
