//! Lines through Redis into the store: none is lost, none counts for another pool, and workers wait when it is too much.

use std::{sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::conductor::{Compile, LogPump, Pumped};
use relay::crd;
use relay::feed::{
    Event, Feed, Item, LogBatch, LogLine, LogStream, Reader, Stream,
    memory::MemoryFeed,
    redis::{Limits, RedisFeed, RedisLogs},
};
use relay::link::RedisSettings;
use relay::model::{
    ids::{TaskKey, TaskRunId},
    job::JobId,
    log::LogQuery,
};
use relay::store::{Store, memory::MemoryStore};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::conformance::store::rows;
use crate::store::a_store;
use crate::support::{RedisServer, redis::settings};

const POOL: &str = "data/default";

fn lines(run: &str, task: u32, numbers: std::ops::RangeInclusive<u64>) -> Vec<LogLine> {
    let task_run = TaskRunId { run: rows::run_id(run), key: TaskKey::of_task(task) };
    let job = JobId { task_run, attempt: 1 };
    let line = |number| LogLine {
        job: job.clone(),
        stream: Stream::Stdout,
        number,
        at: rows::at(0),
        text: format!("line {number} of {run}"),
        partial: false,
    };
    numbers.map(line).collect()
}

fn feed(settings: &RedisSettings, pool: &str, limits: Limits) -> RedisFeed {
    RedisFeed::new(settings, pool, limits).expect("a feed")
}

/// The reader of all pools, which knows these.
async fn stream(settings: &RedisSettings, pools: &[&str]) -> Arc<RedisLogs> {
    open(settings, pools).await;
    let stream = || RedisLogs::new(settings).expect("a stream");
    // Workers write by a script that a reader makes known.
    still_waits(stream().read(1)).await;
    Arc::new(stream())
}

async fn open(settings: &RedisSettings, pools: &[&str]) {
    let queue = relay::queue::redis::RedisQueue::new(settings, relay::queue::redis::Limits::default());
    let queue = queue.expect("a queue");
    relay::queue::Queue::lead(&queue, &crate::support::jobs::all_led(1));
    for pool in pools {
        relay::queue::Roster::admit(&queue, pool, "secret").await.expect("a pool");
    }
}

async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wanted).await.expect("it should not wait so long")
}

async fn still_waits<T>(future: impl Future<Output = T>) {
    assert!(tokio::time::timeout(Duration::from_millis(200), future).await.is_err(), "it did not wait");
}

fn all(batch: &LogBatch) -> Vec<LogLine> {
    batch.pieces.iter().flat_map(|piece| piece.lines.clone()).collect()
}

#[tokio::test]
async fn lines_wait_until_they_are_stored() {
    let settings = settings(Duration::from_secs(60));
    let (stream, feed) = (stream(&settings, &[POOL]).await, feed(&settings, POOL, Limits::default()));
    let mut reading = stream.read(1_000);
    still_waits(&mut reading).await;
    feed.log(vec![]).await;
    feed.log(lines("r", 0, 1..=3)).await;
    let first = soon(reading).await.expect("lines");
    assert_eq!((all(&first), first.pieces[0].pool.as_str()), (lines("r", 0, 1..=3), POOL));
    assert_eq!(soon(stream.read(1_000)).await.expect("lines"), first, "until they are stored");
    feed.log(lines("r", 0, 4..=5)).await;
    stream.trim(&first).await.expect("trimmed");
    let second = soon(stream.read(1_000)).await.expect("lines");
    assert_eq!(all(&second), lines("r", 0, 4..=5));
    stream.trim(&first).await.expect("twice is once");
    stream.trim(&second).await.expect("trimmed");
    still_waits(stream.read(1_000)).await;
}

#[tokio::test]
async fn a_full_stream_makes_workers_wait_and_loses_nothing() {
    let settings = settings(Duration::from_secs(60));
    let few = Limits { entries: 2, ..Limits::default() };
    let (stream, few) = (stream(&settings, &[POOL]).await, feed(&settings, POOL, few));
    few.log(lines("r", 0, 1..=1)).await;
    few.log(lines("r", 0, 2..=2)).await;
    still_waits(few.log(lines("r", 0, 9..=9))).await;
    let batch = soon(stream.read(1_000)).await.expect("lines");
    assert_eq!(all(&batch), lines("r", 0, 1..=2), "what was not taken is not half there");
    let later = few.log(lines("r", 0, 3..=3));
    let storing = async { stream.trim(&batch).await.expect("trimmed") };
    soon(async { tokio::join!(later, storing) }).await;
    assert_eq!(all(&soon(stream.read(1_000)).await.expect("lines")), lines("r", 0, 3..=3));

    let small = feed(&settings, POOL, Limits { bytes: 10, ..Limits::default() });
    still_waits(small.log(lines("r", 0, 4..=4))).await;
    let batch = soon(stream.read(1_000)).await.expect("lines");
    stream.trim(&batch).await.expect("trimmed");
    soon(small.log(lines("r", 0, 4..=4))).await;
}

#[tokio::test]
async fn long_lines_and_large_batches_come_as_they_were() {
    let settings = settings(Duration::from_secs(60));
    let (stream, feed) = (stream(&settings, &[POOL]).await, feed(&settings, POOL, Limits::default()));
    let text = "\u{1F600}\"\\\u{7}".repeat(8_000);
    let long: Vec<LogLine> =
        lines("r", 0, 1..=20).into_iter().map(|line| LogLine { text: text.clone(), ..line }).collect();
    feed.log(long.clone()).await;
    let mut came = Vec::new();
    while came.len() < long.len() {
        let batch = soon(stream.read(3)).await.expect("lines");
        came.extend(all(&batch));
        stream.trim(&batch).await.expect("trimmed");
    }
    assert_eq!(came, long);
}

#[tokio::test]
async fn a_new_pools_lines_are_heard_at_once() {
    let mut settings = settings(Duration::from_secs(60));
    // If it were only found by looking, this test would take too long.
    settings.look = Duration::from_secs(300);
    let stream = stream(&settings, &[POOL]).await;
    let mut reading = stream.read(1_000);
    still_waits(&mut reading).await;
    open(&settings, &["data/new"]).await;
    feed(&settings, "data/new", Limits::default()).log(lines("r", 0, 1..=1)).await;
    let batch = soon(reading).await.expect("lines");
    assert_eq!(batch.pieces[0].pool, "data/new");
}

#[tokio::test]
async fn what_nobody_can_read_stops_nobody() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let stream = stream(&settings, &[POOL, "data/other"]).await;
    let key = format!("relay:{{{POOL}}}:stream:logs");
    server.say(&["XADD", &key, "*", "l", "{"]).await;
    server.say(&["XADD", &key, "*", "x", "y"]).await;
    let long = lines("r", 0, 1..=1).into_iter().map(|line| LogLine { text: "x".repeat(3 << 20), ..line });
    let long = serde_json::to_string(&long.collect::<Vec<_>>()).expect("JSON");
    server.say(&["XADD", &key, "*", "l", &long]).await;
    let batch = soon(stream.read(1_000)).await.expect("nothing of it can be read");
    assert_eq!((all(&batch), stream.unreadable()), (vec![], 3));
    stream.trim(&batch).await.expect("trimmed");
    // No stream at all.
    server.say(&["SET", &key, "junk"]).await;
    feed(&settings, "data/other", Limits::default()).log(lines("r", 0, 1..=1)).await;
    assert!(soon(stream.read(1_000)).await.is_err());
    assert_eq!(all(&soon(stream.read(1_000)).await.expect("it is mended")), lines("r", 0, 1..=1));
    soon(feed(&settings, POOL, Limits::default()).log(lines("r", 0, 2..=2))).await;
}

#[tokio::test]
async fn lines_wait_for_a_redis_that_is_away() {
    let mut server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (stream, feed) = (stream(&settings, &[POOL]).await, feed(&settings, POOL, Limits::default()));
    feed.log(lines("r", 0, 1..=1)).await;
    server.kill();
    still_waits(feed.log(lines("r", 0, 9..=9))).await;
    let mut late = Box::pin(feed.log(lines("r", 0, 2..=2)));
    still_waits(&mut late).await;
    server.start_again().await;
    open(&settings, &[POOL]).await;
    let reading = async {
        loop {
            match stream.read(1_000).await {
                Ok(batch) if !all(&batch).is_empty() => return all(&batch),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let ((), came) = soon(async { tokio::join!(late, reading) }).await;
    assert_eq!(came, lines("r", 0, 2..=2));
}

#[tokio::test]
async fn a_workers_feed_shows_nothing() {
    let settings = settings(Duration::from_secs(60));
    let feed = feed(&settings, POOL, Limits::default());
    feed.publish(Vec::<Event>::new());
    assert_eq!(feed.subscribe(None, Reader::Every).next(1).await, Vec::<Item>::new(), "it is closed");
}

/// Task 0 runs in the pool `default`, all others in `gpu`.
fn compile() -> Compile {
    let mut text =
        "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {name: etl, namespace: data}\n\
                    spec:\n  pool: gpu\n  tasks:\n    - {name: t0, pool: default, command: [\"true\"]}\n"
            .to_owned();
    for task in 1..rows::TASKS {
        text += &format!("    - {{name: t{task}, command: [\"true\"]}}\n");
    }
    let manifests = crd::load("etl.yaml", text.as_bytes(), &crd::Overrides::default());
    let workflow = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0).workflow;
    Arc::new(move |_| Ok(workflow.as_ref().clone()))
}

fn pump(stream: Arc<RedisLogs>, store: Arc<dyn Store>, feed: Arc<MemoryFeed>) -> LogPump {
    LogPump { stream, store, feed, clock: Clock::system(), compile: compile(), outlook: None }
}

async fn stored(store: &dyn Store, run: &str) -> Vec<LogLine> {
    let query = LogQuery { run: rows::run_id(run), task: None, item: None, after: 0, limit: 1_000 };
    store.logs(&query).await.expect("lines").into_iter().map(|stored| stored.line).collect()
}

/// Lets the pump work until the store holds so many lines of the run `r`.
async fn pumped(pump: LogPump, store: &dyn Store, count: usize) -> Pumped {
    let stop = CancellationToken::new();
    let watching = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while stored(store, "r").await.len() < count {
            looks.tick().await;
        }
        stop.cancel();
    };
    let (pumped, ()) = soon(async { tokio::join!(pump.run(stop.clone()), watching) }).await;
    pumped
}

#[tokio::test]
async fn a_line_counts_only_for_a_task_of_the_pool_that_it_came_from() {
    let settings = settings(Duration::from_secs(60));
    let stream = stream(&settings, &[POOL, "data/gpu", "web/default"]).await;
    let store = Arc::new(MemoryStore::new(Arc::new(|| rows::at(0))));
    for (namespace, run) in [("data", "r"), ("web", "s")] {
        let fence = rows::prepare(store.as_ref(), namespace, "a").await;
        rows::with_runs(store.as_ref(), fence, &[rows::a_run(run, namespace)]).await;
    }
    let of = |pool| feed(&settings, pool, Limits::default());
    of("web/default").log(lines("r", 0, 1..=2)).await;
    of("data/gpu").log(lines("r", 0, 3..=4)).await;
    of(POOL).log(lines("s", 0, 1..=1)).await;
    of(POOL).log(lines("r", 1, 1..=1)).await;
    of(POOL).log(lines("r", 4_000_000, 1..=1)).await;
    of(POOL).log(lines("nobody", 0, 1..=1)).await;
    of("data/gpu").log(lines("r", 1, 5..=5)).await;
    of(POOL).log(lines("r", 0, 5..=9)).await;
    let live = Arc::new(MemoryFeed::default());
    let mut reader = live.subscribe(None, Reader::Watch);
    let told = pumped(pump(stream, store.clone(), live.clone()), store.as_ref(), 6).await;
    let own: Vec<LogLine> = lines("r", 0, 5..=9).into_iter().chain(lines("r", 1, 5..=5)).collect();
    let mut kept = stored(store.as_ref(), "r").await;
    kept.sort_by_key(|line| (line.job.clone(), line.number));
    assert_eq!(kept, own);
    assert_eq!(stored(store.as_ref(), "s").await, []);
    assert_eq!((told.lines, told.foreign, told.unknown), (6, 7, 1), "{told:?}");
    drop(live);
    let mut seen = 0;
    while seen < 6 {
        let items = soon(reader.next(100)).await;
        assert!(!items.is_empty(), "followers see what is stored");
        seen += items.iter().filter(|item| matches!(item, Item::Line(line) if own.contains(line))).count();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_wait_in_redis_while_the_store_is_away() {
    let settings = settings(Duration::from_secs(60));
    let stream = stream(&settings, &[POOL]).await;
    let (db, store) = a_store(|settings| settings.lock_timeout = Duration::from_millis(100)).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    rows::with_runs(store.as_ref(), fence, &[rows::a_run("r", "data")]).await;
    feed(&settings, POOL, Limits::default()).log(lines("r", 0, 1..=5)).await;
    // The lock of whoever writes lines: until it is given up, no line can be stored.
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    let turn = "select pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'task_logs'::regclass::oid::integer)";
    sqlx::query(turn).execute(&mut *tx).await.expect("locked");
    let held = pump(stream.clone(), store.clone(), Arc::new(MemoryFeed::default()));
    let stop = CancellationToken::new();
    let mut working = Box::pin(held.run(stop.clone()));
    for _ in 0..3 {
        still_waits(&mut working).await;
    }
    stop.cancel();
    assert_eq!(soon(working).await, Pumped::default(), "told to stop, it stops");
    let again = pump(stream.clone(), store.clone(), Arc::new(MemoryFeed::default()));
    let giving_up = async {
        still_waits(std::future::pending::<()>()).await;
        tx.commit().await.expect("given up");
    };
    let (told, ()) = soon(async { tokio::join!(pumped(again, store.as_ref(), 5), giving_up) }).await;
    assert_eq!(stored(store.as_ref(), "r").await, lines("r", 0, 1..=5));
    assert_eq!(told.refused, 0);
}
