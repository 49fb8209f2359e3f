//! How Postgres keeps the lines of logs.

use std::time::Duration;

use relay::model::ids::{TaskKey, TaskRunId};
use relay::model::job::JobId;
use relay::model::log::{LogLine, LogQuery, Stream};
use relay::store::{Store, StoreError};
use sqlx::{Connection, PgConnection};

use super::{a_birth, a_store};
use crate::conformance::store::rows;

fn lines(count: u64) -> Vec<LogLine> {
    let job = JobId { task_run: TaskRunId { run: rows::run_id("r"), key: TaskKey::of_task(0) }, attempt: 1 };
    let line = |number| LogLine {
        job: job.clone(),
        stream: Stream::Stdout,
        number,
        at: rows::at(0),
        text: format!("line {number}"),
        partial: false,
    };
    (1..=count).map(line).collect()
}

fn query() -> LogQuery {
    LogQuery { run: rows::run_id("r"), task: None, item: None, after: 0, limit: 100 }
}

#[tokio::test]
async fn lines_go_with_their_run() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    store.commit(&a_birth(fence)).await.expect("committed");
    store.put_logs(&lines(10)).await.expect("kept");
    assert_eq!(store.logs(&query()).await.expect("read").len(), 10);
    let pool = db.pool().await;
    sqlx::query("delete from runs where id = 'r'").execute(&pool).await.expect("deleted");
    assert_eq!(store.logs(&query()).await.expect("read"), vec![]);
    assert_eq!(store.put_logs(&lines(10)).await.expect("dropped"), 0);
}

/// A writer that stands still between its lines and its commit holds up other writers, and for so long only.
#[tokio::test(flavor = "multi_thread")]
async fn no_position_comes_to_light_before_a_smaller_one() {
    let (db, store) = a_store(|settings| settings.lock_timeout = Duration::from_millis(200)).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    store.commit(&a_birth(fence)).await.expect("committed");
    store.put_logs(&lines(1)).await.expect("kept");
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    // The same lock that the store takes, found where it keeps it.
    let turn = "select pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'task_logs'::regclass::oid::integer)";
    sqlx::query(turn).execute(&mut *tx).await.expect("locked");
    let late = store.put_logs(&lines(3)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    // Readers do not wait.
    assert_eq!(store.logs(&query()).await.expect("read").len(), 1);
    tx.commit().await.expect("committed");
    assert_eq!(store.put_logs(&lines(3)).await.expect("kept"), 3);
    assert_eq!(store.logs(&query()).await.expect("read").len(), 3);
}

/// A page is found by its index, in a run with many lines and in a database without statistics.
#[tokio::test]
async fn a_page_reads_its_own_lines_alone() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    store.commit(&a_birth(fence)).await.expect("committed");
    for chunk in lines(5_000).chunks(1_000) {
        store.put_logs(chunk).await.expect("kept");
    }
    let read = async |query: LogQuery| store.logs(&query).await.expect("read");
    let first = read(query()).await;
    let page = LogQuery { after: first[99].position, ..query() };
    assert_eq!(read(page.clone()).await.len(), 100);
    assert_eq!(read(LogQuery { task: Some(0), ..page.clone() }).await.len(), 100);
    assert_eq!(read(LogQuery { task: Some(0), item: Some(0), ..page }).await.len(), 0);
    // A session hands in what it counted when it ends.
    store.close().await;
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    let counted = "select sum(idx_tup_fetch)::bigint, sum(seq_tup_read)::bigint from pg_stat_user_tables where relname like 'task_logs%'";
    let used = "select coalesce(min(idx_scan), 0) from pg_stat_user_indexes where indexrelname in ('task_logs_default_run_id_position_idx', 'task_logs_default_run_id_task_position_idx')";
    while sqlx::query_scalar::<_, i64>(used).fetch_one(&mut conn).await.expect("counted") == 0 {
        tokio::task::yield_now().await;
    }
    let (fetched, scanned): (i64, i64) = sqlx::query_as(counted).fetch_one(&mut conn).await.expect("counted");
    assert!(
        fetched <= 400 && scanned == 0,
        "{fetched} rows were fetched and {scanned} scanned for 300 lines"
    );
}
