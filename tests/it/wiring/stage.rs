//! Servers with a run in each half of the shards, real operators and workers, and a ledger that the tasks write themselves.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Limits, Older, Params, Submission, every_shard};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::{ids::ShardId, run::RunRow};
use relay::queue::{self, redis::RedisQueue};
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::fenced::text;
use super::{Cluster, Desk, LOOK, SOON};
use crate::support::{Program, RedisServer, TestDb, relay};

/// The tasks of each run, one after the other.
const TASKS: [&str; 3] = ["a", "b", "c"];

/// Servers, and a run in each half of the shards whose tasks wait until the test lets them end.
pub(super) struct Stage {
    database: TestDb,
    pub(super) server: RedisServer,
    pub(super) rows: PgPool,
    folder: tempfile::TempDir,
    pub(super) cluster: Cluster,
    pub(super) namespaces: [String; 2],
}

/// A namespace of each half.
fn namespaces() -> [String; 2] {
    let of_half = |half: u8| {
        let mut names = (0..).map(|n| format!("data-{n}"));
        names.find(|name| ShardId::of_namespace(name).number() / 32 == half).expect("one of many")
    };
    [of_half(0), of_half(1)]
}

impl Stage {
    /// Nobody leads yet.
    pub(super) async fn new() -> Stage {
        let (database, server) = (TestDb::new(), RedisServer::start(&[]).await);
        migrate::up(database.url(), None).await.expect("migrated");
        let (rows, folder) = (database.pool().await, tempfile::tempdir().expect("a folder"));
        let cluster = Cluster::new(Some("our-cluster"));
        let stage = Stage { database, server, rows, folder, cluster, namespaces: namespaces() };
        stage.submit().await;
        stage
    }

    /// Each task writes its name down and waits until it may end.
    fn flow(&self, namespace: &str) -> String {
        let at = self.folder.path().display();
        let mut tasks = String::new();
        for (n, name) in TASKS.iter().enumerate() {
            let after = n
                .checked_sub(1)
                .map(|before| format!("dependsOn: [{}], ", TASKS[before]))
                .unwrap_or_default();
            tasks.push_str(&format!(
                "    - {{name: {name}, {after}script: 'echo {name} >> {at}/{namespace}; until [ -e {at}/{name} ]; do sleep 0.05; done'}}\n"
            ));
        }
        format!(
            "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: chain, namespace: {namespace}}}\n\
             spec:\n  pool: default\n  tasks:\n{tasks}"
        )
    }

    async fn submit(&self) {
        let settings = PoolSettings { min_connections: 0, ..PoolSettings::new(self.database.url()) };
        let store = Arc::new(PostgresStore::connect(&settings).await.expect("connected"));
        let queue = RedisQueue::new(&self.server.settings(), queue::redis::Limits::default());
        let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
        let (clock, stop) = (Clock::system(), CancellationToken::new());
        let (conductor, handle) = Conductor::new(Params {
            store,
            queue: Arc::new(queue.expect("a queue")),
            feed: Arc::new(MemoryFeed::default()),
            clock: clock.clone(),
            compile,
            holder: "before".to_owned(),
            shards: every_shard().collect(),
            adopt: Adopt::All,
            older: Older::Stops,
            limits: Limits::default(),
            outlook: None,
        });
        let stopping = stop.clone();
        let work = tokio::spawn(async move { conductor.run(stopping).await });
        for namespace in &self.namespaces {
            let text = self.flow(namespace);
            let manifests = crd::load("chain.yaml", text.as_bytes(), &crd::Overrides::default());
            let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
            let (id, workflow) = (format!("run-{namespace}"), manifest.workflow.clone());
            let id = id.parse().expect("an id");
            let run =
                RunRow::new(id, workflow.id.clone(), namespace.clone(), "chain-1".to_owned(), clock.now());
            let submission = Submission { revision: crd::revision(&manifest), workflow, run };
            handle.submit(submission).await.expect("accepted");
        }
        stop.cancel();
        work.await.expect("no panic").expect("in order");
    }

    /// An operator of this name, of which so many lead at a time.
    pub(super) fn operator(&self, desk: &Desk, name: &str, leaders: u32) -> Program {
        let mut command = desk.operator();
        command.env("POD_NAME", name).args(["--leaders", &leaders.to_string()]);
        Program::start(command.args([
            "--database-url",
            self.database.url(),
            "--redis-url",
            &self.server.url(),
        ]))
    }

    /// A worker for each namespace.
    pub(super) fn workers(&self) -> Vec<Program> {
        let worker = |namespace: &String| {
            let mut command = relay();
            command.args(["worker", "--slots", "2", "--name", "worker", "--redis-url", &self.server.url()]);
            Program::start(command.args(["--pool", &format!("{namespace}/default")]))
        };
        self.namespaces.iter().map(worker).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// These tasks may end.
    pub(super) fn may_end(&self, task: &str) {
        fs::write(self.path(task), "").expect("written");
    }

    /// What was run in each namespace, in order.
    fn ledgers(&self) -> [String; 2] {
        let read = |n: &String| fs::read_to_string(self.path(n)).unwrap_or_default().replace('\n', "");
        [read(&self.namespaces[0]), read(&self.namespaces[1])]
    }

    /// Waits until exactly these were run in each namespace.
    pub(super) async fn ran(&self, tasks: &str) {
        self.until(&format!("{tasks} ran"), async || self.ledgers() == [tasks, tasks]).await;
    }

    pub(super) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(SOON, async {
            let mut looks = tokio::time::interval(LOOK);
            while !holds().await {
                looks.tick().await;
            }
        });
        if waited.await.is_err() {
            let history = "select string_agg(concat_ws(' ', changed_at, entity_id, new_state, attempt, reason), E'\n' order by changed_at)
                from state_history";
            panic!(
                "not within {SOON:?}: {what}; the ledgers are {:?}\n{}",
                self.ledgers(),
                text(&self.rows, history).await
            );
        }
    }

    /// Both runs have ended, and each of their tasks was made once.
    pub(super) async fn all_ended(&self) {
        TASKS.iter().for_each(|task| self.may_end(task));
        let states = "select string_agg(status, ' ' order by id) from runs";
        self.until("both runs end", async || text(&self.rows, states).await == "SUCCESS SUCCESS").await;
        let attempts = "select string_agg(status || attempt, ' ') from task_runs";
        assert_eq!(text(&self.rows, attempts).await, ["SUCCESS1"; 6].join(" "));
        assert_eq!(self.ledgers(), ["abc", "abc"]);
    }

    /// Who leads the shards now and in which epochs they were taken, in words.
    pub(super) async fn led(&self) -> String {
        let led = "select string_agg(id || ' ' || coalesce(holder, '') || ' ' || epoch, ', ' order by id) from shards";
        text(&self.rows, led).await
    }
}
