//! A conductor's leadership as others see it: the fence by which they write beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay::clock::Clock;
use relay::conductor::{Adopt, Conductor, ConductorError, Limits, Outlook, Params};
use relay::feed::memory::MemoryFeed;
use relay::model::head::Head;
use relay::model::ids::ShardId;
use relay::queue::{self, memory::MemoryQueue};
use relay::store::{Store, StoreError, memory::MemoryStore};
use serde_json::json;
use tokio_util::sync::CancellationToken;

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
        limits: Limits::default(),
        outlook: Some(outlook.clone()),
    }
}

#[tokio::test]
async fn a_head_is_written_by_the_fence_of_whoever_leads() {
    let clock = Clock::system();
    let now = clock.clone();
    let store = Arc::new(MemoryStore::new(Arc::new(move || now.now())));
    let outlook = Arc::new(Outlook::default());
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
