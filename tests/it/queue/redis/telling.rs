//! What a worker tells: together, in its order, and whoever is dropped on the way takes nothing of others along.

use std::time::Duration;

use futures::future::{join, join_all};
use relay::model::{
    job::{Job, News},
    json::Text,
};
use relay::queue::{Jobs, Position, Queue};
use serde_json::json;

use super::{conductor, reports, soon, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, job, job_id, placed, report, script, success},
};

/// How often a script ran.
async fn steps(server: &RedisServer) -> u64 {
    let stats: String = redis::from_redis_value(server.say(&["INFO", "commandstats"]).await).expect("text");
    let line =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).expect("a script ran");
    line.split(',').next().expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn what_is_told_in_one_moment_goes_in_few_steps_and_keeps_its_order() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&(0..300).map(job).collect::<Vec<_>>()).await.expect("published");
    assert_eq!(w.claim(300).await.len(), 300);
    let before = steps(&server).await;
    let tell = |n| {
        let news = [News::Started, success()].map(|news| report("w", &job_id(n), news));
        w.jobs.report_all(news.to_vec())
    };
    for told in join_all((0..300).map(tell)).await {
        told.expect("told");
    }
    // More than go into one step.
    assert!(steps(&server).await - before <= 4);
    let all = soon(queue.reports(Position::START, 1_000)).await.expect("reports");
    assert_eq!(all.len(), 600, "all of it is read for one commit");
    for (n, pair) in all.chunks(2).enumerate() {
        let id = job_id(u32::try_from(n).expect("few"));
        assert_eq!([&pair[0].report.job, &pair[1].report.job], [&id, &id]);
        assert_eq!([&pair[0].report.news, &pair[1].report.news], [&News::Started, &success()]);
    }
}

#[tokio::test]
async fn what_was_read_ahead_is_told_at_once_and_once_in_its_order() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&(0..150).map(job).collect::<Vec<_>>()).await.expect("published");
    assert_eq!(w.claim(150).await.len(), 150);
    for n in 0..150 {
        w.jobs.report(report("w", &job_id(n), success())).await.expect("told");
    }
    let ahead = tokio::time::timeout(Duration::from_secs(2), queue.read_ahead());
    assert!(ahead.await.is_err(), "it goes on for as long as it is waited for");
    // Redis has them no longer, so whoever has them read them before.
    server.say(&["DEL", &format!("relay:{{{POOL}}}:stream:results")]).await;
    let all = soon(queue.reports(Position::START, 1_000)).await.expect("reports");
    let jobs: Vec<_> = all.iter().map(|told| told.report.job.clone()).collect();
    assert_eq!(jobs, (0..150).map(job_id).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_what_is_told_together_each_has_its_own_answer() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(w.claim(2).await.len(), 2);
    queue.settle(Position::START, &[placed(0)]).await.expect("settled");
    let (over, held) = join(
        w.jobs.report(report("w", &job_id(0), success())),
        w.jobs.report(report("w", &job_id(1), success())),
    )
    .await;
    over.expect("nobody waits for it, and that is no error");
    held.expect("told");
    let all = reports(&queue, Position::START).await;
    assert_eq!(all.iter().map(|told| told.report.job.clone()).collect::<Vec<_>>(), [job_id(1)]);
    assert_eq!(w.beat(&[]).await.expect("a beat").unsettled, 1);
}

#[tokio::test]
async fn whoever_is_dropped_while_it_tells_for_others_takes_nothing_of_them_along() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    queue.publish(&[job(0), job(1), job(2)]).await.expect("published");
    assert_eq!(w.claim(3).await.len(), 3);
    server.say(&["CLIENT", "PAUSE", "1000", "WRITE"]).await;
    let tell = |n| w.jobs.report(report("w", &job_id(n), success()));
    // The first one has the turn, with the words of the second in its hands.
    let dropped = tokio::time::timeout(Duration::from_millis(200), tell(0));
    let (dropped, second, third) = futures::join!(dropped, tell(1), tell(2));
    assert!(dropped.is_err(), "Redis answered too early");
    second.expect("told");
    third.expect("told");
    let mut ends: Vec<_> =
        reports(&queue, Position::START).await.into_iter().map(|told| told.report.job).collect();
    ends.sort();
    ends.dedup();
    assert!(ends.contains(&job_id(1)) && ends.contains(&job_id(2)), "{ends:?}");
}

/// What a thousand of these take in Redis, each.
async fn bytes_each(jobs: Vec<Job>) -> u64 {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    let used = async || {
        let info: String = redis::from_redis_value(server.say(&["INFO", "memory"]).await).expect("text");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        line.expect("a number").trim().parse::<u64>().expect("a number")
    };
    let mut all = 0;
    for key in ["queue:pending_jobs", "queue:jobs", "queue:inputs", "queue:inputs:users"] {
        server.say(&["DEL", &format!("relay:{{{POOL}}}:{key}")]).await;
    }
    let before = used().await;
    let count = jobs.len() as u64;
    queue.publish(&jobs).await.expect("published");
    for key in ["queue:pending_jobs", "queue:jobs", "queue:inputs", "queue:inputs:users"] {
        let key = format!("relay:{{{POOL}}}:{key}");
        let size = server.say(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await;
        all += redis::from_redis_value::<Option<u64>>(size).expect("a number").unwrap_or(0);
    }
    let grown = used().await.saturating_sub(before);
    println!("{} bytes by keys, {} by the server", all / count, grown / count);
    all / count
}

#[tokio::test]
async fn a_job_that_waits_takes_at_most_300_bytes_beyond_what_it_is_given() {
    let run = "0197f1b2-8a3c-7d11-9e5f-0123456789ab";
    let of_run = |n: u32, job: Job| {
        let mut id = job_id(n);
        id.task_run.run = run.parse().expect("a run id");
        Job { id, run_name: "nightly-etl-x7k2p".to_owned(), rank: 1_800_000_000_000 + i64::from(n), ..job }
    };
    let input = Text::from(&json!({ "params": { "date": "2026-11-20" }, "run": {}, "tasks": {} }));
    let text = "n=$(/app/extract \"$REGION\" \"$DAY\")\necho \"rows:=$n\" >> \"$RELAY_OUTPUT\"\n";
    let item = |n: u32| {
        let mut job = of_run(0, Job { item: Some(json!(n)), input: input.clone(), ..script(text) });
        job.id.task_run.key.item = Some(n);
        job
    };
    let items = bytes_each((0..10_000).map(item).collect()).await;
    assert!(items <= 300, "{items} bytes an item");
    // Each with what it is given in it.
    let given = input.as_str().len() as u64;
    let single = |n: u32| {
        let mut job = of_run(1, Job { input: input.clone(), ..script(text) });
        job.id.task_run.run = format!("0197f1b2-8a3c-7d11-9e5f-{n:012}").parse().expect("a run id");
        job
    };
    let singles = bytes_each((0..10_000).map(single).collect()).await;
    assert!(singles <= 300 + given, "{singles} bytes a task, of which it is given {given}");
}
