//! Leaders that hang with their Redis, or freeze: the one goes on leading, the other writes nothing when it wakes.

use std::sync::Arc;
use std::time::Duration;

use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Limits, Older, Params, Submission};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::job::{JobId, News, Outcome, PROTOCOL, Report};
use relay::model::{ids::ShardId, run::RunRow};
use relay::queue::redis::{RedisJobs, RedisQueue};
use relay::queue::{self, Claim, Jobs, Pools, Roster};
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use rustix::process::Signal;
use sqlx::{PgPool, Row};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Desk, SOON};
use crate::support::{RedisServer, TestDb};

const POOL: &str = "data/default";
const FLOW: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: two, namespace: data}
spec: {pool: default, tasks: [{name: a, command: ['true']}, {name: b, dependsOn: [a], command: ['true']}]}
";
/// Longer than it takes to lose a leadership that is not renewed, and a look at the queue besides.
const HUNG: &str = "interval '16 seconds'";

#[tokio::test]
async fn a_redis_that_hangs_costs_nobody_the_leadership() {
    let (database, server) = (TestDb::new(), RedisServer::start(&[]).await);
    let cluster = Cluster::new(Some("our-cluster"));
    let [one, two] = [Desk::of(&cluster), Desk::of(&cluster)];
    let first = one.at(database.url(), &server.url());
    one.until_why("it leads").await;
    let second = two.at(database.url(), &server.url());
    two.until_why("it stands by").await;
    let rows = database.pool().await;
    let led = "select concat_ws(' ', min(epoch), max(epoch), min(holder), max(holder)) from shards";
    let leader = text(&rows, led).await;
    let frozen = text(&rows, "select clock_timestamp()::text").await;
    server.freeze();
    one.until("/health", "\"redis\":false").await;
    let renewed = format!("select (min(renewed_at) > '{frozen}'::timestamptz + {HUNG})::text from shards");
    let hung = async {
        let mut looks = tokio::time::interval(Duration::from_millis(200));
        while text(&rows, &renewed).await != "true" {
            looks.tick().await;
            assert_eq!(text(&rows, led).await, leader, "another one leads");
        }
    };
    tokio::time::timeout(SOON, hung).await.expect("it is renewed all the while");
    server.thaw();
    one.until("/health", "\"redis\":true").await;
    one.until_why("it leads").await;
    for operator in [first, second] {
        operator.signal(Signal::TERM);
        let told = operator.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
    }
}

/// Takes a job, and says how it goes.
struct Hand {
    jobs: RedisJobs,
}

impl Hand {
    async fn claim(&self) -> JobId {
        let claim = Claim {
            worker: "w".to_owned(),
            pools: Pools::One(POOL.to_owned()),
            slots: 1,
            holding: Vec::new(),
        };
        let claimed = tokio::time::timeout(SOON, self.jobs.claim(&claim)).await;
        claimed.expect("a job in time").expect("a claim").remove(0).id
    }

    async fn tell(&self, job: &JobId, news: News) {
        let at = Clock::system().now();
        let report = Report { version: PROTOCOL, job: job.clone(), worker: "w".to_owned(), news, at };
        self.jobs.report(report).await.expect("told");
    }

    async fn end(&self, job: &JobId) {
        self.tell(job, News::Ended(Outcome::Success { outputs: Default::default() })).await;
    }
}

/// A run with one job at work, and nobody who leads.
async fn under_way(database: &TestDb, server: &RedisServer) -> (Hand, JobId) {
    migrate::up(database.url(), None).await.expect("migrated");
    let settings = PoolSettings { min_connections: 0, ..PoolSettings::new(database.url()) };
    let store = Arc::new(PostgresStore::connect(&settings).await.expect("connected"));
    let redis = server.settings();
    let queue = Arc::new(RedisQueue::new(&redis, queue::redis::Limits::default()).expect("a queue"));
    let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
    let (clock, stop) = (Clock::system(), CancellationToken::new());
    let (conductor, handle) = Conductor::new(Params {
        store,
        queue: queue.clone(),
        feed: Arc::new(MemoryFeed::default()),
        clock: clock.clone(),
        compile,
        holder: "before".to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: Limits::default(),
        outlook: None,
    });
    let stopping = stop.clone();
    let work = tokio::spawn(async move { conductor.run(stopping).await });
    handle.live().await.expect("it leads");
    queue.admit(POOL, "secret").await.expect("a pool");
    let manifests = crd::load("two.yaml", FLOW.as_bytes(), &crd::Overrides::default());
    let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
    let (id, workflow) = ("run-1".parse().expect("an id"), manifest.workflow.clone());
    let (namespace, name) = ("data".to_owned(), "two-1".to_owned());
    let run = RunRow::new(id, workflow.id.clone(), namespace, name, clock.now());
    let submission = Submission { revision: crd::revision(&manifest), workflow, run };
    handle.submit(submission).await.expect("accepted");
    let hand = Hand { jobs: RedisJobs::new(&redis, POOL, "w").expect("a worker") };
    hand.jobs.beat("w", &[], clock.now()).await.expect("a beat");
    let job = hand.claim().await;
    hand.tell(&job, News::Started).await;
    stop.cancel();
    work.await.expect("no panic").expect("in order");
    (hand, job)
}

pub(super) async fn text(rows: &PgPool, question: &str) -> String {
    let row = sqlx::query(sqlx::AssertSqlSafe(question.to_owned())).fetch_one(rows).await;
    row.expect("asked").get::<Option<String>, _>(0).unwrap_or_default()
}

/// Everything in the database and in Redis that a conductor may change; a worker's presence runs out by itself.
pub(super) async fn everything(rows: &PgPool, server: &RedisServer) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["shards", "runs", "task_runs", "state_history", "task_logs"] {
        let all_of = format!("select string_agg(t::text, E'\n' order by t::text) from {table} t");
        all.push(text(rows, &all_of).await);
    }
    let keys = server.say(&["KEYS", "relay*"]).await;
    let mut keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
    keys.retain(|key| !key.contains("worker:heartbeat:"));
    keys.sort();
    for key in keys {
        all.push(format!("{key} {:?}", server.say(&["DUMP", &key]).await));
    }
    all
}

#[tokio::test]
async fn a_leader_that_was_frozen_past_its_time_changes_nothing_when_it_wakes() {
    let (database, server) = (TestDb::new(), RedisServer::start(&[]).await);
    let (w, job) = under_way(&database, &server).await;
    let rows = database.pool().await;
    let cluster = Cluster::new(Some("our-cluster"));
    let [one, two] = [Desk::of(&cluster), Desk::of(&cluster)];
    let first = one.at(database.url(), &server.url());
    one.until_why("it leads").await;
    let second = two.at(database.url(), &server.url());
    two.until_why("it stands by").await;

    first.signal(Signal::STOP);
    // It is at work still, as the first one knows it, and ends under the second.
    two.until_why("it leads").await;
    w.end(&job).await;
    let next = w.claim().await;
    assert_eq!(next.task_run.key.task, 1);
    w.end(&next).await;
    let ended = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let status = "select status || (select count(*) from state_history)::text from runs";
        while !text(&rows, status).await.starts_with("SUCCESS") {
            looks.tick().await;
        }
        let stream = format!("relay:{{{POOL}}}:stream:results");
        while server.say(&["XLEN", &stream]).await != redis::Value::Int(0) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(SOON, ended).await.expect("the run ends");
    // Whatever is written from here on, the first one writes.
    second.signal(Signal::STOP);
    let before = everything(&rows, &server).await;
    first.signal(Signal::CONT);
    let told = first.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("another operator leads shard"), "{}", told.errors);
    let after = everything(&rows, &server).await;
    assert!(before.len() > 8, "{before:#?}");
    assert_eq!(after, before);
    second.signal(Signal::CONT);
    second.signal(Signal::TERM);
    let told = second.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
}
