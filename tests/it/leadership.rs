//! A conductor's leadership as others see it: the fence by which they write beside it.

use std::collections::BTreeMap;
use std::{sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::conductor::{
    Adopt, Conductor, ConductorError, DecideError, Housekeeping, Limits, Older, Outlook, Params, Positions,
    TOLD_WITHIN, TRUST, every_shard,
};
use relay::crd::schema::Kind;
use relay::feed::memory::MemoryFeed;
use relay::model::head::Head;
use relay::model::ids::{RunId, ShardId};
use relay::operator::api::{ApiError, Cluster, ObjectName};
use relay::queue::{self, memory::MemoryQueue};
use relay::store::{Store, StoreError, TAKEOVER_AFTER, memory::MemoryStore};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::conformance::store::{expire::ended, rows};
use crate::support::jobs::second;

fn params(store: &Arc<MemoryStore>, clock: &Clock, holder: &str, outlook: &Arc<Outlook>) -> Params {
    Params {
        store: store.clone(),
        queue: Arc::new(MemoryQueue::new(queue::memory::Limits::default())),
        feed: Arc::new(MemoryFeed::default()),
        clock: clock.clone(),
        compile: Arc::new(|_| Err("nothing is compiled here".to_owned())),
        holder: holder.to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: Limits::default(),
        outlook: Some(outlook.clone()),
    }
}

fn a_store(clock: &Clock) -> Arc<MemoryStore> {
    let now = clock.clone();
    Arc::new(MemoryStore::new(Arc::new(move || now.now())))
}

/// A process that is stopped is a future that nobody polls.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_stopped_proves_nothing_before_another_leads_and_ends_when_it_wakes() {
    let clock = Clock::manual(second(0));
    let (store, shard) = (a_store(&clock), ShardId::of_namespace("data"));
    let [first, other] = [Arc::new(Outlook::default()), Arc::new(Outlook::default())];
    let (conductor, handle) = Conductor::new(params(&store, &clock, "first", &first));
    let mut stopped = Box::pin(conductor.run(CancellationToken::new()));
    tokio::select! {
        ended = &mut stopped => panic!("{ended:?}"),
        live = handle.live() => assert_eq!(live, Some(vec![])),
    }
    let fence = first.fence(shard).expect("it leads");
    let nowhere = kube::Config::new("http://127.0.0.1:9".parse().expect("a URI"));
    let client = relay::operator::client::of(nowhere).expect("a client");
    assert_eq!(Cluster::new(client.clone()).may_write("data"), Err(ApiError::NotLeading), "led by nobody");
    let cluster = Cluster::new(client).led_by(first.clone());
    assert_eq!(cluster.may_write("data"), Ok(()));

    tokio::time::advance(TRUST - Duration::from_millis(1)).await;
    assert_eq!(first.fence(shard), Some(fence));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(first.fence(shard), None, "the store may let another one lead soon");
    let (run, status) = (ObjectName::new("data", "nightly"), json!({"status": {}}));
    let written = cluster.patch_status(Kind::Run, &run, &status).await;
    assert_eq!(written, Err(ApiError::NotLeading), "not even tried");
    let (early, _handle) = Conductor::new(params(&store, &clock, "second", &other));
    let held = early.run(CancellationToken::new()).await;
    assert!(matches!(held, Err(ConductorError::Held { .. })), "{held:?}");

    tokio::time::advance(TAKEOVER_AFTER - TRUST).await;
    let (conductor, handle) = Conductor::new(params(&store, &clock, "second", &other));
    let stop = CancellationToken::new();
    let running = tokio::spawn(conductor.run(stop.clone()));
    assert_eq!(handle.live().await, Some(vec![]));
    assert_eq!(other.fence(shard).map(|fence| fence.epoch), Some(fence.epoch + 1));
    let woken = stopped.await;
    assert!(matches!(woken, Err(ConductorError::Deposed(_))), "{woken:?}");
    assert_eq!(first.fence(shard), None);
    stop.cancel();
    running.await.expect("ran").expect("in order");
}

#[tokio::test]
async fn a_head_is_written_by_the_fence_of_whoever_leads() {
    let clock = Clock::system();
    let (store, outlook) = (a_store(&clock), Arc::new(Outlook::default()));
    let head = Head {
        namespace: "data".to_owned(),
        name: "etl".to_owned(),
        revision: Err("no tasks".to_owned()),
        labels: BTreeMap::new(),
        unhashed: json!({}),
    };
    assert_eq!(outlook.fence(head.shard()), None);

    let (conductor, handle) = Conductor::new(params(&store, &clock, "first", &outlook));
    let stop = CancellationToken::new();
    let running = tokio::spawn(conductor.run(stop.clone()));
    // It answers once it leads.
    assert_eq!(handle.live().await, Some(vec![]));
    let fence = outlook.fence(head.shard()).expect("it leads every shard");
    store.put_head(&head, &fence).await.expect("written");

    // A second one is told who leads, and has taken nothing from the first.
    let beside = Arc::new(Outlook::default());
    let (second, _handle) = Conductor::new(params(&store, &clock, "second", &beside));
    match second.run(CancellationToken::new()).await {
        Err(ConductorError::Held { shard, holder, .. }) => {
            assert_eq!((shard.number(), holder.as_str()), (0, "first"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(beside.fence(head.shard()), None);
    store.put_head(&head, &fence).await.expect("still the leader");

    stop.cancel();
    running.await.expect("ran").expect("in order");
    assert_eq!(outlook.fence(head.shard()), None);
    let late = store.drop_head("data", "etl", &fence).await;
    assert!(matches!(late, Err(StoreError::Deposed { .. })), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_begins_when_it_was_told_how_far_all_had_come_or_when_nobody_says_so() {
    let clock = Clock::manual(second(0));
    for told in [true, false] {
        let (store, outlook) = (a_store(&clock), Arc::new(Outlook::default()));
        let params = Params { older: Older::Stops, ..params(&store, &clock, "first", &outlook) };
        let (conductor, handle) = Conductor::new(params);
        let stop = CancellationToken::new();
        let running = tokio::spawn(conductor.run(stop.clone()));
        // Questions are answered, and nothing is done.
        assert_eq!(handle.live().await, Some(vec![]));
        let nobody = "0197a3f0-0000-7000-8000-000000000000".parse::<RunId>().expect("an id");
        let mut asked = Box::pin(handle.cancel(nobody, false));
        let before = tokio::time::Instant::now();
        if told {
            // A word about one shard is not the word about all.
            handle.told(Positions::from([(ShardId::of_namespace("data"), 7)])).await;
            assert_eq!(outlook.all_stopped(), Positions::from([(ShardId::of_namespace("data"), 7)]));
            assert!(futures::poll!(&mut asked).is_pending());
            let other = ShardId::of_namespace("other");
            handle.told_all(Positions::from([(other, 3), (ShardId::of_namespace("third"), 0)])).await;
            assert_eq!(outlook.all_stopped().len(), 2, "all that is behind, and nothing else");
        }
        let answer = asked.await;
        assert!(matches!(answer, Err(DecideError::NoSuchRun(_))), "{answer:?}");
        let waited = before.elapsed();
        assert_eq!(waited >= TOLD_WITHIN, !told, "{waited:?}");
        stop.cancel();
        running.await.expect("ran").expect("in order");
    }
}

/// Pass after pass, and each only while this process leads.
#[tokio::test(start_paused = true)]
async fn whoever_leads_removes_what_ended_long_ago_and_nobody_else_does() {
    let clock = Clock::manual(rows::at(100_000));
    let store = a_store(&clock);
    let fence = rows::prepare(store.as_ref(), "data", "before").await;
    let ended = [ended("old", "data", 10), ended("young", "data", 99_000), rows::a_run("live", "data")];
    let fence = rows::with_runs(store.as_ref(), fence, &ended).await;
    store.release(&[fence]).await.expect("given up");
    let keeping = |outlook: &Arc<Outlook>| Housekeeping {
        store: store.clone(),
        clock: clock.clone(),
        outlook: outlook.clone(),
        shards: every_shard().collect(),
        retention: Some(Duration::from_secs(3_600)),
    };
    let there = async |id: &str| store.run_row(&rows::run_id(id)).await.expect("read").is_some();
    let (own, others) = (Arc::new(Outlook::default()), Arc::new(Outlook::default()));
    let (conductor, handle) = Conductor::new(params(&store, &clock, "first", &own));
    let stop = CancellationToken::new();
    let leading = tokio::spawn(conductor.run(stop.clone()));
    handle.live().await.expect("it leads");

    let bystander = CancellationToken::new();
    let standing_by = tokio::spawn({
        let (keeping, stop) = (keeping(&others), bystander.clone());
        async move { keeping.run(stop).await }
    });
    clock.sleep_until(rows::at(102_000)).await;
    assert!(there("old").await, "nobody who leads looks after it");
    bystander.cancel();
    standing_by.await.expect("ran");

    let work = tokio::spawn({
        let (keeping, stop) = (keeping(&own), stop.clone());
        async move { keeping.run(stop).await }
    });
    clock.sleep_until(rows::at(102_001)).await;
    assert!(!there("old").await && there("young").await && there("live").await);
    clock.sleep_until(rows::at(104_000)).await;
    assert!(!there("young").await && there("live").await, "a later pass found it old");
    stop.cancel();
    work.await.expect("ran");
    leading.await.expect("ran").expect("in order");
}
