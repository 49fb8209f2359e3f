//! How jobs and reports lie in Redis: once, bounded, and safe from what somebody else writes there.

use relay::model::{
    job::{Job, News, Outcome, PROTOCOL, Report},
    json::Text,
};
use relay::queue::{
    Jobs, Position, Queue, QueueError, Roster,
    redis::{Limits, RedisQueue},
};
use serde_json::json;

use super::{books, census, conductor, reports, soon, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, placed, report, success},
};

/// Jobs that share one document, as the items of a forEach do.
fn items(count: u32) -> Vec<Job> {
    let input = Text::from(&json!({ "params": { "text": "x".repeat(100_000) } }));
    let task_name = "each".to_owned();
    (0..count)
        .map(|n| Job { input: input.clone(), item: Some(json!(n)), task_name: task_name.clone(), ..job(n) })
        .collect()
}

async fn length(server: &RedisServer, command: &str, key: &str) -> i64 {
    match server.say(&[command, &format!("relay:{{{POOL}}}:{key}")]).await {
        redis::Value::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_document_that_jobs_share_is_stored_once_and_goes_with_the_last_of_them() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    let jobs = items(1_000);
    queue.publish(&jobs[..10]).await.expect("published");
    queue.publish(&jobs[10..]).await.expect("published");
    queue.publish(&jobs).await.expect("nothing new");
    assert_eq!(length(&server, "HLEN", "queue:inputs").await, 2, "how the task reads, and what it is given");
    let redis::Value::Int(bytes) =
        server.say(&["MEMORY", "USAGE", &format!("relay:{{{POOL}}}:queue:jobs")]).await
    else {
        panic!("no number")
    };
    assert!(bytes < 2_000_000, "{bytes} bytes");
    let claimed = soon(w.try_claim(500, &[])).await.expect("a claim");
    assert_eq!(claimed, jobs[..500]);
    let half: Vec<_> = (0..500).map(placed).collect();
    queue.settle(Position::START, &half).await.expect("settled");
    assert_eq!(soon(w.try_claim(500, &[])).await.expect("a claim"), jobs[500..]);
    let rest: Vec<_> = (500..1_000).map(placed).collect();
    queue.settle(Position::START, &rest).await.expect("settled");
    assert_eq!(length(&server, "HLEN", "queue:inputs").await, 0);
    assert_eq!(length(&server, "HLEN", "queue:jobs").await, 0);
    // It is gone, and the conductor's side hears of it.
    queue.publish(&jobs[..1]).await.expect("published");
    assert_eq!(soon(w.try_claim(1, &[])).await.expect("a claim"), jobs[..1]);
    queue.settle(Position::START, &[placed(0)]).await.expect("settled");
    assert_eq!(queue.remove(&placed(0)).await.expect("an answer"), relay::queue::Removal::Absent);
    w.jobs.leave("w").await.expect("a good-bye");
    queue.dismiss(POOL).await.expect("dismissed");
    census(&queue).await;
    let left = server.say(&["KEYS", &format!("relay:{{{POOL}}}:*")]).await;
    let left: Vec<String> = redis::from_redis_value(left).expect("keys");
    assert_eq!(
        left,
        [format!("relay:{{{POOL}}}:epoch")],
        "nothing is left of the pool but who led it, for a day"
    );
}

#[tokio::test]
async fn pending_jobs_have_a_bound_and_what_is_too_large_holds_nobody_up() {
    let server = RedisServer::start(&[]).await;
    let limits = Limits { pending: 2, job: 10_000 };
    let queue = RedisQueue::new(&server.settings(), limits).expect("a queue");
    queue.lead(&all_led(1));
    let large = Job { run_name: "x".repeat(20_000), ..job(9) };
    let unfit = queue.publish(&[large, job(1)]).await.expect("there is room");
    assert_eq!(unfit.len(), 1);
    assert_eq!(unfit[0].job, job_id(9));
    assert!(unfit[0].why.contains("of at most 10000"), "{}", unfit[0].why);
    let full = queue.publish(&[job(1), job(2), job(3)]).await;
    assert!(matches!(full, Err(QueueError::Full(_))), "{full:?}");
    assert_eq!(books(&census(&queue).await).0, [job_id(1), job_id(2)]);
    queue.settle(Position::START, &[placed(1)]).await.expect("settled");
    queue.publish(&[job(2), job(3)]).await.expect("there is room again");
}

#[tokio::test]
async fn a_pool_that_is_full_keeps_no_other_one_from_its_jobs() {
    let server = RedisServer::start(&[]).await;
    let limits = Limits { pending: 2, ..Limits::default() };
    let queue = RedisQueue::new(&server.settings(), limits).expect("a queue");
    queue.lead(&all_led(1));
    let other = Job { pool: "data/z-other".to_owned(), ..job(9) };
    let full = queue.publish(&[job(1), job(2), job(3), other]).await;
    assert!(matches!(full, Err(QueueError::Full(_))), "{full:?}");
    assert_eq!(books(&census(&queue).await).0, [job_id(1), job_id(2), job_id(9)]);
}

#[tokio::test]
async fn an_end_in_words_of_a_version_too_far_away_is_a_failure_that_says_so() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(1)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(1)]);
    let strange = Report { version: PROTOCOL + 9, ..report("w", &job_id(1), success()) };
    w.jobs.report(strange).await.expect("told");
    let told = reports(&queue, Position::START).await;
    let News::Ended(Outcome::Failed { message, .. }) = &told[0].report.news else { panic!("{told:?}") };
    assert!(message.contains(&format!("version {}", PROTOCOL + 9)), "{message}");
    queue.settle(told[0].at, &[placed(1)]).await.expect("settled");
    assert_eq!(books(&census(&queue).await), (vec![], vec![]), "nobody waits for it");
}

#[tokio::test]
async fn a_user_that_somebody_took_away_is_made_again() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, _w) = (conductor(&settings).await, worker(&settings, "w").await);
    let user = queue.user(POOL);
    server.say(&["ACL", "DELUSER", &user]).await;
    census(&queue).await;
    let users: Vec<String> = redis::from_redis_value(server.say(&["ACL", "USERS"]).await).expect("names");
    assert!(users.contains(&user), "{users:?}");
}

#[tokio::test]
async fn what_is_told_to_a_pool_that_was_forgotten_and_made_anew_is_heard() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(1)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(1)]);
    w.jobs.report(report("w", &job_id(1), success())).await.expect("told");
    let told = reports(&queue, Position::START).await;
    queue.settle(told[0].at, &[placed(1)]).await.expect("settled");
    w.jobs.leave("w").await.expect("a good-bye");
    queue.dismiss(POOL).await.expect("dismissed");
    census(&queue).await;
    // The stream begins anew, and the server's clock may have been put back: ids may be lower than before.
    let key = format!("relay:{{{POOL}}}:stream:results");
    let body = serde_json::to_string(&report("w", &job_id(2), success())).expect("JSON");
    server.say(&["XADD", &key, "1-1", "r", &body]).await;
    queue.admit(POOL, "secret").await.expect("a pool");
    let again = until("it is heard", async || {
        census(&queue).await;
        let heard =
            tokio::time::timeout(std::time::Duration::from_millis(500), queue.reports(told[0].at, 10));
        heard.await.ok()?.ok().filter(|told| !told.is_empty())
    })
    .await;
    assert_eq!(again[0].report.job, job_id(2));
}

#[tokio::test]
async fn keys_of_a_wrong_type_stop_nobody_for_long() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let queue = conductor(&settings).await;
    for key in [
        "queue:pending_jobs",
        "queue:jobs",
        "queue:inputs",
        "queue:inputs:users",
        "queue:doorbell",
        "leases",
        "leases:ended",
        "leases:cancelled",
        "set:active_workers",
        "set:retired_workers",
        "incarnation",
        "stream:results",
        "stream:results:settled",
        "stream:logs",
    ] {
        let whole = format!("relay:{{{POOL}}}:{key}");
        let wrong: &[&str] = match key {
            "incarnation" | "stream:results:settled" => &["RPUSH", &whole, "junk"],
            _ => &["SET", &whole, "junk"],
        };
        server.say(&["DEL", &whole]).await;
        server.say(wrong).await;
        let w = until(key, async || {
            census(&queue).await;
            let w = super::Hand {
                jobs: relay::queue::redis::RedisJobs::new(&settings, POOL, "w").expect("a worker"),
                name: "w".to_owned(),
            };
            w.beat(&[]).await.ok().map(|_| w)
        })
        .await;
        let task = async || {
            queue.publish(&items(1)).await.ok()?;
            let claimed = tokio::time::timeout(std::time::Duration::from_secs(3), w.try_claim(1, &[])).await;
            claimed.ok()?.ok().filter(|jobs| jobs.len() == 1)
        };
        until(key, task).await;
        w.jobs.report(report("w", &job_id(0), success())).await.expect(key);
        let all = reports(&queue, Position::START).await;
        queue.settle(all[all.len() - 1].at, &[placed(0)]).await.expect(key);
        assert_eq!(books(&census(&queue).await), (vec![], vec![]), "{key}");
        w.jobs.leave("w").await.expect(key);
    }
}

#[tokio::test]
async fn what_nobody_can_read_is_dropped_and_counted_and_the_rest_is_read() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(0)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(0)]);
    let stream = format!("relay:{{{POOL}}}:stream:results");
    let whole = report("w", &job_id(0), News::Started);
    let of = |version| serde_json::to_string(&Report { version, ..whole.clone() }).expect("text");
    let (far, near) = (of(PROTOCOL + 2), [of(PROTOCOL - 1), of(PROTOCOL + 1)]);
    for fields in
        [&["r", "{"][..], &["r", "\u{0}"], &["x", "y"], &["r", &far], &["r", &near[0]], &["r", &near[1]]]
    {
        let words: Vec<&str> = ["XADD", &stream, "*"].iter().chain(fields).copied().collect();
        server.say(&words).await;
    }
    w.jobs.report(report("w", &job_id(0), News::Started)).await.expect("told");
    let all = reports(&queue, Position::START).await;
    let versions: Vec<u16> = all.iter().map(|told| told.report.version).collect();
    assert_eq!(versions, [PROTOCOL - 1, PROTOCOL + 1, PROTOCOL], "one version to either side is served");
    assert_eq!(queue.unreadable(), 4);
    assert_eq!(length(&server, "XLEN", "stream:results").await, 3, "nobody will ever settle the others");
    assert_eq!(census(&queue).await.reported, all[2].at);
}

#[tokio::test]
async fn a_job_that_a_worker_cannot_read_fails_and_is_not_given_again() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(0), job(1)]).await.expect("published");
    let jobs = format!("relay:{{{POOL}}}:queue:jobs");
    server.say(&["HSET", &jobs, &job_id(0).to_string(), "\n{\"version\": 7}"]).await;
    assert_eq!(w.claim(2).await, [job_id(1)]);
    let all = reports(&queue, Position::START).await;
    assert_eq!(all[0].report.job, job_id(0));
    assert!(format!("{:?}", all[0].report.news).contains("cannot read the job"), "{all:?}");
}

#[tokio::test]
async fn a_pool_that_another_process_opens_is_heard_at_once() {
    let server = RedisServer::start(&[]).await;
    let mut settings = server.settings();
    // If it were only found by looking, this test would take too long.
    settings.look = std::time::Duration::from_secs(300);
    let (reader, other) = (conductor(&settings).await, conductor(&settings).await);
    let mut waiting = reader.reports(Position::START, 9);
    let moment = std::time::Duration::from_millis(100);
    assert!(tokio::time::timeout(moment, &mut waiting).await.is_err(), "there is nothing to read yet");
    other.publish(&[Job { pool: "data/new".to_owned(), ..job(0) }]).await.expect("published");
    let w = relay::queue::redis::RedisJobs::new(&settings, "data/new", "w").expect("a worker");
    let claim = relay::queue::Claim {
        worker: "w".to_owned(),
        pools: relay::queue::Pools::One("data/new".to_owned()),
        slots: 1,
        holding: Vec::new(),
    };
    assert_eq!(soon(w.claim(&claim)).await.expect("a claim").len(), 1);
    w.report(report("w", &job_id(0), success())).await.expect("told");
    let all = soon(waiting).await.expect("reports");
    assert_eq!(*all[0].pool, *"data/new");
}
