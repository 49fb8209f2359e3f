//! Redis is away for a while: every verb ends in time, says so, and works again later.

use std::{sync::Arc, time::Duration};

use relay::model::job::News;
use relay::queue::{
    Jobs, Position, Queue, QueueError,
    redis::{Limits, RedisJobs, RedisQueue},
};

use super::{Hand, books, census, conductor, is_unavailable, reports, soon, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, placed, report, second, success},
};

/// Every verb of both sides fails, in time.
async fn nothing_works(queue: &Arc<RedisQueue>, w: &Hand) {
    is_unavailable(soon(queue.publish(&[job(8)])).await);
    is_unavailable(soon(queue.remove(&placed(8))).await);
    is_unavailable(soon(queue.cancel(&placed(8))).await);
    is_unavailable(soon(queue.reports(Position::START, 1)).await);
    is_unavailable(soon(queue.settle(Position::START, &[placed(8)])).await);
    is_unavailable(soon(queue.census(second(0))).await);
    is_unavailable(soon(w.try_claim(1, &[])).await);
    is_unavailable(soon(w.jobs.report(report("w", &job_id(0), News::Started))).await);
    is_unavailable(soon(w.beat(&[])).await);
    is_unavailable(soon(w.jobs.called("w")).await);
    is_unavailable(soon(w.jobs.leave("w")).await);
}

/// A job goes all the way.
async fn everything_works(queue: &Arc<RedisQueue>, w: &Hand, number: u32) {
    let id = job_id(number);
    until("the conductor", async || queue.ping().await.ok()).await;
    until("a beat", async || w.beat(&[]).await.ok()).await;
    until("an offer", async || queue.publish(&[job(number)]).await.ok()).await;
    assert_eq!(until("a claim", async || w.try_claim(1, &[]).await.ok()).await[0].id, id);
    until("a report", async || w.jobs.report(report("w", &id, success())).await.ok()).await;
    let all = until("reports", async || queue.reports(Position::START, 9).await.ok()).await;
    assert_eq!(all[0].report.job, id);
    until("settled", async || queue.settle(all[all.len() - 1].at, &[placed(number)]).await.ok()).await;
    assert_eq!(books(&census(queue).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_redis_that_comes_late_is_waited_for() {
    let mut server = RedisServer::start(&[]).await;
    server.kill();
    let settings = server.settings();
    let queue = Arc::new(RedisQueue::new(&settings, Limits::default()).expect("a queue"));
    queue.lead(&all_led(1));
    let w = Hand { jobs: RedisJobs::new(&settings, POOL, "w").expect("a worker"), name: "w".to_owned() };
    is_unavailable(queue.ping().await);
    is_unavailable(w.beat(&[]).await);
    server.start_again().await;
    is_unavailable(w.beat(&[]).await);
    queue.publish(&[job(0)]).await.expect("it is there now");
    queue.remove(&placed(0)).await.expect("it is there now");
    everything_works(&queue, &w, 1).await;
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    everything_works(&queue, &w, 0).await;
    for number in 1..4 {
        // Both sides wait for something while it happens.
        let (waiting, called) = (queue.reports(Position::START, 1), w.jobs.called("w"));
        let claiming = w.try_claim(1, &[]);
        let (mut waiting, mut called, mut claiming) =
            (Box::pin(waiting), Box::pin(called), Box::pin(claiming));
        for _ in 0..3 {
            // Let them begin to wait.
            let moment = Duration::from_millis(50);
            drop(
                tokio::time::timeout(
                    moment,
                    futures::future::join3(&mut waiting, &mut called, &mut claiming),
                )
                .await,
            );
        }
        server.say(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        is_unavailable(soon(waiting).await);
        is_unavailable(soon(called).await);
        is_unavailable(soon(claiming).await);
        everything_works(&queue, &w, number).await;
    }
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_given_up_in_time() {
    let server = RedisServer::start(&[]).await;
    let mut settings = server.settings();
    (settings.answer, settings.connect) = (Duration::from_millis(300), Duration::from_millis(300));
    settings.look = Duration::from_millis(200);
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    server.freeze();
    nothing_works(&queue, &w).await;
    server.thaw();
    // What was said while it stood still may have arrived after all.
    until("settled", async || queue.settle(Position::START, &[placed(8)]).await.ok()).await;
    everything_works(&queue, &w, 1).await;
}

#[tokio::test]
async fn a_redis_that_is_gone_is_told_at_once() {
    let mut server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    server.kill();
    nothing_works(&queue, &w).await;
    server.start_again().await;
    everything_works(&queue, &w, 1).await;
}

#[tokio::test]
async fn a_full_memory_is_no_outage_and_leaves_room_for_what_ends() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(0), job(1), job(3)]).await.expect("there is room");
    assert_eq!(w.claim(2).await, [job_id(0), job_id(1)]);
    // Four fifths full: nothing more is offered, and what runs may end.
    let used = used_memory(&server).await;
    server.say(&["CONFIG", "SET", "maxmemory", &(used * 5 / 4).to_string()]).await;
    census(&queue).await;
    let full = queue.publish(&[job(2)]).await;
    assert!(matches!(full, Err(QueueError::Full(_))), "{full:?}");
    w.beat(&[job_id(0), job_id(1)]).await.expect("a beat");
    w.jobs.report(report("w", &job_id(0), success())).await.expect("told");
    // Quite full: what ends is told, what is settled makes room, and the books can be looked through.
    server.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    w.beat(&[job_id(1)]).await.expect("a beat");
    w.jobs.report(report("w", &job_id(1), success())).await.expect("told");
    assert_eq!(w.claim(1).await, [job_id(3)], "what lies there is run");
    assert_eq!(books(&census(&queue).await).1.len(), 3);
    let all = reports(&queue, Position::START).await;
    queue.settle(all[1].at, &[placed(0), placed(1), placed(3)]).await.expect("settled");
    server.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(books(&census(&queue).await), (vec![], vec![]));
    queue.publish(&[job(2)]).await.expect("there is room again");
}

pub async fn used_memory(server: &RedisServer) -> u64 {
    let redis::Value::BulkString(info) = server.say(&["INFO", "memory"]).await else { panic!("no text") };
    let info = String::from_utf8(info).expect("text");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a number");
    line.trim().parse().expect("a number")
}
