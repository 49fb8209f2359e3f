//! A queue that answers every question, and takes no job or forgets no report, is left alone for longer and longer; beside one
//! that takes its time with a job a commit goes on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Handle, Limits, Older, Params, Submission};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::ids::{RunId, ShardId};
use relay::model::job::{Job, News};
use relay::model::run::RunRow;
use relay::queue::{
    self, Census, Claim, Epochs, Go, Jobs, Placed, Pools, Position, Queue, QueueError, Removal, Told, Unfit,
    memory::MemoryQueue,
};
use relay::store::memory::MemoryStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::jobs::{all_led, report, second, success};

/// Long enough for anything that is not held up.
const SOON: Duration = Duration::from_secs(30);

struct Stubborn {
    queue: MemoryQueue,
    looks: AtomicUsize,
    /// Without one, or with one that is closed, it takes none; otherwise each offer waits until it is let through.
    gate: Option<Semaphore>,
    /// How often it would forget nothing; none: it forgets what it is told to.
    kept: Option<AtomicUsize>,
}

#[async_trait]
impl Queue for Stubborn {
    fn lead(&self, epochs: &Epochs) {
        self.queue.lead(epochs);
    }
    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        self.queue.overrule(pool, heard).await
    }
    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        let none = || QueueError::Unavailable("it takes none".to_owned());
        self.gate.as_ref().ok_or_else(none)?.acquire().await.map_err(|_| none())?.forget();
        self.queue.publish(jobs).await
    }
    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        self.queue.remove(job).await
    }
    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        self.queue.cancel(job).await
    }
    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        self.queue.go(begun).await
    }
    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        self.queue.reports(after, max).await
    }
    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        if let Some(kept) = &self.kept {
            assert!(kept.fetch_add(1, Ordering::Relaxed) < 1_000, "asked again and again, without a rest");
            return Err(QueueError::Unavailable("it forgets nothing".to_owned()));
        }
        self.queue.settle(up_to, ended).await
    }
    async fn census(&self, now: Timestamp) -> Result<Census, QueueError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.queue.census(now).await
    }
}

impl Stubborn {
    fn new(gate: Option<Semaphore>) -> Arc<Stubborn> {
        let queue = MemoryQueue::new(queue::memory::Limits::default());
        Arc::new(Stubborn { queue, looks: AtomicUsize::new(0), gate, kept: None })
    }

    /// A job for the worker w.
    async fn claim(&self) -> Job {
        let claim = Claim { worker: "w".to_owned(), pools: Pools::Every, slots: 1, holding: Vec::new() };
        self.queue.claim(&claim).await.expect("a claim").remove(0)
    }

    /// Jobs that wait for a worker.
    async fn pending(&self) -> usize {
        let beside = self.queue.beside();
        beside.lead(&all_led(1));
        beside.census(second(0)).await.expect("a census").pending.len()
    }
}

/// A conductor with such a queue.
fn conductor(queue: &Arc<Stubborn>) -> (Conductor, Handle) {
    let clock = Clock::manual(second(0));
    let now = clock.clone();
    let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
    Conductor::new(Params {
        store: Arc::new(MemoryStore::new(Arc::new(move || now.now()))),
        queue: queue.clone(),
        feed: Arc::new(MemoryFeed::default()),
        clock,
        compile,
        holder: "the-conductor".to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: Limits::default(),
        outlook: None,
    })
}

fn submission(id: &str) -> Submission {
    let text = "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {name: etl, namespace: data}\nspec:\n  \
                pool: default\n  tasks:\n    - name: load\n      command: [\"true\"]\n";
    let manifests = crd::load("etl.yaml", text.as_bytes(), &crd::Overrides::default());
    let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
    let workflow = manifest.workflow.clone();
    let id: RunId = id.parse().expect("an id");
    let run = RunRow::new(id.clone(), workflow.id.clone(), "data".to_owned(), id.to_string(), second(0));
    Submission { revision: crd::revision(&manifest), workflow, run }
}

async fn a_minute() {
    let minute = tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>());
    assert!(minute.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_no_job_is_asked_less_and_less_often() {
    let queue = Stubborn::new(None);
    let (conductor, handle) = conductor(&queue);
    let stop = CancellationToken::new();
    let working = tokio::spawn(conductor.run(stop.clone()));
    handle.submit(submission("run-1")).await.expect("accepted");
    let before = queue.looks.load(Ordering::Relaxed);
    a_minute().await;
    let looks = queue.looks.load(Ordering::Relaxed) - before;
    assert!((6..40).contains(&looks), "{looks} looks in a minute");
    stop.cancel();
    working.await.expect("ran").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_no_job_is_told_all_the_same_which_one_is_to_stop() {
    let queue = Stubborn::new(Some(Semaphore::new(1)));
    let (conductor, handle) = conductor(&queue);
    let stop = CancellationToken::new();
    let working = tokio::spawn(conductor.run(stop.clone()));
    handle.submit(submission("run-1")).await.expect("accepted");
    let job = queue.claim().await;
    queue.queue.report(report("w", &job.id, News::Started)).await.expect("told");
    queue.gate.as_ref().expect("a gate").close();
    handle.submit(submission("run-2")).await.expect("accepted");
    handle.cancel(job.id.task_run.run.clone(), false).await.expect("accepted");
    let called = tokio::time::timeout(SOON, queue.queue.called("w")).await;
    called.expect("before that").expect("an answer");
    let orders = queue.queue.beat("w", std::slice::from_ref(&job.id), second(0)).await.expect("orders");
    assert_eq!(orders.cancel, [job.id]);
    stop.cancel();
    working.await.expect("ran").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_forgets_no_report_is_told_less_and_less_often() {
    let queue = MemoryQueue::new(queue::memory::Limits::default());
    let gate = Some(Semaphore::new(Semaphore::MAX_PERMITS));
    let queue =
        Arc::new(Stubborn { queue, looks: AtomicUsize::new(0), gate, kept: Some(AtomicUsize::new(0)) });
    let (conductor, handle) = conductor(&queue);
    let stop = CancellationToken::new();
    let working = tokio::spawn(conductor.run(stop.clone()));
    handle.submit(submission("run-1")).await.expect("accepted");
    let job = queue.claim().await;
    queue.queue.report(report("w", &job.id, success())).await.expect("told");
    a_minute().await;
    stop.cancel();
    working.await.expect("ran").expect("in order");
    let kept = queue.kept.as_ref().expect("a count").load(Ordering::Relaxed);
    assert!((6..60).contains(&kept), "{kept} words in a minute");
}

#[tokio::test]
async fn a_commit_goes_on_beside_a_queue_that_takes_its_time_and_every_job_is_told_in_the_end() {
    let queue = Stubborn::new(Some(Semaphore::new(0)));
    let (conductor, handle) = conductor(&queue);
    let stop = CancellationToken::new();
    let working = tokio::spawn(conductor.run(stop.clone()));
    handle.submit(submission("run-1")).await.expect("accepted");
    // The first one's job is on its way, and stays there.
    let second = tokio::time::timeout(SOON, handle.submit(submission("run-2")));
    second.await.expect("answered meanwhile").expect("accepted");
    assert_eq!(queue.pending().await, 0);
    queue.gate.as_ref().expect("a gate").add_permits(2);
    // An orderly end says what is to be said.
    stop.cancel();
    working.await.expect("ran").expect("in order");
    assert_eq!(queue.pending().await, 2);
}
