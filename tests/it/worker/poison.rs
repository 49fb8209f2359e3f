//! A task that takes its worker along, with the built program over a real Redis: it ends by its bound.

use std::{fs, sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Handle, Limits, Older, Params, Submission};
use relay::crd;
use relay::engine::LOSSES_MAX;
use relay::feed::memory::MemoryFeed;
use relay::link::{RedisSettings, keys};
use relay::model::{
    ids::{RunId, ShardId, TaskKey, TaskRunId},
    reason::Reason,
    run::RunRow,
    status::{RunStatus, TaskStatus},
    task_run::TaskRow,
};
use relay::queue::{self, Queue, redis::RedisQueue};
use relay::store::{Store, memory::MemoryStore};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::program::Site;
use crate::support::{
    jobs::{POOL, second},
    redis_url,
};

/// How often the conductor looks, and what it takes for a worker's silence.
const SOON: Duration = Duration::from_secs(1);
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// A conductor on the site's keys.
struct Lead {
    store: Arc<MemoryStore>,
    handle: Handle,
    stop: CancellationToken,
    ends: JoinHandle<()>,
}

impl Lead {
    fn new(site: &Site) -> Lead {
        let clock = Clock::system();
        let now = clock.clone();
        let store = Arc::new(MemoryStore::new(Arc::new(move || now.now())));
        let settings =
            RedisSettings::new(&redis_url()).and_then(|s| s.with_prefix(&site.prefix)).expect("settings");
        let queue = RedisQueue::new(&settings, queue::redis::Limits::default()).expect("a queue");
        let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
        let (conductor, handle) = Conductor::new(Params {
            store: store.clone(),
            queue: Arc::new(queue),
            feed: Arc::new(MemoryFeed::default()),
            clock,
            compile,
            holder: "the-conductor".to_owned(),
            shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits: Limits { sweep_every: SOON, silence: SOON, ..Limits::default() },
            outlook: None,
        });
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let ends = tokio::spawn(async move { assert!(conductor.run(stopping).await.is_ok(), "in order") });
        Lead { store, handle, stop, ends }
    }

    async fn submit(&self, task: &str) -> RunId {
        let text = format!(
            "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: poison, namespace: data}}\nspec:\n  pool: default\n  tasks:\n    - {task}\n"
        );
        let manifests = crd::load("poison.yaml", text.as_bytes(), &crd::Overrides::default());
        let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
        let id: RunId = "run-1".parse().expect("an id");
        let workflow = manifest.workflow.clone();
        let now = Clock::system().now();
        let run = RunRow::new(id.clone(), workflow.id.clone(), "data".to_owned(), "poison-1".to_owned(), now);
        let submission = Submission { revision: crd::revision(&manifest), workflow, run };
        self.handle.submit(submission).await.expect("accepted");
        id
    }

    /// Waits until the one task of the run is so.
    async fn until(&self, run: &RunId, what: &str, is: impl Fn(&TaskRow) -> bool) -> TaskRow {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let looking = async {
            loop {
                let record = self.store.run(run).await.expect("read").expect("there");
                match record.tasks.into_iter().find(&is) {
                    Some(row) => return row,
                    None => drop(looks.tick().await),
                }
            }
        };
        tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
    }

    async fn end(self) {
        self.stop.cancel();
        self.ends.await.expect("the conductor ended");
    }
}

/// Of whoever holds a lease Redis forgets that it was there, as it does by itself half a minute later.
async fn forget_presence(site: &Site) {
    let client = redis::Client::open(redis_url()).expect("a URL");
    let mut connection = crate::support::redis::connected(&client).await.expect("a connection");
    for worker in site.lease_holders().await {
        let key = format!("{}worker:heartbeat:{worker}", keys::of_pool(&site.prefix, POOL));
        let _: () = redis::cmd("DEL").arg(key).query_async(&mut connection).await.expect("forgotten");
    }
}

/// Its worker is its parent.
fn killer(site: &Site, more: &str) -> String {
    let script = "echo $RELAY_ATTEMPT >> $AT/starts; until [ -e $AT/go-$RELAY_ATTEMPT ]; do sleep 0.05; done; kill -KILL $PPID";
    let at = site.path("").to_string_lossy().into_owned();
    format!("{{name: killer, env: [{{name: AT, value: \"{at}\"}}], script: \"{script}\"{more}}}")
}

/// A worker takes the attempt, and dies of it.
async fn dies_of(site: &Site, lead: &Lead, run: &RunId, attempt: u32) -> String {
    let worker = site.worker("w").await;
    let runs = |row: &TaskRow| (row.status, row.attempt) == (TaskStatus::Running, attempt);
    let row = lead.until(run, "the task runs", runs).await;
    fs::write(site.path(&format!("go-{attempt}")), "").expect("written");
    let finished = worker.finish(LIMIT);
    assert_eq!(finished.status.code(), None, "it did not end by itself: {}", finished.errors);
    fs::remove_file(site.path("ready")).expect("a killed worker leaves it");
    forget_presence(site).await;
    row.worker.expect("somebody ran it").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_kills_every_worker_fails_at_its_bound() {
    let site = Site::new().await;
    let lead = Lead::new(&site);
    let run = lead.submit(&killer(&site, "")).await;
    let mut workers = Vec::new();
    for attempt in 1..=LOSSES_MAX + 1 {
        workers.push(dies_of(&site, &lead, &run, attempt).await);
    }
    let row = lead.until(&run, "the task is given up", |row| row.status == TaskStatus::Failed).await;
    assert_eq!((row.reason, row.attempt, row.losses), (Some(Reason::WorkerLost), 4, 4));
    assert_eq!(
        row.error.as_deref(),
        Some(&*format!("4 workers were lost while they had it, the last was {}", workers[3]))
    );
    let task = TaskRunId { run: run.clone(), key: TaskKey::of_task(0) };
    let made = lead.store.attempts(&task, 9).await.expect("read");
    assert!(
        made.iter().all(|made| made.reason == Some(Reason::WorkerLost) && made.ended_at.is_some()),
        "{made:?}"
    );
    let of: Vec<String> =
        made.into_iter().rev().filter_map(|made| made.worker.map(|worker| worker.to_string())).collect();
    assert_eq!(of, workers);
    let record = lead.store.run(&run).await.expect("read").expect("there");
    assert_eq!((record.run.status, record.run.reason), (RunStatus::Failed, Some(Reason::TaskFailed)));
    assert_eq!(site.read("starts"), "1\n2\n3\n4\n");
    lead.end().await;
    assert_eq!(
        site.queue.census(second(0)).await.expect("a census").pending,
        [],
        "nobody is to run it again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_made_at_most_once_is_not_run_again_when_its_worker_is_killed() {
    let site = Site::new().await;
    let lead = Lead::new(&site);
    let run = lead.submit(&killer(&site, ", onWorkerLost: Fail, retry: {limit: 3}")).await;
    let worker = dies_of(&site, &lead, &run, 1).await;
    // Somebody would be there to run it again.
    let other = site.worker("w").await;
    let row = lead.until(&run, "the task is given up", |row| row.status == TaskStatus::Failed).await;
    assert_eq!((row.reason, row.attempt, row.losses), (Some(Reason::WorkerLost), 1, 1));
    let why = format!("its worker {worker} was lost, and with onWorkerLost: Fail it is not run again");
    assert_eq!(row.error, Some(why));
    other.signal(Signal::TERM);
    assert_eq!(other.finish(LIMIT).status.code(), Some(0));
    assert_eq!(site.read("starts"), "1\n");
    lead.end().await;
    assert_eq!(site.queue.census(second(0)).await.expect("a census").pending, []);
}
