//! What a Workflow's name points at.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use relay::model::change::Fence;
use relay::model::head::Head;
use relay::model::ids::ShardId;
use relay::store::{HEAD_BYTES_MAX, StoreError};
use serde_json::{Value, json};

use super::Bench;
use super::rows::*;

fn a_head() -> Head {
    Head {
        namespace: "data".to_owned(),
        name: "etl".to_owned(),
        revision: Ok(workflow("data")),
        labels: [("team", "ä/b"), ("tier", "")].map(|(key, label)| (key.to_owned(), label.to_owned())).into(),
        unhashed: json!({"suspend": true, "schedules": [{"name": "nightly", "n": 1.5}], "description": "x'y\"z"}),
    }
}

fn deposed(outcome: &Result<(), StoreError>, fence: &Fence) -> bool {
    matches!(outcome, Err(StoreError::Deposed { shard, epoch }) if (*shard, *epoch) == (fence.shard, fence.epoch))
}

pub async fn a_head_follows_its_workflow(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    assert_eq!(store.head("data", "etl").await.expect("read"), None);
    let invalid = Head { revision: Err("spec.tasks: none\nadd one".to_owned()), ..a_head() };
    let bare = Head { labels: BTreeMap::new(), unhashed: json!({}), ..a_head() };
    let other = Head { name: "other".to_owned(), ..invalid.clone() };
    store.put_head(&other, &fence).await.expect("kept");
    for head in [a_head(), a_head(), invalid.clone(), invalid.clone(), bare.clone(), a_head()] {
        store.put_head(&head, &fence).await.expect("kept");
        assert_eq!(store.head("data", "etl").await.expect("read"), Some(head));
    }
    for _ in 0..2 {
        store.drop_head("data", "etl", &fence).await.expect("gone");
        assert_eq!(store.head("data", "etl").await.expect("read"), None);
    }
    assert_eq!(store.head("data", "other").await.expect("read"), Some(other));
    assert!(store.revision(&workflow("data")).await.expect("read").is_some(), "revisions stay");
}

pub async fn heads_are_named_page_by_page(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let all: Vec<(String, String)> = (0..7).map(|n| ("data".to_owned(), format!("w{n}"))).collect();
    for (_, name) in &all {
        let head = Head { name: name.clone(), revision: Err("why".to_owned()), ..a_head() };
        store.put_head(&head, &fence).await.expect("kept");
    }
    let (mut named, mut after) = (Vec::new(), None);
    loop {
        let page = store.head_names(after, 3).await.expect("read");
        assert!(page.len() <= 3, "{page:?}");
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        named.extend(page);
    }
    assert_eq!(named, all);
}

/// A commit in between moves the position and not the epoch.
pub async fn a_head_needs_the_epoch_alone(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    store.put_head(&a_head(), &fence).await.expect("kept");
    store.drop_head("data", "etl", &fence).await.expect("gone");
}

pub async fn a_deposed_leader_moves_no_head(bench: Bench) {
    let store = &bench.store;
    let old = prepare(store.as_ref(), "data", "old").await;
    store.put_head(&a_head(), &old).await.expect("kept");
    bench.silence(old.shard, SignedDuration::from_secs(5)).await;
    let new = lead(store.as_ref(), old.shard, "new").await;
    let changed = Head { unhashed: json!({"suspend": false}), ..a_head() };
    for fence in [old, Fence { epoch: new.epoch + 1, ..new }] {
        for head in [a_head(), changed.clone(), Head { name: "new".to_owned(), ..a_head() }] {
            let outcome = store.put_head(&head, &fence).await;
            assert!(deposed(&outcome, &fence), "{outcome:?}");
        }
        for name in ["etl", "nobody"] {
            let outcome = store.drop_head("data", name, &fence).await;
            assert!(deposed(&outcome, &fence), "{outcome:?}");
        }
    }
    assert_eq!(store.head("data", "etl").await.expect("read"), Some(a_head()));
    assert_eq!(store.head("data", "new").await.expect("read"), None);
    store.put_head(&changed, &new).await.expect("the new leader writes");
}

pub async fn a_head_that_cannot_be_kept_is_refused(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let name = namespaces(2).into_iter().find(|name| ShardId::of_namespace(name) != fence.shard);
    let elsewhere = name.expect("another shard");
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    let wrong = [
        Head { revision: Ok(workflow("unknown")), ..a_head() },
        Head { unhashed: deep, ..a_head() },
        Head { unhashed: json!({"description": "x".repeat(HEAD_BYTES_MAX)}), ..a_head() },
        Head { revision: Err("x".repeat(HEAD_BYTES_MAX)), ..a_head() },
        Head { namespace: elsewhere.clone(), ..a_head() },
    ];
    for head in wrong {
        match store.put_head(&head, &fence).await {
            Err(StoreError::Refused(why)) => assert!(why.len() < 300, "{why}"),
            other => panic!("{other:?} instead of a refusal"),
        }
        assert_eq!(store.head(&head.namespace, "etl").await.expect("read"), None);
    }
    assert!(matches!(store.drop_head(&elsewhere, "etl", &fence).await, Err(StoreError::Refused(_))));
    let nul = Head { revision: Err("a\0b".to_owned()), unhashed: json!({"k\0": "\0"}), ..a_head() };
    store.put_head(&nul, &fence).await.expect("kept");
    let kept = store.head("data", "etl").await.expect("read").expect("there");
    assert_eq!(
        (kept.revision, kept.unhashed),
        (Err("a\u{fffd}b".to_owned()), json!({"k\u{fffd}": "\u{fffd}"}))
    );
}
