//! What is not to be written, seen in the rows themselves: a row that was locked or written has another stamp.

use std::collections::BTreeMap;

use relay::model::head::Head;
use relay::model::ids::ShardId;
use relay::store::{Leadership, Store};
use serde_json::json;
use sqlx::PgPool;

use super::a_store;
use crate::conformance::store::rows;

/// The rows of a table with the transactions that wrote them, and that locked them.
async fn stamps(pool: &PgPool, table: &'static str) -> Vec<String> {
    let text = format!("select concat_ws(' ', ctid, xmin, xmax, t.*) from {table} t order by ctid");
    sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(pool).await.expect("read")
}

#[tokio::test]
async fn an_unchanged_head_is_not_written() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let head = Head {
        namespace: "data".to_owned(),
        name: "etl".to_owned(),
        revision: Ok(rows::workflow("data")),
        labels: BTreeMap::from([("b", "2"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()))),
        unhashed: json!({"suspend": false, "n": 1.0, "list": [{"y": 1, "x": null}]}),
    };
    let invalid = Head { name: "other".to_owned(), revision: Err("no tasks".to_owned()), ..head.clone() };
    for head in [&head, &invalid] {
        store.put_head(head, &fence).await.expect("kept");
    }
    let pool = db.pool().await;
    let look = async || (stamps(&pool, "workflow_heads").await, stamps(&pool, "shards").await);
    let before = look().await;
    assert_eq!(before.0.len(), 2);
    for _ in 0..3 {
        for head in [&head, &invalid] {
            store.put_head(head, &fence).await.expect("it is there");
        }
        store.drop_head("data", "nobody", &fence).await.expect("nothing to do");
    }
    assert_eq!(look().await, before);
    store.put_head(&Head { unhashed: json!({}), ..head }, &fence).await.expect("kept");
    assert_ne!(look().await.0, before.0);
}

#[tokio::test]
async fn whoever_waits_for_shards_that_are_led_writes_nothing() {
    let (db, store) = a_store(|_| {}).await;
    let all: Vec<ShardId> = (0..ShardId::COUNT).filter_map(ShardId::new).collect();
    let Leadership::Won(fences) = store.lead(&all, "a").await.expect("an answer") else {
        panic!("all are free")
    };
    let pool = db.pool().await;
    let before = stamps(&pool, "shards").await;
    for _ in 0..3 {
        assert!(matches!(store.lead(&all, "b").await, Ok(Leadership::Held { .. })));
    }
    assert_eq!(stamps(&pool, "shards").await, before);
    // One statement renews them all.
    let fences: Vec<_> = fences.into_values().collect();
    store.renew(&fences).await.expect("still the leader");
    let writers = "select count(distinct xmin::text) from shards";
    assert_eq!(sqlx::query_scalar::<_, i64>(writers).fetch_one(&pool).await.expect("counted"), 1);
}
