//! A pool whose user writes lies into its books: others do not notice.

mod large;
mod window;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, Handle, Limits, Older, Outlook, Params, Submission,
};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::{
    ids::{RunId, ShardId},
    job::{JobId, News, Outcome, Report},
    run::RunRow,
    status::{RunStatus, TaskStatus},
    task_run::TaskRow,
    time::later,
};
use relay::queue::{self, Jobs, Roster, redis::RedisQueue};
use relay::store::{Store, memory::MemoryStore};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, report, success},
};

const HOSTILE: &str = "data/hostile";
/// Longer than silence of a worker is borne.
const LONG: Duration = Duration::from_secs(40);
const FLOW: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: one, namespace: data}
spec: {pool: default, tasks: [{name: only, command: ['true']}, {name: next, dependsOn: [only], command: ['true']}]}
";

/// A store, a Redis, and conductors that come and go.
pub struct House {
    pub server: RedisServer,
    pub store: Arc<MemoryStore>,
    pub outlook: Arc<Outlook>,
    clock: Clock,
}

/// A conductor at work.
pub struct Life {
    handle: Handle,
    stop: CancellationToken,
    work: JoinHandle<Result<Counters, ConductorError>>,
}

impl Life {
    pub async fn end(self) -> Counters {
        self.stop.cancel();
        self.work.await.expect("no panic").expect("in order")
    }
}

fn empty(clock: &Clock) -> Arc<MemoryStore> {
    let now = clock.clone();
    Arc::new(MemoryStore::new(Arc::new(move || now.now())))
}

impl House {
    pub async fn new() -> House {
        let clock = Clock::system();
        House { server: RedisServer::start(&[]).await, store: empty(&clock), outlook: Arc::default(), clock }
    }

    /// The store is made anew.
    pub fn forget(&mut self) {
        self.store = empty(&self.clock);
    }

    /// A conductor in a process of its own: it knows nothing of what was said before.
    pub async fn conduct(&self) -> Life {
        let settings = self.server.settings();
        let queue = Arc::new(RedisQueue::new(&settings, queue::redis::Limits::default()).expect("a queue"));
        let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
        let (conductor, handle) = Conductor::new(Params {
            store: self.store.clone(),
            queue: queue.clone(),
            feed: Arc::new(MemoryFeed::default()),
            clock: self.clock.clone(),
            compile,
            holder: format!("conductor-{}", uuid::Uuid::now_v7()),
            shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits: Limits::default(),
            outlook: Some(self.outlook.clone()),
        });
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let work = tokio::spawn(async move { conductor.run(stopping).await });
        handle.live().await.expect("it leads");
        for pool in [POOL, HOSTILE] {
            until("the pool is open", async || queue.admit(pool, "secret").await.ok()).await;
        }
        Life { handle, stop, work }
    }

    pub async fn submit(&self, life: &Life) -> RunId {
        self.submit_flow(life, FLOW, json!({})).await
    }

    pub async fn submit_flow(&self, life: &Life, flow: &str, params: serde_json::Value) -> RunId {
        let manifests = crd::load("flow.yaml", flow.as_bytes(), &crd::Overrides::default());
        let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
        let (id, workflow): (RunId, _) = ("run-1".parse().expect("an id"), manifest.workflow.clone());
        let mut run = RunRow::new(
            id.clone(),
            workflow.id.clone(),
            "data".to_owned(),
            "one-1".to_owned(),
            self.clock.now(),
        );
        run.params = (&params).into();
        let submission = Submission { revision: crd::revision(&manifest), workflow, run };
        life.handle.submit(submission).await.expect("accepted");
        id
    }

    /// What the hostile pool's user can write.
    async fn lie(&self, words: &[&str]) {
        let user = relay::link::keys::user("relay", HOSTILE);
        let url = relay::link::worker_url(&self.server.url(), &user, "secret").expect("a URL");
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = crate::support::redis::connected(&client).await.expect("let in");
        let said: redis::RedisResult<redis::Value> =
            redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await;
        said.expect("it may write this");
    }

    async fn forge(&self, pool: &str, report: &Report) {
        let text = serde_json::to_string(report).expect("JSON");
        let stream = format!("relay:{{{pool}}}:stream:results");
        match pool {
            HOSTILE => self.lie(&["XADD", &stream, "*", "r", &text]).await,
            _ => drop(self.server.say(&["XADD", &stream, "*", "r", &text]).await),
        }
    }

    async fn row(&self, run: &RunId, task: u32) -> TaskRow {
        let record = self.store.run(run).await.expect("a store").expect("a run");
        record.tasks.into_iter().find(|row| row.key.task == task).expect("a task run")
    }

    /// Waits until the run has ended well.
    pub async fn until_ended(&self, run: &RunId) {
        let status = async || self.store.run(run).await.expect("a store").expect("a run").run.status;
        until("the run's end", async || (status().await == RunStatus::Success).then_some(())).await;
    }

    async fn held_by_the_hostile(&self) -> usize {
        let leases = self.server.say(&["HLEN", &format!("relay:{{{HOSTILE}}}:leases")]).await;
        redis::from_redis_value::<usize>(leases).expect("a number")
    }
}

#[tokio::test]
async fn who_writes_anothers_job_into_its_own_leases_disturbs_nobody() {
    let house = House::new().await;
    let first = house.conduct().await;
    let w = worker(&house.server.settings(), "w").await;
    let run = house.submit(&first).await;
    let claimed = w.claim(1).await;
    let job = claimed[0].clone();
    w.jobs.report(report("w", &job, News::Started)).await.expect("told");
    until("it runs", async || (house.row(&run, 0).await.status == TaskStatus::Running).then_some(())).await;
    assert_eq!(first.end().await.foreign, 0);

    // A new conductor has offered nothing, and its first look finds the job in two pools.
    let leases = format!("relay:{{{HOSTILE}}}:leases");
    house.lie(&["HSET", &leases, &job.to_string(), "ghost"]).await;
    let second = house.conduct().await;
    until("the lie is struck off", async || (house.held_by_the_hostile().await == 0).then_some(())).await;
    // And again, when silence counts.
    house.lie(&["HSET", &leases, &job.to_string(), "ghost"]).await;
    house.clock.at_least(later(house.clock.now(), LONG));
    until("the lie is struck off", async || (house.held_by_the_hostile().await == 0).then_some(())).await;
    assert_eq!(
        w.beat(std::slice::from_ref(&job)).await.expect("a beat"),
        Default::default(),
        "it is its own"
    );

    w.jobs.report(report("w", &job, success())).await.expect("told");
    let next = w.claim(1).await;
    w.jobs.report(report("w", &next[0], success())).await.expect("told");
    house.until_ended(&run).await;
    let row = house.row(&run, 0).await;
    assert_eq!((row.attempt, row.losses), (1, 0), "nobody ran it again");
    second.end().await;
}

#[tokio::test]
async fn what_a_worker_tells_of_another_pools_task_is_dropped_and_counted_and_so_is_what_comes_too_late() {
    let house = House::new().await;
    let life = house.conduct().await;
    let w = worker(&house.server.settings(), "w").await;
    let run = house.submit(&life).await;
    let job: JobId = w.claim(1).await.remove(0);
    let lie = Outcome::Success { outputs: BTreeMap::from([("forged".to_owned(), json!(true))]) };
    house.forge(HOSTILE, &report("w", &job, News::Ended(lie))).await;
    w.jobs.report(report("w", &job, success())).await.expect("told");
    let next = w.claim(1).await;
    // Its attempt is over.
    house.forge(POOL, &report("w", &job, success())).await;
    w.jobs.report(report("w", &next[0], success())).await.expect("told");
    house.until_ended(&run).await;
    assert_eq!(house.row(&run, 0).await.output.as_deref(), Some(&json!({})), "what the worker itself told");
    let waits = async |pool: &str| {
        let left = house.server.say(&["XLEN", &format!("relay:{{{pool}}}:stream:results")]).await;
        (left == redis::Value::Int(0)).then_some(())
    };
    until("all is settled", async || waits(POOL).await.and(waits(HOSTILE).await)).await;
    let counted = life.end().await;
    assert_eq!((counted.foreign, counted.stale), (1, 1));
}
