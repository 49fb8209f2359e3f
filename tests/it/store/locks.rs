//! Transactions that get in each other's way: the loser did nothing, and the same is done again.

use std::sync::Arc;
use std::time::Duration;

use relay::model::change::Fence;
use relay::store::postgres::PostgresStore;
use relay::store::{Cause, Outage, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{a_birth, a_store, trouble::Led, until_a_commit_waits};
use crate::conformance::store::rows;
use crate::support::TestDb;

/// A setting of every session of this database from now on.
async fn set(db: &TestDb, setting: &str) {
    let name = db.url().rsplit_once('/').expect("a name").1;
    let text = format!("alter database {name} set {setting}");
    sqlx::query(AssertSqlSafe(text)).execute(&db.pool().await).await.expect("set");
}

/// A store whose sessions have this setting, and which nothing but the server ends early.
async fn patient_store(setting: &str) -> (TestDb, Arc<PostgresStore>, Fence) {
    let (db, store) = unled_store(setting).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    (db, store, fence)
}

/// The same, and nobody leads a shard of it.
async fn unled_store(setting: &str) -> (TestDb, Arc<PostgresStore>) {
    let db = TestDb::new();
    set(&db, setting).await;
    let store = super::store_on(&db, |settings| {
        settings.lock_timeout = Duration::from_secs(50);
        settings.statement_timeout = Duration::from_secs(50);
        settings.call_timeout = Duration::from_secs(55);
    })
    .await;
    (db, store)
}

fn busy(outcome: Result<(), StoreError>, code: &str) {
    match outcome {
        Err(StoreError::Unavailable(Outage { cause: Cause::Busy, why })) => {
            assert!(why.contains(code), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

/// The commit has the shard's row and waits for the run's; another session has the run's and waits for the shard's.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_loses_a_deadlock_is_done_again() {
    // Whoever waits first looks first whether it is one: by then the other one waits, too.
    let (db, store, fence) = patient_store("deadlock_timeout = '2s'").await;
    let fence = rows::with_runs(store.as_ref(), fence, &[rows::a_run("r", "data")]).await;
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    sqlx::raw_sql("set deadlock_timeout = '60s'").execute(&mut other).await.expect("set");
    let mut tx = other.begin().await.expect("begun");
    sqlx::query("select from runs for update").execute(&mut *tx).await.expect("held");
    let end = rows::run_move(&rows::a_run("r", "data"), relay::model::status::RunStatus::Success);
    let batch = rows::batch(fence, vec![("r", rows::changes("data", Some(end), vec![]))]);
    let (waiting, again) = (store.clone(), batch.clone());
    let waiting = tokio::spawn(async move { waiting.commit(&batch).await });
    until_a_commit_waits(&db).await;
    sqlx::query("select from shards for update").execute(&mut *tx).await.expect("the commit lost");
    busy(waiting.await.expect("ran"), "40P01");
    tx.rollback().await.expect("over");
    assert_eq!(store.position(fence.shard).await.expect("asked"), fence, "nothing was written");
    store.commit(&again).await.expect("committed");
}

/// Where an administrator made sessions stricter than they need to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_serialized_is_done_again() {
    let (db, store, fence) = patient_store("default_transaction_isolation = 'repeatable read'").await;
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    sqlx::query("update shards set renewed_at = renewed_at").execute(&mut *tx).await.expect("held");
    let waiting = store.clone();
    let waiting = tokio::spawn(async move { waiting.commit(&a_birth(fence)).await });
    until_a_commit_waits(&db).await;
    tx.commit().await.expect("committed");
    busy(waiting.await.expect("ran"), "40001");
    store.commit(&a_birth(fence)).await.expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conductor_commits_again_what_could_not_be_serialized_and_sets_no_run_aside() {
    let (db, store) = unled_store("default_transaction_isolation = 'repeatable read'").await;
    let led = Led::by(&store).await;
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    sqlx::query("update shards set renewed_at = renewed_at").execute(&mut *tx).await.expect("held");
    let submitted = led.submits("r");
    until_a_commit_waits(&db).await;
    assert!(!submitted.is_finished(), "nothing is promised that is not written");
    tx.commit().await.expect("committed");
    submitted.await.expect("accepted");
    assert!(store.run(&rows::run_id("r")).await.expect("read").is_some());
    led.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let (db, store) = a_store(|settings| {
        settings.statement_timeout = Duration::from_millis(300);
        settings.lock_timeout = Duration::from_secs(20);
    })
    .await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    sqlx::query("select from shards for update").execute(&mut *tx).await.expect("held");
    busy(store.commit(&a_birth(fence)).await, "57014");
    tx.rollback().await.expect("over");
    store.commit(&a_birth(fence)).await.expect("committed");
}

/// Lets everything through to the server up to the begin of a transaction, and then nothing more, as a process that froze
/// just then. The server's side stays open.
async fn freezes_after_begin(server: String) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.expect("a client");
            let server = TcpStream::connect(&server).await.expect("the server");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut chunk = vec![0; 64 << 10];
                while let Ok(size @ 1..) = from_client.read(&mut chunk).await {
                    to_server.write_all(&chunk[..size]).await.expect("the server takes it");
                    if chunk[..size].windows(15).any(|words| words == b"begin isolation") {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_process_froze_is_ended_by_the_server() {
    let (db, healthy) = a_store(|_| {}).await;
    let fence = rows::prepare(healthy.as_ref(), "data", "a").await;
    let fence = rows::with_runs(healthy.as_ref(), fence, &[rows::a_run("r", "data")]).await;
    let (door, rest) = db.url().rsplit_once('@').expect("a user");
    let (server, name) = rest.split_once('/').expect("a name");
    let address = freezes_after_begin(server.to_owned()).await;
    let settings = relay::store::postgres::PoolSettings {
        min_connections: 0,
        call_timeout: Duration::from_secs(1),
        ..relay::store::postgres::PoolSettings::new(&format!("{door}@{address}/{name}"))
    };
    let frozen = PostgresStore::connect(&settings).await.expect("connected");
    let mut watcher = PgConnection::connect(db.url()).await.expect("connected");
    let mut open = async || -> i64 {
        let open = "select count(*) from pg_stat_activity where datname = current_database()
            and application_name = 'relay' and state like 'idle in transaction%'";
        sqlx::query_scalar(open).fetch_one(&mut watcher).await.expect("asked")
    };
    let reading = tokio::spawn(async move { frozen.run(&rows::run_id("r")).await });
    let ended = async {
        while open().await == 0 {
            tokio::task::yield_now().await;
        }
        // It blocks nobody meanwhile.
        rows::with_runs(healthy.as_ref(), fence, &[rows::a_run("s", "data")]).await;
        healthy.renew(&[fence]).await.expect("renewed");
        assert!(open().await > 0, "it was over already");
        while open().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the server ended it");
    let read = reading.await.expect("ran");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
}
