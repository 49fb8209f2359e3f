//! What cannot work is told apart from what may work later; and a store that lost its server finds it again.

use std::time::Duration;

use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Cause, Leadership, Outage, Store, StoreError};
use sqlx::{Connection, PgConnection};

use super::{a_birth, a_store};
use crate::conformance::store::rows;
use crate::support::{TestDb, free_port};

async fn refusal(url: &str) -> String {
    match PostgresStore::connect(&PoolSettings::new(url)).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{:?} instead of a refusal", other.map(|_| "a store")),
    }
}

async fn unavailable(url: &str) -> String {
    match PostgresStore::connect(&PoolSettings::new(url)).await {
        Err(StoreError::Unavailable(outage)) => outage.why,
        other => panic!("{:?} instead of a later", other.map(|_| "a store")),
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_database_that_is_not_there_are_refused_for_good() {
    let db = TestDb::new();
    let (server, name) = db.url().rsplit_once('/').expect("a database in the URL");
    let (user, host) = server.split_once('@').expect("a user in the URL");
    let (user, _) = user.rsplit_once(':').expect("a password in the URL");
    let said = refusal(&format!("{user}:wrong-one@{host}/{name}")).await;
    assert!(said.contains("password authentication failed") && !said.contains("wrong-one"), "{said}");
    let said = refusal(&format!("{server}/no_such_database")).await;
    assert!(said.contains("there is no database `no_such_database`") && said.contains("create it"), "{said}");
    let said = refusal(&format!("{}?sslmode=require", db.url())).await;
    assert!(said.contains("TLS") && said.contains("sslmode"), "{said}");
    let said = refusal("mysql://zoe@127.0.0.1/x").await;
    assert!(said.contains("postgres://"), "{said}");
    let said = refusal(db.url()).await;
    assert!(said.contains("at version 0") && said.contains("relay migrate up"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_not_up_yet_may_be_later() {
    // A port where nobody listens any more.
    let free = format!("127.0.0.1:{}", free_port());
    let said = unavailable(&format!("postgres://zoe:hunter2@{free}/x")).await;
    assert!(said.contains(&free) && !said.contains("hunter2"), "{said}");
    let said = unavailable("postgres://zoe:hunter2@no-such-host.invalid/x").await;
    assert!(said.contains("no-such-host.invalid"), "{said}");
    // A server that takes no more sessions.
    let db = TestDb::new();
    migrate::up(db.url(), None).await.expect("migrated");
    let role = db.url().rsplit_once('/').expect("a database").1.to_owned();
    let pool = db.pool().await;
    let (_, rest) = db.url().split_once('@').expect("a user in the URL");
    for text in [
        format!("create role {role} login password 'p' connection limit 0"),
        format!("grant all on all tables in schema public to {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.expect("a role");
    }
    let url = format!("postgres://{role}:p@{rest}");
    let said = unavailable(&url).await;
    for text in [format!("alter role {role} connection limit 10")] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.expect("changed");
    }
    let later = PostgresStore::connect(&PoolSettings { min_connections: 0, ..PoolSettings::new(&url) }).await;
    if let Ok(store) = &later {
        store.ping().await.expect("an answer");
        store.close().await;
    }
    for text in [format!("drop owned by {role}"), format!("drop role {role}")] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.expect("gone");
    }
    assert!(said.contains("too many connections"), "{said}");
    assert!(later.is_ok(), "{:?}", later.map(|_| "a store"));
}

/// As a restart of the server looks from here: every session ends, and whoever asks again is let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_every_connection_goes_on() {
    let (db, store) = a_store(|settings| settings.max_connections = 8).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    // Several at a time, so that the pool holds several.
    for _ in 0..3 {
        let asked = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.ping().await })
        });
        for one in asked.collect::<Vec<_>>() {
            one.await.expect("ran").expect("an answer");
        }
    }
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and application_name = 'relay'";
    let killed: i64 = sqlx::query_scalar(kill).fetch_one(&mut conn).await.expect("killed");
    assert!(killed >= 1);
    // Each connection that was idle may be found dead once; no answer is a wrong one, and none is for ever.
    let mut refused = 0;
    while let Err(e) = store.ping().await {
        assert!(matches!(e, StoreError::Unavailable(_)), "{e}");
        refused += 1;
        assert!(refused <= killed, "{refused} connections were dead, and {killed} had been killed");
    }
    let mut answer = store.lead(&[fence.shard], "a").await;
    for _ in refused..killed {
        if let Err(StoreError::Unavailable(_)) = answer {
            answer = store.lead(&[fence.shard], "a").await;
        }
    }
    let Ok(Leadership::Won(won)) = answer else { panic!("{answer:?}") };
    store.commit(&a_birth(won[&fence.shard])).await.expect("committed");
}

/// The schema went away under a running store: said so, with what helps.
#[tokio::test]
async fn a_database_that_is_taken_back_under_a_store_says_what_helps() {
    let (db, store) = a_store(|_| {}).await;
    migrate::down(db.url(), Some(0)).await.expect("taken back");
    match store.head("data", "etl").await {
        Err(StoreError::Unavailable(Outage { cause, why })) => {
            assert_eq!(cause, Cause::Unfit);
            assert!(why.contains("workflow_heads") && why.contains("relay migrate up"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

async fn sessions(db: &TestDb) -> i64 {
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    let count = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'relay'";
    sqlx::query_scalar(count).fetch_one(&mut conn).await.expect("asked")
}

/// The server takes note of an end a moment later.
async fn sessions_end(db: &TestDb) {
    let gone = async {
        while sessions(db).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("its sessions ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_serve_whoever_asks() {
    let (_db, store) = a_store(|settings| settings.max_connections = 2).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let asked = (0..40).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                store.position(fence.shard).await?;
            }
            Ok::<(), StoreError>(())
        })
    });
    for one in asked.collect::<Vec<_>>() {
        one.await.expect("ran").expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_that_come_one_after_the_other_need_one_connection() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    for _ in 0..20 {
        store.position(fence.shard).await.expect("an answer");
    }
    assert_eq!(sessions(&db).await, 1);
    store.close().await;
    sessions_end(&db).await;
    assert!(store.ping().await.is_err(), "it is closed");
}

/// A store may be dropped by whoever has no runtime any more.
#[test]
fn a_store_that_is_dropped_ends_its_connections() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (db, store) = runtime.block_on(a_store(|_| {}));
    runtime.block_on(store.ping()).expect("an answer");
    drop(store);
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(sessions_end(&db));
}
