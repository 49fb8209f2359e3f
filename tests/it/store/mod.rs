//! What only a store with a server behind it can show: lost connections, locks, sessions.

mod answers;
mod connect;
mod days;
mod idle;
mod locks;
mod logs;
mod tls;
mod trouble;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use relay::model::change::{Batch, Fence};
use relay::model::status::{RunStatus, TaskStatus};
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Cause, Leadership, Outage, Store, StoreError};
use sqlx::{Connection, PgConnection};

use crate::conformance::store::rows;
use crate::support::TestDb;

pub async fn a_store(change: impl FnOnce(&mut PoolSettings)) -> (TestDb, Arc<PostgresStore>) {
    let db = TestDb::new();
    let store = store_on(&db, change).await;
    (db, store)
}

async fn store_on(db: &TestDb, change: impl FnOnce(&mut PoolSettings)) -> Arc<PostgresStore> {
    migrate::up(db.url(), None).await.expect("migrated");
    let mut settings = PoolSettings { min_connections: 0, ..PoolSettings::new(db.url()) };
    change(&mut settings);
    Arc::new(PostgresStore::connect(&settings).await.expect("connected"))
}

pub fn a_birth(fence: Fence) -> Batch {
    let birth =
        rows::changes("data", Some(rows::run_birth(rows::a_run("r", "data"))), vec![rows::task_birth(0)]);
    rows::batch(fence, vec![("r", birth)])
}

/// Another session holds the shard's row, so that a commit waits, while `meanwhile` goes on.
async fn while_a_commit_waits<T, F: Future<Output = T>>(
    db: &TestDb,
    store: &Arc<PostgresStore>,
    batch: Batch,
    meanwhile: impl FnOnce(PgConnection) -> F,
) -> (Result<(), StoreError>, T) {
    let mut holder = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = holder.begin().await.expect("begun");
    sqlx::query("select from shards for update").execute(&mut *tx).await.expect("held");
    let watcher = PgConnection::connect(db.url()).await.expect("connected");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.commit(&batch).await }
    });
    // It may have given up before anybody saw it wait.
    let watcher = watch_a_commit(watcher, || waiting.is_finished()).await;
    let came = meanwhile(watcher).await;
    let outcome = waiting.await.expect("ran");
    drop(tx);
    (outcome, came)
}

/// Waits until a session of the store waits for a lock; gives the connection by which that was seen.
async fn until_a_commit_waits(db: &TestDb) -> PgConnection {
    let watcher = PgConnection::connect(db.url()).await.expect("connected");
    watch_a_commit(watcher, || false).await
}

/// The same, by this connection, or until it gave up.
async fn watch_a_commit(mut watcher: PgConnection, gave_up: impl Fn() -> bool) -> PgConnection {
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'relay' and wait_event_type = 'Lock'";
    while !gave_up() && sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watcher).await.expect("asked") == 0
    {
        tokio::task::yield_now().await;
    }
    watcher
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_under_way_leaves_the_outcome_unknown() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let kill = |mut conn: PgConnection| async move {
        let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and application_name = 'relay'";
        sqlx::query_scalar::<_, i64>(kill).fetch_one(&mut conn).await.expect("killed")
    };
    let (outcome, killed) = while_a_commit_waits(&db, &store, a_birth(fence), kill).await;
    assert!(killed >= 1);
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
    // A new epoch ends what may still be under way, and tells where things stand; then it goes on. The pool may
    // hand out connections that were killed while idle, each once.
    let mut answer = store.lead(&[fence.shard], "a").await;
    for _ in 0..killed {
        if let Err(StoreError::Unavailable(_)) = answer {
            answer = store.lead(&[fence.shard], "a").await;
        }
    }
    let Ok(Leadership::Won(won)) = answer else { panic!("{answer:?}") };
    let now = won[&fence.shard];
    assert_eq!(now.seq, fence.seq);
    store.commit(&a_birth(now)).await.expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_does_not_come_free_is_given_up_without_a_trace() {
    let (db, store) = a_store(|settings| settings.lock_timeout = Duration::from_millis(200)).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let (outcome, ()) = while_a_commit_waits(&db, &store, a_birth(fence), |_| async {}).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(store.position(fence.shard).await.expect("asked"), fence);
    store.commit(&a_birth(fence)).await.expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_of_the_server_is_not_waited_out() {
    let (db, store) = a_store(|settings| settings.call_timeout = Duration::from_millis(300)).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let (outcome, ()) = while_a_commit_waits(&db, &store, a_birth(fence), |_| async {}).await;
    // The server had it and may go on with it.
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
}

/// A frozen leader can hold a lock only within a transaction, and there is none between two calls.
#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_stays_open_between_calls() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    store.commit(&a_birth(fence)).await.expect("committed");
    store.run(&rows::run_id("r")).await.expect("read").expect("there");
    store.commit(&a_birth(fence)).await.expect_err("deposed");
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    let states = "select coalesce(array_agg(distinct state), '{}') from pg_stat_activity
        where datname = current_database() and application_name = 'relay' and state <> 'idle'";
    let states: Vec<String> = sqlx::query_scalar(states).fetch_one(&mut conn).await.expect("asked");
    assert_eq!(states, Vec::<String>::new());
    // And a new leader comes through at once.
    assert_eq!(rows::lead(store.as_ref(), fence.shard, "a").await.epoch, fence.epoch + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_free_connection_says_so_in_time() {
    let (db, store) = a_store(|settings| {
        settings.max_connections = 1;
        settings.acquire_timeout = Duration::from_millis(200);
    })
    .await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    for _ in 0..9 {
        let other = store.clone();
        let ask = |_| async move { other.position(fence.shard).await };
        let (outcome, answer) = while_a_commit_waits(&db, &store, a_birth(fence), ask).await;
        match answer {
            Err(StoreError::Unavailable(Outage { cause: Cause::Busy, why })) => {
                assert!(why.contains("every connection is in use"), "{why}");
                return;
            }
            // It gave up, and the connection was free again, before anybody came to ask.
            Ok(_) if outcome.is_err() => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the connection was free each time");
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_unavailable_and_keeps_its_password() {
    match PostgresStore::connect(&PoolSettings::new("postgres://zoe:hunter2@127.0.0.1:1/none")).await {
        Err(StoreError::Unavailable(Outage { cause: Cause::Unreachable, why })) => {
            assert!(why.contains("127.0.0.1:1") && !why.contains("hunter2"), "{why}");
        }
        other => panic!("{:?}", other.map(|_| "a store")),
    }
    let settings = PoolSettings::new("postgres://zoe:hunter2@127.0.0.1:1/none");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

/// A row that somebody else wrote into the tables is told apart from one of ours.
#[tokio::test]
async fn a_row_that_is_not_ours_is_corrupt_and_no_panic() {
    let (db, store) = a_store(|_| {}).await;
    let foreign = "insert into workflows (id, name, definition) values ('w', 'w', '{}')";
    let run = "insert into runs (id, workflow_id, status) values ('r', 'w', 'RUNNING')";
    let pool = db.pool().await;
    for text in [foreign, run] {
        sqlx::query(text).execute(&pool).await.expect("written");
    }
    let read = store.run(&rows::run_id("r")).await;
    assert!(matches!(read, Err(StoreError::Corrupt { table: "runs", .. })), "{read:?}");
}

/// A new database has no statistics yet, and a plan made for it must not be one that reads every live row.
#[tokio::test]
async fn rows_are_found_by_their_keys_also_in_a_new_database() {
    let (db, store) = a_store(|_| {}).await;
    let mut fence = rows::prepare(store.as_ref(), "data", "a").await;
    let ids: Vec<String> = (0..50).map(|n| format!("run-{n}")).collect();
    let row = rows::task_birth(0).row;
    for id in &ids {
        let run = rows::a_run(id, "data");
        let birth = rows::changes("data", Some(rows::run_birth(run.clone())), vec![rows::task_birth(0)]);
        let end = Some(rows::run_move(&run, RunStatus::Success));
        let end =
            rows::changes("data", end, vec![rows::task_move(&row, TaskStatus::Ready), rows::task_birth(1)]);
        for step in [birth, end] {
            let batch = rows::batch(fence, vec![(id, step)]);
            store.commit(&batch).await.expect("committed");
            fence = rows::after(fence, &batch);
        }
    }
    // A session hands in what it counted when it ends.
    store.close().await;
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    let used = "select idx_scan from pg_stat_user_indexes where indexrelname = $1";
    let mut scans = async |index: &str| -> i64 {
        sqlx::query_scalar(used).bind(index).fetch_one(&mut conn).await.expect("counted")
    };
    while scans("task_runs_pkey").await < ids.len() as i64 {
        tokio::task::yield_now().await;
    }
    assert!(scans("runs_pkey").await >= ids.len() as i64);
    assert!(scans("tasks_workflow_id_number_key").await >= ids.len() as i64);
    for index in ["idx_runs_status", "idx_task_runs_run_id", "idx_tasks_workflow_id"] {
        assert_eq!(scans(index).await, 0, "{index}");
    }
    let read = "select coalesce(sum(seq_scan), 0)::bigint from pg_stat_user_tables
        where relname in ('runs', 'task_runs', 'tasks', 'state_history', 'shards')";
    // Making the indexes and the columns reads each table while it is empty; the store does not.
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut conn).await.expect("counted");
    assert!(read < ids.len() as i64, "{read} tables were read from end to end");
    // An edge writes one new version of the row, and no index.
    let edges = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'task_runs'";
    let (edges, hot): (i64, i64) = sqlx::query_as(edges).fetch_one(&mut conn).await.expect("counted");
    assert_eq!((edges, hot), (ids.len() as i64, edges));
}
