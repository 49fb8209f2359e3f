//! Redis Cluster keeps keys in slots, and a script may touch one of them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use relay::feed::{
    Feed, LogLine, LogStream, Stream,
    redis::{RedisFeed, RedisLogs},
};
use relay::model::{ids::ShardId, job::News};
use relay::queue::{
    Go, Jobs, Position, Queue, Roster,
    redis::{Limits, RedisQueue},
};

use super::{census, conductor, reports, soon, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, placed, report, second, success},
    read, repository,
};

/// As the specification of Redis Cluster has it: CRC16 (XMODEM) of what stands in the first braces, of 16,384.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % 16_384
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The words of a command as MONITOR shows it, behind the brackets; and whether a script said it.
fn said(line: &str) -> Option<(bool, Vec<String>)> {
    let (head, rest) = line.split_once("] ")?;
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match (&mut word, letter) {
            (None, '"') => word = Some(String::new()),
            (Some(text), '\\') => text.extend(letters.next()),
            (Some(_), '"') => words.extend(word.take()),
            (Some(text), other) => text.push(other),
            (None, _) => {}
        }
    }
    Some((head.ends_with(" lua"), words))
}

fn line() -> LogLine {
    let (job, stream, at) = (job_id(0), Stream::Stdout, second(0));
    LogLine { job, stream, number: 1, at, text: "a line".to_owned(), partial: false }
}

/// A life in which every script is run.
async fn everything(server: &RedisServer) {
    let mut settings = server.settings();
    settings.announce = Duration::from_secs(2);
    let queue = conductor(&settings).await;
    let w = worker(&settings, "w").await;
    let all = [job(0), job(1), job(2)];
    queue.publish(&all).await.expect("published");
    w.claim(2).await;
    queue.remove(&placed(2)).await.expect("removed");
    queue.cancel(&placed(1)).await.expect("cancelled");
    queue.go(&[Go { place: placed(0), worker: "w".to_owned() }]).await.expect("told");
    w.jobs.report(report("w", &job_id(0), News::Started)).await.expect("told");
    w.jobs.report(report("w", &job_id(0), success())).await.expect("told");
    let told = reports(&queue, Position::START).await;
    queue.members(POOL).await.expect("members");
    queue.retire(POOL, 1).await.expect("retired");
    w.jobs.give_back("w", &[job_id(1)]).await.expect("given back");
    queue.settle(told[1].at, &[placed(0), placed(1)]).await.expect("settled");
    queue.overrule(POOL, 99).await.expect("nothing to forget");
    let (feed, logs) = (
        RedisFeed::new(&settings, POOL, Default::default()).expect("a feed"),
        RedisLogs::new(&settings).expect("a stream"),
    );
    let ((), batch) = soon(async { tokio::join!(feed.log(vec![line()]), logs.read(10)) }).await;
    logs.trim(&batch.expect("lines")).await.expect("trimmed");
    // Another life, and its end. The worker has heard that its ends are settled.
    w.beat(&[]).await.expect("a beat");
    census(&queue).await;
    server.say(&["FLUSHALL"]).await;
    until("it begins anew", async || queue.census(second(0)).await.ok()).await;
    w.beat(&[]).await.expect("a beat");
    until("everybody has told", async || (!census(&queue).await.announcing).then_some(())).await;
    queue.lead(&all_led(2));
    // Another process leads other pools, and keeps workers of this one from books of an older life.
    let other = RedisQueue::new(&settings, Limits::default()).expect("a queue");
    other.lead(&all_led(2).into_iter().filter(|(shard, _)| *shard != ShardId::of_pool(POOL)).collect());
    other.ping().await.expect("it is there");
    w.jobs.leave("w").await.expect("a good-bye");
    queue.dismiss(POOL).await.expect("dismissed");
    census(&queue).await;
}

#[tokio::test]
async fn every_script_stays_in_one_slot() {
    assert_eq!(crc16(b"123456789"), 0x31C3, "as the specification has it");
    let server = RedisServer::start(&[]).await;
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut heard = client.get_async_monitor().await.expect("it is told").into_on_message::<String>();
    everything(&server).await;
    server.say(&["ECHO", "that is all"]).await;
    let mut scripts: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut running = String::new();
    let mut asked: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    loop {
        let heard = soon(heard.next()).await.expect("it goes on");
        let Some((by_script, words)) = said(&heard) else { continue };
        match words.first().map(|word| word.to_lowercase()).as_deref() {
            Some("echo") => break,
            Some("evalsha") => {
                running.clone_from(&words[1]);
                let keys: usize = words[2].parse().expect("a number");
                scripts
                    .entry(running.clone())
                    .or_default()
                    .extend(words[3..3 + keys].iter().map(|key| slot(key)));
                assert!(keys > 0, "{words:?}");
            }
            _ if by_script && words.len() > 1 => {
                let question: Vec<&str> =
                    ["COMMAND", "GETKEYS"].into_iter().chain(words.iter().map(String::as_str)).collect();
                let keys = match asked.get(&words) {
                    Some(keys) => keys.clone(),
                    None => redis::from_redis_value(server.say(&question).await).expect("keys"),
                };
                asked.insert(words, keys.clone());
                scripts.entry(running.clone()).or_default().extend(keys.iter().map(|key| slot(key)));
            }
            _ => {}
        }
    }
    for (script, slots) in &scripts {
        assert_eq!(slots.len(), 1, "script {script} touches the slots {slots:?}");
    }
    assert_each_was_run(&scripts);
}

/// Each script that there is, is among those that were run.
#[track_caller]
fn assert_each_was_run(scripts: &BTreeMap<String, BTreeSet<u16>>) {
    let prelude = read("src/queue/redis/scripts/prelude.lua");
    for folder in ["src/queue/redis/scripts", "src/feed/redis"] {
        for file in std::fs::read_dir(repository(folder)).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_none_or(|kind| kind != "lua") || path.ends_with("prelude.lua") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a script");
            // As it is, or behind what all of its kind begin with.
            let whole = |parts: &[&str]| redis::Script::new(&parts.concat()).get_hash().to_owned();
            let heads = ["", "#!lua flags=allow-oom\n"];
            let known =
                heads.iter().flat_map(|head| [whole(&[head, &text]), whole(&[head, &prelude, &text])]);
            assert!(
                known.into_iter().any(|sha| scripts.contains_key(&sha)),
                "{} was not run",
                path.display()
            );
        }
    }
}
