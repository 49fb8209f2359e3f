//! Workers of the version before: their scripts are known again when Redis has forgotten everything.

use relay::link::{Script, keys};
use relay::queue::{
    Queue, Roster,
    redis::{Limits, RedisQueue},
};

use super::until;
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led},
};

/// A script of workers as it might have been once: the same keys, another text, another answer.
fn as_it_was() -> Script {
    let prelude = include_str!("../../../../src/queue/redis/scripts/prelude.lua");
    Script::new("beat", &[prelude, "return { 'beat of once' }"])
}

/// What a worker of the version before would hear.
async fn said(server: &RedisServer) -> Result<Vec<String>, String> {
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = crate::support::redis::connected(&client).await.map_err(|e| e.to_string())?;
    let base = keys::of_pool("relay", POOL);
    as_it_was().on(&[&base]).query_async(&mut connection).await.map_err(|e| e.to_string())
}

async fn conducting(server: &RedisServer, older: Vec<Script>) -> RedisQueue {
    let queue = RedisQueue::serving(&server.settings(), Limits::default(), older).expect("a queue");
    queue.lead(&all_led(1));
    queue.admit(POOL, "secret").await.expect("a pool");
    queue
}

#[tokio::test]
async fn scripts_of_the_version_before_are_known_also_after_a_restart_of_redis() {
    let mut server = RedisServer::start(&[]).await;
    let queue = conducting(&server, vec![as_it_was()]).await;
    assert_eq!(said(&server).await.expect("an answer")[0], "beat of once");
    server.kill();
    server.start_again().await;
    until("the conductor is back", async || queue.ping().await.ok()).await;
    assert_eq!(said(&server).await.expect("an answer")[0], "beat of once");
}

#[tokio::test]
async fn a_worker_whose_scripts_nobody_kept_is_mute() {
    let server = RedisServer::start(&[]).await;
    let _queue = conducting(&server, Vec::new()).await;
    let refusal = said(&server).await.expect_err("nobody loaded it");
    assert!(refusal.to_lowercase().contains("noscript"), "{refusal}");
}
