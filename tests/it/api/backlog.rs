//! Whether lines are still on their way through a real Redis.

use std::sync::Arc;
use std::time::Duration;

use relay::feed::{
    Feed, LogStream,
    redis::{Backlog, Limits, RedisFeed, RedisLogs},
};
use relay::model::job::Job;
use relay::queue::{self, Queue, redis::RedisQueue};
use tokio::task::JoinSet;

use super::reader::line;
use super::soon;
use crate::support::{
    jobs::{all_led, job},
    redis::settings,
};

/// Long enough for many looks.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn what_waits_in_a_namespace_is_waited_for_until_it_is_stored() {
    let settings = settings(Duration::from_secs(30));
    let queue = RedisQueue::new(&settings, queue::redis::Limits::default()).expect("a queue");
    queue.lead(&all_led(1));
    // A pool is known from its first job on.
    let jobs = [job(1), Job { pool: "other/default".to_owned(), ..job(2) }];
    queue.publish(&jobs).await.expect("published");
    let logs = RedisLogs::new(&settings).expect("a stream");
    let backlog = Arc::new(Backlog::new(&settings).expect("a backlog"));
    soon(backlog.cleared("data")).await;
    soon(backlog.cleared("nobody")).await;

    let feed = |pool| RedisFeed::new(&settings, pool, Limits::default()).expect("a feed");
    let (ours, theirs) = (feed("data/default"), feed("other/default"));
    let (batch, ()) = soon(async { tokio::join!(logs.read(10), ours.log(vec![line(0, None, 1)])) }).await;
    let batch = batch.expect("a batch");
    theirs.log(vec![line(0, None, 1)]).await;

    let mut waits = JoinSet::new();
    for namespace in ["data", "other"] {
        let backlog = backlog.clone();
        waits.spawn(async move {
            backlog.cleared(namespace).await;
            namespace
        });
    }
    let early = tokio::time::timeout(A_WHILE, waits.join_next()).await;
    assert!(early.is_err(), "nothing is stored yet: {early:?}");
    logs.trim(&batch).await.expect("trimmed");
    assert_eq!(soon(waits.join_next()).await.expect("one").expect("no panic"), "data");
    let early = tokio::time::timeout(A_WHILE, waits.join_next()).await;
    assert!(early.is_err(), "the other namespace's line is not stored yet: {early:?}");
    let rest = soon(logs.read(10)).await.expect("the rest");
    logs.trim(&rest).await.expect("trimmed");
    assert_eq!(soon(waits.join_next()).await.expect("one").expect("no panic"), "other");
}
