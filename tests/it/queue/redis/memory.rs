//! How full Redis may get, and whether it keeps what it is given.

use relay::model::{job::Job, json::Text};
use relay::queue::{Queue, QueueError, redis::Evicting};
use serde_json::json;

use super::{census, conductor, until, worker};
use crate::support::{
    RedisServer,
    jobs::{job, job_id, placed, report, success},
};

#[tokio::test]
async fn a_redis_that_evicts_is_told_of_and_used_all_the_same() {
    let server = RedisServer::start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let queue = conductor(&server.settings()).await;
    let risk = queue.ping().await.expect("it answers").expect("it evicts");
    let said = risk.to_string();
    assert!(said.contains("allkeys-lru") && said.contains("67108864"), "{said}");
    assert!(Evicting::ADVICE.contains("noeviction"));
    queue.publish(&[job(0)]).await.expect("published");
    let w = worker(&server.settings(), "w").await;
    assert_eq!(w.claim(1).await, [job_id(0)]);
    // Presence has a time to live: it is what this policy evicts.
    server.say(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    assert!(queue.ping().await.expect("it answers").is_some());
    server.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    assert_eq!(queue.ping().await.expect("it answers"), None);
    server.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    server.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(queue.ping().await.expect("it answers"), None, "it never comes to that");
}

/// What a job is that has nothing of its own but its id: an item of a forEach, with a script of usual length.
fn plain(count: u32) -> Vec<Job> {
    let program = relay::model::job::Program::Script("echo working; ".repeat(25).as_str().into());
    let input = Text::from(
        &json!({ "params": {}, "tasks": {}, "run": { "id": "x".repeat(36), "name": "nightly", "status": "RUNNING" } }),
    );
    let of = |n| {
        let mut one = Job { program: program.clone(), input: input.clone(), item: Some(json!(n)), ..job(n) };
        one.id.task_run.run = "0b5b5f8e-9f0e-4b8e-8d38-6f0e4b5f8e9f".parse().expect("an id");
        one
    };
    (0..count).map(of).collect()
}

/// Its script, of 350 bytes, and its input, of 130, are among them.
#[tokio::test]
async fn a_job_that_waits_has_a_bound_in_memory() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    let count = 10_000_u32;
    let before = super::away::used_memory(&server).await;
    queue.publish(&plain(count)).await.expect("published");
    let each = (super::away::used_memory(&server).await - before) / u64::from(count);
    assert!(each < 1_400, "{each} bytes a job");
}

/// Jobs that share nothing.
fn large(count: u32) -> Vec<Job> {
    let of = |n: u32| Job {
        input: Text::from(&json!({ "params": { "text": format!("{n} {}", "x".repeat(100_000)) } })),
        ..job(n)
    };
    (0..count).map(of).collect()
}

#[tokio::test]
async fn what_is_offered_at_once_leaves_reports_their_room() {
    let most: u64 = 64 << 20;
    let server =
        RedisServer::start(&["--maxmemory", &most.to_string(), "--maxmemory-policy", "noeviction"]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    // No look at the books in between.
    let full = queue.publish(&large(1_000)).await;
    assert!(matches!(full, Err(QueueError::Full(_))), "{full:?}");
    let used = super::away::used_memory(&server).await;
    assert!(used < most * 85 / 100, "{used} of {most} bytes are used");
    assert!(used > most / 2, "{used} bytes: it was given up too early");
    let claimed = w.claim(3).await;
    assert_eq!(claimed.len(), 3);
    w.jobs_end(&claimed).await;
    let refused = queue.publish(&large(1_000)[900..]).await;
    assert!(matches!(refused, Err(QueueError::Full(_))), "{refused:?}");
    let all: Vec<_> = (0..1_000).map(placed).collect();
    queue.settle(relay::queue::Position::START, &all).await.expect("settled");
    let offer = large(3);
    until("there is room again", async || {
        census(&queue).await;
        queue.publish(&offer).await.ok()
    })
    .await;
}

impl super::Hand {
    async fn jobs_end(&self, jobs: &[relay::model::job::JobId]) {
        for job in jobs {
            relay::queue::Jobs::report(&self.jobs, report(&self.name, job, success()))
                .await
                .expect("there is room for it");
        }
    }
}
