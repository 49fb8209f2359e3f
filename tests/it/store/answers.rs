//! Commits whose answers are lost under a conductor: it finds out what became of them, and everything is there once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relay::store::postgres::{PoolSettings, PostgresStore};
use relay::store::{Entity, Store};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::trouble::{Led, run_id, soon};
use super::{a_store, until_a_commit_waits};

/// The run is there with its birth and its tasks, each told once.
async fn is_there_once(store: &dyn Store, id: &str) {
    let record = store.run(&run_id(id)).await.expect("read").expect("it is there");
    let births = store.history(&Entity::Run(run_id(id)), 100).await.expect("read");
    assert_eq!((record.tasks.len(), births.len()), (1, 1), "{births:?}");
    let shard = record.run.shard();
    let all = store.transitions(shard, 0, 100).await.expect("read");
    let position = store.position(shard).await.expect("read").seq;
    assert_eq!(all.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=position).collect::<Vec<_>>());
}

/// The server ends the session while the commit waits: it did not land.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_session_was_ended_is_found_missing_and_done_again() {
    let (db, store) = a_store(|_| {}).await;
    let led = Led::by(&store).await;
    let mut holder = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = holder.begin().await.expect("begun");
    sqlx::query("lock table state_history in exclusive mode").execute(&mut *tx).await.expect("held");
    let submitted = led.submits("ended");
    let mut watcher = until_a_commit_waits(&db).await;
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and application_name = 'relay' and wait_event_type = 'Lock'";
    let killed: i64 = sqlx::query_scalar(kill).fetch_one(&mut watcher).await.expect("killed");
    assert!(killed >= 1);
    tx.rollback().await.expect("over");
    soon(submitted).await.expect("accepted");
    is_there_once(store.as_ref(), "ended").await;
    assert!(led.ends().await.unknown >= 1, "nobody knew");
}

/// Passes everything on, but for one commit's answer: the connection breaks instead, once the server has committed.
async fn loses_an_answer(server: String, id: &'static str, lost: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.expect("a client");
            let server = TcpStream::connect(&server).await.expect("the server");
            let lost = lost.clone();
            tokio::spawn(async move { pass_on(client, server, id, &lost).await });
        }
    });
    address
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, id: &str, lost: &AtomicBool) {
    let (mut asked, mut told) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            Ok(size @ 1..) = client.read(&mut asked) => {
                // Of all that is said about this run only its birth names its status.
                let has = |words: &[u8]| asked[..size].windows(words.len()).any(|found| found == words);
                let birth = has(id.as_bytes()) && has(b"RUNNING");
                if server.write_all(&asked[..size]).await.is_err() {
                    return;
                }
                if birth && !lost.swap(true, Ordering::SeqCst) {
                    // It answers after it has committed.
                    assert!(server.read(&mut told).await.expect("an answer") > 0);
                    return;
                }
            }
            Ok(size @ 1..) = server.read(&mut told) => {
                if client.write_all(&told[..size]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_and_not_done_again() {
    let (db, direct) = a_store(|_| {}).await;
    let (door, rest) = db.url().rsplit_once('@').expect("a user");
    let (server, name) = rest.split_once('/').expect("a name");
    let lost = Arc::new(AtomicBool::new(false));
    let address = loses_an_answer(server.to_owned(), "landed-run", lost.clone()).await;
    let url = format!("{door}@{address}/{name}");
    let settings = PoolSettings { min_connections: 0, ..PoolSettings::new(&url) };
    let store = Arc::new(PostgresStore::connect(&settings).await.expect("connected"));
    let led = Led::by(&store).await;
    soon(led.submits("landed-run")).await.expect("accepted");
    assert!(lost.load(Ordering::SeqCst), "its answer was lost");
    is_there_once(direct.as_ref(), "landed-run").await;
    assert_eq!(led.ends().await.unknown, 1);
}

/// The server went down with the newest of its commits, and an older state answers in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_store_was_set_back_in_the_midst_of_a_commit_ends_and_writes_nothing() {
    let (db, store) = a_store(|_| {}).await;
    let led = Led::by(&store).await;
    soon(led.submits("known")).await.expect("accepted");
    let mut holder = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = holder.begin().await.expect("begun");
    sqlx::query("lock table state_history in exclusive mode").execute(&mut *tx).await.expect("held");
    let submitted = led.submits("lost");
    let mut watcher = until_a_commit_waits(&db).await;
    // The commit waits for a table, and has no row yet.
    let back = "update shards set seq = seq - 1 where seq > 0 returning seq";
    let position: i64 = sqlx::query_scalar(back).fetch_one(&mut watcher).await.expect("set back");
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and application_name = 'relay' and wait_event_type = 'Lock'";
    let killed: i64 = sqlx::query_scalar(kill).fetch_one(&mut watcher).await.expect("killed");
    assert!(killed >= 1);
    tx.rollback().await.expect("over");
    led.ends_deposed().await;
    assert!(soon(submitted).await.is_err(), "it was not accepted");
    let now: i64 =
        sqlx::query_scalar("select max(seq) from shards").fetch_one(&mut watcher).await.expect("read");
    assert_eq!(now, position, "nothing was written on top of the older state");
}
