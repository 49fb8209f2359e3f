//! A whole conductor, whole workers, and a Redis that is emptied under them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Handle, Limits, LogPump, Older, Params, Submission};
use relay::crd;
use relay::feed::{
    self, Stream,
    memory::MemoryFeed,
    redis::{RedisFeed, RedisLogs},
};
use relay::link::RedisSettings;
use relay::model::{
    ids::ShardId,
    job::{Job, JobId, Outcome},
    log::LogQuery,
    run::RunRow,
    status::RunStatus,
};
use relay::queue::{
    Jobs, Pools,
    redis::{self, RedisJobs, RedisQueue},
};
use relay::store::{Store, memory::MemoryStore};
use relay::worker::{self, Executor, Links, Shutdown, Worker, log::LogSink};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{conductor, conductor_within, still_waits, until, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, report, success},
};

/// Waits for a permit a job; remembers what it ran.
struct Gate {
    ran: Mutex<BTreeMap<JobId, u32>>,
    permits: Semaphore,
}

impl Gate {
    fn ran(&self) -> BTreeMap<JobId, u32> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Executor for Gate {
    async fn execute(&self, job: &Job, cancel: CancellationToken, log: LogSink) -> Outcome {
        *self.ran.lock().unwrap_or_else(PoisonError::into_inner).entry(job.id.clone()).or_default() += 1;
        log.line(Stream::Stdout, "it began").await;
        tokio::select! {
            permit = self.permits.acquire() => permit.expect("the gate is there").forget(),
            () = cancel.cancelled() => return Outcome::Cancelled,
        }
        log.line(Stream::Stdout, "it goes on").await;
        Outcome::Success { outputs: BTreeMap::from([("n".to_owned(), job.item.clone().unwrap_or_default())]) }
    }
}

struct Fleet {
    handle: Handle,
    store: Arc<MemoryStore>,
    gate: Arc<Gate>,
    stop: CancellationToken,
    shutdown: Shutdown,
    leader: JoinSet<()>,
    workers: JoinSet<()>,
}

/// A conductor that leads everything, and the log pump.
async fn conduct(
    settings: &RedisSettings,
    queue: Arc<RedisQueue>,
    store: &Arc<MemoryStore>,
    stop: &CancellationToken,
) -> (Handle, JoinSet<()>) {
    let (clock, feed) = (Clock::system(), Arc::new(MemoryFeed::default()));
    let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
    let (conductor, handle) = Conductor::new(Params {
        store: store.clone(),
        queue,
        feed: feed.clone(),
        clock: clock.clone(),
        compile: compile.clone(),
        holder: "the-conductor".to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: Limits::default(),
        outlook: None,
    });
    let (mut parts, stopping) = (JoinSet::new(), stop.clone());
    parts.spawn(async move { assert!(conductor.run(stopping).await.is_ok(), "in order") });
    let stream = Arc::new(RedisLogs::new(settings).expect("a stream"));
    let pump = LogPump { stream, store: store.clone(), feed, clock, compile, outlook: None };
    let stopping = stop.clone();
    parts.spawn(async move { assert_eq!(pump.run(stopping).await.foreign, 0) });
    (handle, parts)
}

impl Fleet {
    /// A conductor, and two workers with four slots each.
    async fn start(settings: &RedisSettings) -> Fleet {
        Fleet::with(settings, conductor(settings).await, &["w", "v"]).await
    }

    async fn with(settings: &RedisSettings, queue: Arc<RedisQueue>, names: &[&str]) -> Fleet {
        Fleet::beating(settings, queue, names, Duration::from_millis(500)).await
    }

    /// Workers that beat so often.
    async fn beating(
        settings: &RedisSettings,
        queue: Arc<RedisQueue>,
        names: &[&str],
        beat: Duration,
    ) -> Fleet {
        let clock = Clock::system();
        let now = clock.clone();
        let store = Arc::new(MemoryStore::new(Arc::new(move || now.now())));
        let (stop, shutdown, mut workers) = (CancellationToken::new(), Shutdown::default(), JoinSet::new());
        let (handle, leader) = conduct(settings, queue, &store, &stop).await;
        let gate = Arc::new(Gate { ran: Mutex::default(), permits: Semaphore::new(0) });
        for name in names {
            let jobs = Arc::new(RedisJobs::new(settings, POOL, name).expect("a worker"));
            let limits = worker::Limits { beat, ..worker::Limits::default() };
            let pools = Pools::One(POOL.to_owned());
            let params = worker::Params { id: (*name).to_owned(), pools, slots: 4, limits };
            let feed =
                Arc::new(RedisFeed::new(settings, POOL, feed::redis::Limits::default()).expect("a feed"));
            let links = Links { jobs, feed, executor: gate.clone(), clock: clock.clone() };
            let (worker, shutdown) = (Worker::new(params, links), shutdown.clone());
            workers.spawn(async move { worker.run(shutdown).await });
        }
        Fleet { handle, store, gate, stop, shutdown, leader, workers }
    }

    /// A run over so many items.
    async fn submit(&self, items: u32) -> relay::model::ids::RunId {
        let list: Vec<String> = (0..items).map(|n| n.to_string()).collect();
        let text = format!(
            "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: wide, namespace: data}}\nspec:\n  pool: default\n  tasks:\n    - name: each\n      forEach: {{from: \"[{}]\", as: n}}\n      command: [\"true\"]\n    - name: last\n      dependsOn: [each]\n      command: [\"true\"]\n",
            list.join(",")
        );
        let manifests = crd::load("wide.yaml", text.as_bytes(), &crd::Overrides::default());
        let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
        let id: relay::model::ids::RunId = "run-1".parse().expect("an id");
        let workflow = manifest.workflow.clone();
        let now = Clock::system().now();
        let run = RunRow::new(id.clone(), workflow.id.clone(), "data".to_owned(), "wide-1".to_owned(), now);
        let submission = Submission { revision: crd::revision(&manifest), workflow, run };
        self.handle.submit(submission).await.expect("accepted");
        id
    }

    async fn end(mut self) {
        // Workers first: what they told last is acknowledged.
        self.shutdown.drain.cancel();
        all_end(&mut self.workers).await;
        self.stop.cancel();
        all_end(&mut self.leader).await;
    }

    /// Nobody leads until `leads_again`.
    async fn leader_leaves(&mut self) {
        self.stop.cancel();
        all_end(&mut self.leader).await;
    }

    async fn leads_again(&mut self, settings: &RedisSettings) {
        self.stop = CancellationToken::new();
        (self.handle, self.leader) =
            conduct(settings, conductor(settings).await, &self.store, &self.stop).await;
    }
}

#[tokio::test]
async fn a_redis_emptied_again_and_again_runs_no_job_twice_and_loses_no_result() {
    let server = RedisServer::start(&[]).await;
    let mut settings = server.settings();
    settings.announce = Duration::from_secs(3);
    let fleet = Fleet::start(&settings).await;
    let run = fleet.submit(20).await;
    for done in [0_usize, 6, 12] {
        let running = done + 8;
        until("all slots are taken", async || (fleet.gate.ran().len() == running).then_some(())).await;
        // Ends come while the content goes: some are committed, some are not.
        fleet.gate.permits.add_permits(3);
        server.say(&["FLUSHALL"]).await;
        fleet.gate.permits.add_permits(3);
    }
    fleet.gate.permits.add_permits(100);
    let status = async || fleet.store.run(&run).await.expect("a store").expect("a run").run.status;
    until("the run's end", async || (status().await == RunStatus::Success).then_some(())).await;
    let record = fleet.store.run(&run).await.expect("a store").expect("a run");
    assert!(record.tasks.iter().all(|row| row.losses == 0), "{:?}", record.tasks);
    let ran = fleet.gate.ran();
    // What was offered and not begun when the content went may have gone out as another attempt: once each all the same.
    let tasks: BTreeSet<_> = ran.keys().map(|job| &job.task_run).collect();
    assert_eq!((ran.len(), tasks.len()), (21, 21), "{ran:?}");
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    fleet.end().await;
}

/// All slots are taken, so that workers have nothing to say; and they neither beat, nor is the time over in which they may
/// tell, until long after the test.
async fn all_is_there_again(mut server: RedisServer, loses: impl AsyncFn(&mut RedisServer)) {
    let ages = Duration::from_secs(3_600);
    let mut settings = server.settings();
    settings.announce = ages;
    let queue = conductor(&settings).await;
    server.say(&["DEL", "relay:{incarnation}:announcing"]).await;
    let fleet = Fleet::beating(&settings, queue, &["w", "v"], ages).await;
    let run = fleet.submit(20).await;
    until("all slots are taken", async || (fleet.gate.ran().len() == 8).then_some(())).await;
    let record = async || fleet.store.run(&run).await.expect("a store").expect("a run");
    let running = async || record().await.tasks.iter().filter(|row| row.worker.is_some()).count();
    until("all of them are known to run", async || (running().await == 8).then_some(())).await;
    loses(&mut server).await;
    let (leases, pending) = ("relay:{data/default}:leases", "relay:{data/default}:queue:pending_jobs");
    let counted = |count| move |found: ::redis::Value| (found == ::redis::Value::Int(count)).then_some(());
    until("what runs is known again", async || counted(8)(server.say(&["HLEN", leases]).await)).await;
    until("what waits is offered again", async || counted(12)(server.say(&["ZCARD", pending]).await)).await;
    fleet.gate.permits.add_permits(100);
    let ended = async || (record().await.run.status == RunStatus::Success).then_some(());
    until("the run's end", ended).await;
    let rows = record().await.tasks;
    assert!(rows.iter().all(|row| row.losses == 0), "{rows:?}");
    let ran = fleet.gate.ran();
    let tasks: BTreeSet<_> = ran.keys().map(|job| &job.task_run).collect();
    assert_eq!((ran.len(), tasks.len()), (21, 21), "{ran:?}");
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    fleet.end().await;
}

#[tokio::test]
async fn what_runs_and_what_waits_is_there_again_after_redis_was_emptied_without_waiting_for_a_beat() {
    let server = RedisServer::start(&[]).await;
    all_is_there_again(server, async |server: &mut RedisServer| drop(server.say(&["FLUSHALL"]).await)).await;
}

#[tokio::test]
async fn what_runs_and_what_waits_is_there_again_after_redis_began_anew_without_waiting_for_a_beat() {
    let server = RedisServer::start(&[]).await;
    let restarts = async |server: &mut RedisServer| {
        server.kill();
        server.start_again().await;
    };
    all_is_there_again(server, restarts).await;
}

async fn all_end(parts: &mut JoinSet<()>) {
    while let Some(ended) = parts.join_next().await {
        ended.expect("in order");
    }
}

#[tokio::test]
async fn what_was_done_while_nobody_led_is_not_done_again_though_redis_forgot_it() {
    let server = RedisServer::start(&[]).await;
    let mut settings = server.settings();
    settings.announce = Duration::from_secs(5);
    let mut fleet = Fleet::with(&settings, conductor(&settings).await, &[]).await;
    let run = fleet.submit(2).await;
    let (w, v) = (worker(&settings, "w").await, worker(&settings, "v").await);
    // Nobody reads what is reported from here on: by the store both are QUEUED, and have no worker.
    fleet.leader_leaves().await;
    let jobs = w.claim(2).await;
    w.jobs.report(report("w", &jobs[0], success())).await.expect("told");
    server.say(&["FLUSHALL"]).await;
    fleet.leads_again(&settings).await;
    until("Redis is prepared", async || v.beat(&[]).await.ok()).await;
    still_waits(v.try_claim(2, &[])).await;
    w.beat(&jobs[1..]).await.expect("a beat");
    w.jobs.report(report("w", &jobs[1], success())).await.expect("told");
    // What depends on them goes on, and they ended at their first attempt.
    let last = v.claim(1).await;
    v.jobs.report(report("v", &last[0], success())).await.expect("told");
    let record = async || fleet.store.run(&run).await.expect("a store").expect("a run");
    let ended = async || Some(record().await).filter(|record| record.run.status == RunStatus::Success);
    let record = until("the run's end", ended).await;
    assert!(record.tasks.iter().all(|row| row.losses == 0 && row.attempt <= 1), "{:?}", record.tasks);
    fleet.end().await;
}

#[tokio::test]
async fn a_job_that_no_queue_can_take_fails_its_task_and_says_why() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    // Too little for a job of any kind.
    let queue = conductor_within(&settings, redis::Limits { job: 100, ..redis::Limits::default() }).await;
    let fleet = Fleet::with(&settings, queue, &[]).await;
    let run = fleet.submit(2).await;
    let record = async || fleet.store.run(&run).await.expect("a store").expect("a run");
    let ended = async || Some(record().await).filter(|record| record.run.status == RunStatus::Failed);
    let record = until("the run's end", ended).await;
    let items = record.tasks.iter().filter(|row| row.key.item.is_some());
    for why in items.map(|row| row.error.clone().expect("an error")) {
        assert!(why.starts_with("its job is too large for the queue"), "{why}");
    }
    fleet.end().await;
}

#[tokio::test]
async fn what_tasks_write_is_in_the_store_while_they_run() {
    let server = RedisServer::start(&[]).await;
    let fleet = Fleet::start(&server.settings()).await;
    let run = fleet.submit(8).await;
    let lines = async |count: usize| {
        let query = LogQuery { run: run.clone(), task: None, item: None, after: 0, limit: 1_000 };
        let lines = fleet.store.logs(&query).await.expect("lines");
        (lines.len() == count).then_some(lines)
    };
    until("the first line of each", async || lines(8).await).await;
    fleet.gate.permits.add_permits(100);
    let all = until("all lines", async || lines(18).await).await;
    for stored in &all {
        let text = if stored.line.number == 1 { "it began" } else { "it goes on" };
        assert_eq!(stored.line.text, text);
    }
    fleet.end().await;
}
