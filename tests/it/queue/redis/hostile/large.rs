//! A pool whose user writes more than anybody should read: it is bounded, counted, and others go on.

use relay::model::job::News;
use relay::queue::{Jobs, Position, Queue, Roster};

use super::{HOSTILE, POOL, worker};
use crate::queue::redis::{Hand, books, census, conductor, reports};
use crate::support::{
    RedisServer,
    jobs::{job, job_id, report, success},
};

/// Says commands as the hostile pool's user, all at once.
async fn write(server: &RedisServer, commands: &redis::Pipeline) {
    let user = relay::link::keys::user("relay", HOSTILE);
    let url = relay::link::worker_url(&server.url(), &user, "secret").expect("a URL");
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = crate::support::redis::connected(&client).await.expect("let in");
    let said: redis::RedisResult<()> = commands.query_async(&mut connection).await;
    said.expect("it may write this");
}

fn key(name: &str) -> String {
    format!("relay:{{{HOSTILE}}}:{name}")
}

/// The other pool goes on: a job is offered, claimed and told of.
async fn others_go_on(queue: &relay::queue::redis::RedisQueue, w: &Hand, number: u32) {
    queue.publish(&[job(number)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(number)]);
    w.jobs.report(report("w", &job_id(number), success())).await.expect("told");
}

#[tokio::test]
async fn reports_that_are_too_long_are_dropped_and_counted() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    queue.admit(HOSTILE, "secret").await.expect("a pool");
    let w = worker(&server.settings(), "w").await;
    let mut commands = redis::pipe();
    let padding = "x".repeat(3 << 20);
    for _ in 0..5 {
        let long = serde_json::to_string(&report(&padding, &job_id(7), News::Started)).expect("JSON");
        commands.cmd("XADD").arg(key("stream:results")).arg("*").arg("r").arg(long).ignore();
    }
    write(&server, &commands).await;
    others_go_on(&queue, &w, 0).await;
    let told = reports(&queue, Position::START).await;
    assert!(told.iter().all(|told| *told.pool == *POOL), "only what can be one is a report");
    assert_eq!(queue.unreadable(), 5);
    assert_eq!(server.say(&["XLEN", &key("stream:results")]).await, redis::Value::Int(0), "they are gone");
}

#[tokio::test]
async fn books_that_hold_more_than_there_can_be_are_struck_off() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    queue.admit(HOSTILE, "secret").await.expect("a pool");
    let w = worker(&server.settings(), "w").await;
    others_go_on(&queue, &w, 0).await;
    // A few that are as long as a film, beside one that could be true.
    let long = "x".repeat(1 << 20);
    let mut commands = redis::pipe();
    for n in 0..10 {
        commands.cmd("HSET").arg(key("leases")).arg(format!("{n}")).arg(&long).ignore();
        commands.cmd("HSET").arg(key("leases")).arg(format!("{n}{long}")).arg("w").ignore();
        commands.cmd("ZADD").arg(key("queue:pending_jobs")).arg(n).arg(format!("{n}{long}")).ignore();
        commands.cmd("SADD").arg(key("set:active_workers")).arg(format!("{n}{long}")).ignore();
    }
    commands.cmd("HSET").arg(key("leases")).arg(job_id(9).to_string()).arg("ghost").ignore();
    write(&server, &commands).await;
    let found = census(&queue).await;
    assert_eq!(queue.struck(), 40);
    let leased = books(&found).1;
    assert_eq!(leased, [(job_id(0), "w"), (job_id(9), "ghost")]);
    others_go_on(&queue, &w, 1).await;
}

#[tokio::test]
async fn a_crowd_of_workers_that_nobody_started_is_not_listened_to() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    queue.admit(HOSTILE, "secret").await.expect("a pool");
    let w = worker(&server.settings(), "w").await;
    let crowd = async |most: u32| {
        let mut commands = redis::pipe();
        for n in 0..most {
            commands.cmd("SADD").arg(key("set:active_workers")).arg(format!("ghost-{n}")).ignore();
            commands.cmd("SET").arg(key(&format!("worker:heartbeat:ghost-{n}"))).arg("1").ignore();
        }
        write(&server, &commands).await;
    };
    crowd(3_000).await;
    assert_eq!(queue.members(HOSTILE).await.expect("members").len(), 3_000, "so many a pool may have");
    crowd(20_000).await;
    assert_eq!(queue.members(HOSTILE).await.expect("members"), []);
    crowd(20_000).await;
    assert_eq!(census(&queue).await.present, ["w"]);
    assert_eq!(queue.struck(), 1);
    others_go_on(&queue, &w, 0).await;
}
