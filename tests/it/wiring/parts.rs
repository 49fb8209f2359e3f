//! Several leaders, each with a part of the shards: real operators, real workers, a ledger that the tasks write themselves.

mod starts;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Limits, Older, Params, Submission, every_shard};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::{ids::ShardId, run::RunRow};
use relay::queue::{self, redis::RedisQueue};
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use rustix::process::Signal;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::fenced::{everything, text};
use super::{Cluster, Desk, LOOK, SOON};
use crate::support::{Program, RedisServer, TestDb, relay};

/// The tasks of each run, one after the other.
const TASKS: [&str; 3] = ["a", "b", "c"];
/// What leads half of the shards says.
const HALF: &str = "it leads 32 of 64 shards";
/// And what leads all of them says.
const ALL: &str = "it leads 64 of 64 shards";

/// Servers, and a run in each half of the shards whose tasks wait until the test lets them end.
struct Stage {
    database: TestDb,
    server: RedisServer,
    rows: PgPool,
    folder: tempfile::TempDir,
    cluster: Cluster,
    namespaces: [String; 2],
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
    async fn new() -> Stage {
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
    fn operator(&self, desk: &Desk, name: &str, leaders: u32) -> Program {
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
    fn workers(&self) -> Vec<Program> {
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
    fn may_end(&self, task: &str) {
        fs::write(self.path(task), "").expect("written");
    }

    /// What was run in each namespace, in order.
    fn ledgers(&self) -> [String; 2] {
        let read = |n: &String| fs::read_to_string(self.path(n)).unwrap_or_default().replace('\n', "");
        [read(&self.namespaces[0]), read(&self.namespaces[1])]
    }

    /// Waits until exactly these were run in each namespace.
    async fn ran(&self, tasks: &str) {
        self.until(&format!("{tasks} ran"), async || self.ledgers() == [tasks, tasks]).await;
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
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
    async fn all_ended(&self) {
        TASKS.iter().for_each(|task| self.may_end(task));
        let states = "select string_agg(status, ' ' order by id) from runs";
        self.until("both runs end", async || text(&self.rows, states).await == "SUCCESS SUCCESS").await;
        let attempts = "select string_agg(status || attempt, ' ') from task_runs";
        assert_eq!(text(&self.rows, attempts).await, ["SUCCESS1"; 6].join(" "));
        assert_eq!(self.ledgers(), ["abc", "abc"]);
    }

    /// Who leads the shards now and in which epochs they were taken, in words.
    async fn led(&self) -> String {
        let led = "select string_agg(id || ' ' || coalesce(holder, '') || ' ' || epoch, ', ' order by id) from shards";
        text(&self.rows, led).await
    }
}

fn ended_well(operators: Vec<Program>) {
    for operator in operators {
        operator.signal(Signal::TERM);
        let told = operator.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
    }
}

fn stop_now(workers: Vec<Program>) {
    for worker in workers {
        worker.signal(Signal::TERM);
        let told = worker.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
    }
}

#[tokio::test]
async fn two_leaders_have_a_part_each_and_one_takes_over_for_the_other() {
    let stage = Stage::new().await;
    let [one, two, three] = [(); 3].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    one.until_why(&format!("{HALF}; relay-two leads the others")).await;
    two.until_why(&format!("{HALF}; relay-one leads the others")).await;
    // What the first one kept it has in a new epoch, and never gave up; the rest it gave up, and the second one took it.
    let epochs = |name: &str| {
        format!("select string_agg(distinct epoch::text, ' ') from shards where holder like '{name}-%'")
    };
    let [kept, given] = ["relay-one", "relay-two"].map(epochs);
    assert_eq!(
        (text(&stage.rows, &kept).await, text(&stage.rows, &given).await),
        ("4".to_owned(), "5".to_owned())
    );
    let workers = stage.workers();
    stage.ran("a").await;

    // Killed: the other one leads its part too, and the runs of both parts go on.
    first.signal(Signal::KILL);
    two.until_why(ALL).await;
    stage.may_end("a");
    stage.ran("ab").await;

    // It is there again, and has a part again, with a run under way in each.
    let third = stage.operator(&three, "relay-three", 2);
    three.until_why(HALF).await;
    two.until_why(&format!("{HALF}; relay-three leads the others")).await;
    stage.may_end("b");
    stage.ran("abc").await;

    // Told to end: it gives its part up, so that nobody waits until its time is over.
    let held = "select coalesce(sum(epoch), 0)::text from shards where holder like 'relay-three-%'";
    let of_the_third = "select string_agg(id::text, ',') from shards where holder like 'relay-three-%'";
    let (before, shards) = (text(&stage.rows, held).await, text(&stage.rows, of_the_third).await);
    third.signal(Signal::TERM);
    let told = third.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    two.until_why(ALL).await;
    let after = format!("select sum(epoch)::text from shards where id in ({shards})");
    let sum = |text: String| text.parse::<i64>().expect("a number");
    // One epoch ended by giving it up, one begun by taking it.
    assert_eq!(sum(text(&stage.rows, &after).await), sum(before) + 2 * 32);
    stage.all_ended().await;
    stop_now(workers);
    ended_well(vec![second]);
    assert_eq!(
        text(&stage.rows, "select count(*)::text from operators where holder like 'relay-two-%'").await,
        "0"
    );
}

#[tokio::test]
async fn a_third_one_stands_by_and_takes_the_part_of_whoever_is_killed() {
    let stage = Stage::new().await;
    let [one, two, three] = [(); 3].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    two.until_why(HALF).await;
    let third = stage.operator(&three, "relay-three", 2);
    let (status, told) = three.until_why("it stands by; relay-one and relay-two lead").await;
    assert_eq!(status, 200, "{told}");
    let workers = stage.workers();
    stage.ran("a").await;
    let of_the_second =
        "select string_agg(id || ' ' || epoch, ', ' order by id) from shards where holder like 'relay-two-%'";
    let before = text(&stage.rows, of_the_second).await;
    first.signal(Signal::KILL);
    three.until_why(&format!("{HALF}; relay-two leads the others")).await;
    assert_eq!(text(&stage.rows, of_the_second).await, before, "the second one had no reason to begin anew");
    stage.all_ended().await;
    stop_now(workers);
    ended_well(vec![third, second]);
}

#[tokio::test]
async fn a_redis_that_is_emptied_while_two_lead_costs_no_attempt() {
    let stage = Stage::new().await;
    let [one, two] = [(); 2].map(|()| Desk::of(&stage.cluster));
    let operators = vec![stage.operator(&one, "relay-one", 2), stage.operator(&two, "relay-two", 2)];
    one.until_why(HALF).await;
    two.until_why(HALF).await;
    let workers = stage.workers();
    stage.ran("a").await;
    stage.server.say(&["FLUSHALL"]).await;
    let leases = |namespace: &String| format!("relay:{{{namespace}/default}}:leases");
    for namespace in &stage.namespaces {
        stage
            .until("its worker tells what it holds", async || {
                stage.server.say(&["HLEN", &leases(namespace)]).await == redis::Value::Int(1)
            })
            .await;
    }
    let incarnation = stage.server.say(&["HGET", "relay:incarnation", "id"]).await;
    stage.may_end("a");
    stage.ran("ab").await;
    // And once more, with other tasks under way.
    stage.server.say(&["FLUSHALL"]).await;
    stage.all_ended().await;
    assert_ne!(stage.server.say(&["HGET", "relay:incarnation", "id"]).await, incarnation);
    stop_now(workers);
    ended_well(operators);
}

#[tokio::test]
async fn one_of_two_that_was_frozen_past_its_time_changes_nothing_when_it_wakes() {
    let stage = Stage::new().await;
    let [one, two] = [(); 2].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    one.until_why(HALF).await;
    two.until_why(HALF).await;
    let workers = stage.workers();
    stage.ran("a").await;
    first.signal(Signal::STOP);
    two.until_why(ALL).await;
    stage.all_ended().await;
    stop_now(workers);
    for namespace in &stage.namespaces {
        let results = format!("relay:{{{namespace}/default}}:stream:results");
        stage
            .until("every report is settled", async || {
                stage.server.say(&["XLEN", &results]).await == redis::Value::Int(0)
            })
            .await;
    }
    // Whatever is written from here on, the first one writes.
    second.signal(Signal::STOP);
    let (before, led) = (everything(&stage.rows, &stage.server).await, stage.led().await);
    first.signal(Signal::CONT);
    let told = first.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("another operator leads shard"), "{}", told.errors);
    assert_eq!(everything(&stage.rows, &stage.server).await, before);
    assert_eq!(stage.led().await, led);
    second.signal(Signal::CONT);
    // It was frozen itself, and nobody else was there: it may lead on, or find that it must take its part anew.
    second.signal(Signal::KILL);
    drop(second);
    let last = stage.operator(&one, "relay-last", 2);
    one.until_why(ALL).await;
    ended_well(vec![last]);
}
