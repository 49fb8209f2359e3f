//! What a database can be in the way of: each is told by its word, nothing is set aside, and work goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use relay::clock::Clock;
use relay::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, Handle, Limits, Older, Params, Submission,
};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::ids::{RunId, ShardId};
use relay::model::run::RunRow;
use relay::queue::{self, memory::MemoryQueue};
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Cause, Outage, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::a_store;
use crate::support::PostgresServer;

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(60);

/// A conductor over this store, that nobody works for.
pub(super) struct Led {
    handle: Handle,
    stop: CancellationToken,
    work: JoinHandle<Result<Counters, ConductorError>>,
}

impl Led {
    pub(super) async fn by(store: &Arc<PostgresStore>) -> Led {
        let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
        let (conductor, handle) = Conductor::new(Params {
            store: store.clone(),
            queue: Arc::new(MemoryQueue::new(queue::memory::Limits::default())),
            feed: Arc::new(MemoryFeed::default()),
            clock: Clock::system(),
            compile,
            holder: "the-conductor".to_owned(),
            shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits: Limits::default(),
            outlook: None,
        });
        let stop = CancellationToken::new();
        let work = tokio::spawn(conductor.run(stop.clone()));
        assert_eq!(handle.live().await, Some(vec![]), "it leads");
        Led { handle, stop, work }
    }

    /// Submits a run; the task ends with the answer.
    pub(super) fn submits(&self, id: &str) -> JoinHandle<()> {
        let text = "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {name: etl, namespace: data}\nspec:\n  \
                    pool: default\n  tasks:\n    - name: load\n      command: [\"true\"]\n";
        let manifests = crd::load("etl.yaml", text.as_bytes(), &crd::Overrides::default());
        let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
        let workflow = manifest.workflow.clone();
        let (id, now) = (run_id(id), Clock::system().now());
        let run = RunRow::new(id.clone(), workflow.id.clone(), "data".to_owned(), id.to_string(), now);
        let submission = Submission { revision: crd::revision(&manifest), workflow, run };
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.submit(submission).await.expect("accepted") })
    }

    /// It ends by itself, as one that leads no longer.
    pub(super) async fn ends_deposed(self) {
        let ended = soon(self.work).await.expect("ran");
        assert!(matches!(ended, Err(ConductorError::Deposed(_))), "{ended:?}");
    }

    /// Nothing was set aside, and it ends in order.
    pub(super) async fn ends(self) -> Counters {
        self.stop.cancel();
        let counters = soon(self.work).await.expect("ran").expect("in order");
        assert_eq!(counters.aside, 0);
        counters
    }
}

pub(super) fn run_id(text: &str) -> RunId {
    text.parse().expect("an id")
}

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

/// Asks how the store is until it is as wanted, as the health check does.
async fn until(
    store: &PostgresStore,
    wanted: impl Fn(&Result<(), StoreError>) -> bool,
) -> Result<(), StoreError> {
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    soon(async {
        loop {
            looks.tick().await;
            let told = store.ping().await;
            if wanted(&told) {
                return told;
            }
        }
    })
    .await
}

async fn until_ill(store: &PostgresStore, cause: Cause) -> String {
    let is =
        |told: &Result<(), StoreError>| matches!(told, Err(StoreError::Unavailable(o)) if o.cause == cause);
    let told = until(store, is).await.expect_err("it is ill");
    assert_eq!(told.label(), cause.label());
    told.to_string()
}

async fn say(url: &str, statements: &[&str]) {
    let mut connection = PgConnection::connect(url).await.expect("connected");
    for statement in statements {
        let said = sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await;
        said.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    connection.close().await.expect("closed");
}

/// The server's own words for a disk without room, at the table that grows first.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_waited_out() {
    let (db, store) = a_store(|_| {}).await;
    let led = Led::by(&store).await;
    soon(led.submits("before")).await.expect("accepted");
    let full = "create function no_room() returns trigger language plpgsql as $$
        begin raise exception using errcode = '53100', message = 'could not extend file: No space left on device'; end $$;
        create trigger no_room before insert on state_history for each statement execute function no_room()";
    say(db.url(), &[full]).await;
    let submitted = led.submits("meanwhile");
    let told = until_ill(&store, Cause::Full).await;
    assert!(told.contains("the store is full") && told.contains("No space left on device"), "{told}");
    // A look of its own mends nothing.
    until_ill(&store, Cause::Full).await;
    assert!(!submitted.is_finished(), "nothing is promised that is not written");
    say(db.url(), &["drop trigger no_room on state_history"]).await;
    soon(submitted).await.expect("accepted");
    store.ping().await.expect("all is well at once");
    for id in ["before", "meanwhile"] {
        assert!(store.run(&run_id(id)).await.expect("read").is_some(), "{id}");
    }
    led.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_behind_the_same_address_is_told_and_waited_out() {
    let mut server = PostgresServer::start(&[], |_| {}).await;
    let url = server.url("");
    migrate::up(&url, None).await.expect("migrated");
    let settings = PoolSettings::new(&url);
    let store = Arc::new(PostgresStore::connect(&settings).await.expect("connected"));
    let led = Led::by(&store).await;
    soon(led.submits("before")).await.expect("accepted");
    server.becomes_a_standby().await;
    let submitted = led.submits("meanwhile");
    let told = until_ill(&store, Cause::ReadOnly).await;
    assert!(told.contains("the store takes no writes") && told.contains("standby"), "{told}");
    assert!(!submitted.is_finished(), "nothing is promised that is not written");
    // Whoever starts now waits as well: it may be promoted.
    match migrate::up(&url, None).await {
        Err(e) => assert_eq!(e.cause(), Some(Cause::ReadOnly), "{e}"),
        Ok(moved) => panic!("{moved}"),
    }
    say(&url, &["select pg_promote()"]).await;
    soon(submitted).await.expect("accepted");
    until(&store, Result::is_ok).await.expect("all is well");
    for id in ["before", "meanwhile"] {
        assert!(store.run(&run_id(id)).await.expect("read").is_some(), "{id}");
    }
    led.ends().await;
    store.close().await;
}

/// As providers do when a disk runs full: every new session is read-only.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_may_only_read_are_told_and_waited_out() {
    let (db, store) = a_store(|_| {}).await;
    let led = Led::by(&store).await;
    let database = db.url().rsplit_once('/').expect("a name").1;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'relay'";
    say(db.url(), &[&format!("alter database {database} set default_transaction_read_only = on"), end]).await;
    let submitted = led.submits("meanwhile");
    let told = until_ill(&store, Cause::ReadOnly).await;
    assert!(told.contains("default_transaction_read_only is on"), "{told}");
    say(
        db.url(),
        &[
            "set default_transaction_read_only = off",
            &format!("alter database {database} reset default_transaction_read_only"),
        ],
    )
    .await;
    soon(submitted).await.expect("accepted");
    until(&store, Result::is_ok).await.expect("all is well");
    led.ends().await;
}

/// Somebody took a right away: said so while writes fail, though every look could read.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_told_and_waited_out() {
    let (db, store) = a_store(|_| {}).await;
    let led = Led::by(&store).await;
    let locked = "create function closed() returns trigger language plpgsql as $$
        begin raise exception using errcode = '42501', message = 'permission denied for table runs'; end $$;
        create trigger closed before insert on runs for each statement execute function closed()";
    say(db.url(), &[locked]).await;
    let submitted = led.submits("meanwhile");
    let told = until_ill(&store, Cause::Unfit).await;
    assert!(told.contains("permission denied for table runs"), "{told}");
    say(db.url(), &["drop trigger closed on runs"]).await;
    soon(submitted).await.expect("accepted");
    led.ends().await;
}

/// A port that takes connections and says nothing, as behind a broken balancer.
#[tokio::test(start_paused = true)]
async fn a_server_that_takes_connections_and_says_nothing_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("postgres://zoe:hunter2@{address}/x");
    match PostgresStore::connect(&PoolSettings::new(&url)).await {
        Err(StoreError::Unavailable(Outage { cause: Cause::Unreachable, why })) => {
            assert!(why.contains("no answer within 10 s") && !why.contains("hunter2"), "{why}");
        }
        other => panic!("{:?}", other.map(|_| "a store")),
    }
}
