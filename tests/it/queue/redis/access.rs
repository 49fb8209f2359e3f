//! Who may do what: a worker reaches its own pool, by the scripts of workers, and nothing else.

use relay::link::{RedisSettings, worker_url};
use relay::model::{job::News, json::Text};
use relay::queue::{
    Go, Jobs, Orders, Position, Queue, QueueError, Roster,
    redis::{RedisJobs, RedisQueue},
};

use super::{Hand, books, census, conductor, is_unavailable, reports, soon, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, job, job_id, placed, report, second, success},
};

const OTHER: &str = "data/other";

pub fn login(server: &RedisServer, pool: &str, password: &str) -> RedisSettings {
    let user = relay::link::keys::user("relay", pool);
    server.settings_of(&worker_url(&server.url(), &user, password).expect("a URL"))
}

async fn say(settings_url: &str, words: &[&str]) -> Result<redis::Value, String> {
    let client = redis::Client::open(settings_url).expect("a URL");
    let mut connection = crate::support::redis::connected(&client).await.map_err(|e| e.to_string())?;
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.map_err(|e| format!("{e:?}"))
}

#[tokio::test]
async fn a_worker_does_all_its_work_as_its_pools_user() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    assert_eq!(queue.user(POOL), "relay-worker.data.default");
    all_its_work(&server, &queue, "secret").await;
}

/// Is the pool's user let in with this password?
pub async fn enters(server: &RedisServer, password: &str) -> Result<Orders, QueueError> {
    let jobs = RedisJobs::new(&login(server, POOL, password), POOL, "who").expect("a worker");
    jobs.beat("who", &[], second(0)).await
}

/// Everything that a worker ever does, as the pool's user.
pub async fn all_its_work(server: &RedisServer, queue: &RedisQueue, password: &str) {
    let w = worker(&login(server, POOL, password), "w").await;
    let large = job_with_a_large_document(0);
    queue.publish(&[large.clone(), job(1)]).await.expect("published");
    let claimed = soon(w.try_claim(2, &[])).await.expect("a claim");
    assert_eq!(claimed, [large, job(1)]);
    queue.cancel(&placed(1)).await.expect("cancelled");
    soon(w.jobs.called("w")).await.expect("a call");
    assert_eq!(w.beat(&[job_id(0), job_id(1)]).await.expect("a beat").cancel, [job_id(1)]);
    queue.go(&[Go { place: placed(0), worker: "w".to_owned() }]).await.expect("told");
    assert_eq!(w.beat(&[job_id(0), job_id(1)]).await.expect("a beat").go, [job_id(0)]);
    w.jobs.report(report("w", &job_id(0), News::Started)).await.expect("told");
    w.jobs.report(report("w", &job_id(0), success())).await.expect("told");
    let all = reports(queue, Position::START).await;
    assert_eq!(*all[0].pool, *POOL);
    queue.settle(all[1].at, &[placed(0)]).await.expect("settled");
    assert_eq!(queue.retire(POOL, 1).await.expect("nobody is idle"), 0);
    queue.settle(Position::START, &[placed(1)]).await.expect("settled");
    assert_eq!(queue.retire(POOL, 1).await.expect("retired"), 1);
    assert!(w.beat(&[]).await.expect("a beat").retired);
    queue.recall(POOL).await.expect("recalled");
    queue.publish(&[job(2)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(2)]);
    // Redis loses everything but its users.
    server.say(&["FLUSHALL"]).await;
    census(queue).await;
    soon(w.jobs.called("w")).await.expect("it sees that its books are others");
    w.beat(&[job_id(2)]).await.expect("a beat");
    assert_eq!(books(&census(queue).await).1, [(job_id(2), "w")]);
    w.jobs.leave("w").await.expect("a good-bye");
}

fn job_with_a_large_document(number: u32) -> relay::model::job::Job {
    let input = serde_json::json!({ "params": { "text": "x".repeat(5_000) } });
    relay::model::job::Job { input: Text::from(&input), ..job(number) }
}

#[tokio::test]
async fn whatever_else_a_worker_tries_is_refused() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    queue.admit(OTHER, "another").await.expect("a pool");
    let mut admitted = queue.admitted().await.expect("whose workers are let in");
    admitted.sort();
    assert_eq!(admitted, [POOL, OTHER]);
    queue.publish(&[relay::model::job::Job { pool: OTHER.to_owned(), ..job(0) }]).await.expect("published");
    let user = queue.user(POOL);
    let url = worker_url(&server.url(), &user, "secret").expect("a URL");
    say(&url, &["PING"]).await.expect("it is let in");
    for refused in [
        &["GET", "relay:{data/other}:incarnation"][..],
        &["BLPOP", "relay:{data/other}:queue:doorbell", "1"],
        &["XADD", "relay:{data/other}:stream:results", "*", "r", "{}"],
        &["XADD", "relay:{data/default}:stream:other", "*", "r", "{}"],
        &["SET", "relay:{data/default}:stream:results", "no stream"],
        &["DEL", "relay:{data/default}:stream:results"],
        &["HGET", "relay:{incarnation}", "id"],
        &["DEL", "relay:{incarnation}"],
        &["SMEMBERS", "relay:pools"],
        &["EVAL", "return 1", "0"],
        &["SCRIPT", "LOAD", "return 1"],
        &["SCRIPT", "FLUSH"],
        &["FUNCTION", "LIST"],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["ACL", "SETUSER", "relay-worker.data.default", "+@all"],
        &["CLIENT", "LIST"],
        &["CLIENT", "KILL", "TYPE", "normal"],
        &["MONITOR"],
        &["SUBSCRIBE", "relay"],
        &["SHUTDOWN", "NOSAVE"],
        &["INFO"],
        &["MIGRATE", "127.0.0.1", "1", "k", "0", "1"],
        &["REPLICAOF", "127.0.0.1", "1"],
    ] {
        let answer = say(&url, refused).await.expect_err(&refused.join(" "));
        assert!(answer.to_uppercase().contains("NOPERM"), "{refused:?}: {answer}");
    }
    // The scripts of workers on another pool's keys, and the scripts of the conductor on its own.
    let stranger = RedisJobs::new(&login(&server, POOL, "secret"), OTHER, "w").expect("a worker");
    let answer = stranger.beat("w", &[], second(0)).await;
    assert!(format!("{answer:?}").to_uppercase().contains("NOPERM"), "{answer:?}");
    assert_eq!(books(&census(&queue).await).0, [job_id(0)], "nothing of it had an effect");
}

#[tokio::test]
async fn a_user_has_the_last_password_alone_and_none_once_dismissed() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    let w = worker(&login(&server, POOL, "secret"), "w").await;
    queue.admit(POOL, "secret").await.expect("nothing changes");
    w.beat(&[]).await.expect("its connection is still good");
    queue.admit(POOL, "a /new: password?").await.expect("changed");
    let old = Hand {
        jobs: RedisJobs::new(&login(&server, POOL, "secret"), POOL, "v").expect("a worker"),
        name: "v".to_owned(),
    };
    is_unavailable(old.beat(&[]).await);
    let v = worker(&login(&server, POOL, "a /new: password?"), "v").await;
    queue.publish(&[job(0)]).await.expect("published");
    queue.dismiss(POOL).await.expect("dismissed");
    assert_eq!(queue.admitted().await.expect("whose workers are let in"), [""; 0]);
    is_unavailable(v.beat(&[]).await);
    is_unavailable(w.beat(&[]).await);
    assert_eq!(books(&census(&queue).await).0, [job_id(0)], "jobs that wait stay");
}

#[tokio::test]
async fn users_are_made_again_when_redis_forgets_them() {
    let mut server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    let w = worker(&login(&server, POOL, "secret"), "w").await;
    server.kill();
    server.start_again().await;
    is_unavailable(w.beat(&[]).await);
    super::until("the conductor is back", async || queue.ping().await.ok()).await;
    w.beat(&[]).await.expect("it is let in again");
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let server = RedisServer::start(&[]).await;
    let w = RedisJobs::new(&login(&server, POOL, "s3cret-word"), POOL, "w").expect("a worker");
    let refused = w.beat("w", &[], second(0)).await.expect_err("nobody was admitted").to_string();
    assert!(!refused.contains("s3cret-word") && refused.contains("127.0.0.1"), "{refused}");
}
