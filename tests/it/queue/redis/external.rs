//! Somebody else makes the users of workers, by the command that `relay redis-user` prints.

use std::sync::Arc;

use relay::link::{RedisSettings, worker_url};
use relay::queue::{
    Queue, QueueError, Roster,
    redis::{Limits, RedisQueue},
};

use super::{access, census, conductor, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id},
    relay,
};

/// The operator's own user, as the documentation has it: it can make no users.
async fn operator(server: &RedisServer) -> RedisSettings {
    let readme = crate::support::read("charts/relay/README.md");
    let rules = "~relay:* +@all -@admin -@dangerous +info";
    assert!(readme.contains(rules), "the documentation says something else");
    let words = ["ACL", "SETUSER", "operator", "reset", "on", ">word"].into_iter().chain(rules.split(' '));
    server.say(&words.collect::<Vec<_>>()).await;
    server.settings_of(&worker_url(&server.url(), "operator", "word").expect("a URL"))
}

fn makes_none(settings: &RedisSettings) -> Arc<RedisQueue> {
    let queue = RedisQueue::new(settings, Limits::default()).expect("a queue").others_make_users();
    queue.lead(&all_led(1));
    Arc::new(queue)
}

/// Says what `relay redis-user` prints.
async fn make_the_user(server: &RedisServer, password: &str) {
    let printed = relay().args(["redis-user", POOL]).output().expect("relay starts");
    assert!(printed.status.success());
    let command = String::from_utf8(printed.stdout).expect("text").replace("PASSWORD", password);
    server.say(&command.split_whitespace().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_worker_does_all_its_work_as_a_user_that_somebody_else_made() {
    let server = RedisServer::start(&[]).await;
    let queue = makes_none(&operator(&server).await);
    queue.admit(POOL, "not used").await.expect("the pool is open");
    assert_eq!(queue.admitted().await.expect("none of its own"), [""; 0]);
    super::is_unavailable(access::enters(&server, "theirs").await);
    make_the_user(&server, "theirs").await;
    access::all_its_work(&server, &queue, "theirs").await;
    queue.dismiss(POOL).await.expect("nothing to do");
    access::enters(&server, "theirs").await.expect("the user is not ours to take away");
}

#[tokio::test]
async fn an_operator_that_may_make_no_users_says_what_helps() {
    let server = RedisServer::start(&[]).await;
    let queue = RedisQueue::new(&operator(&server).await, Limits::default()).expect("a queue");
    queue.lead(&all_led(1));
    let refused = queue.admit(POOL, "s3cret-word").await.expect_err("it may not");
    assert!(matches!(refused, QueueError::UsersRefused(_)), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains("redis.acl to External") && said.contains("Off"), "{said}");
    assert!(!said.contains("s3cret-word"), "{said}");
    assert_eq!(refused.label(), "users_refused");
    // The rest of the queue does not hang on it.
    queue.publish(&[job(0)]).await.expect("published");
}

#[tokio::test]
async fn who_makes_the_users_may_change_while_jobs_wait_and_run() {
    let server = RedisServer::start(&[]).await;
    let managed = conductor(&server.settings()).await;
    let before = worker(&access::login(&server, POOL, "secret"), "w").await;
    managed.publish(&[job(0), job(1), job(2)]).await.expect("published");
    assert_eq!(before.claim(1).await, [job_id(0)]);
    drop(managed);
    // Nobody has made a user yet: the one of before is left as it is.
    let external = makes_none(&operator(&server).await);
    until("the pool is open", async || external.admit(POOL, "other").await.ok()).await;
    before.beat(&[job_id(0)]).await.expect("it is let in still");
    make_the_user(&server, "theirs").await;
    let theirs = worker(&access::login(&server, POOL, "theirs"), "v").await;
    assert_eq!(theirs.claim(1).await, [job_id(1)]);
    drop(external);
    let again = conductor(&server.settings()).await;
    let last = worker(&access::login(&server, POOL, "secret"), "u").await;
    assert_eq!(last.claim(1).await, [job_id(2)]);
    theirs.beat(&[job_id(1)]).await.expect("its connection is still good");
    assert_eq!(census(&again).await.leases.len(), 3, "each is where it was");
}
