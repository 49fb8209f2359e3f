//! A queue that answers every question and takes no job: it is left alone for longer and longer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Limits, Older, Params, Submission};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::ids::{RunId, ShardId};
use relay::model::job::Job;
use relay::model::run::RunRow;
use relay::queue::{
    self, Census, Epochs, Go, Placed, Position, Queue, QueueError, Removal, Told, Unfit, memory::MemoryQueue,
};
use relay::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::support::jobs::second;

struct Stubborn {
    queue: MemoryQueue,
    looks: AtomicUsize,
}

#[async_trait]
impl Queue for Stubborn {
    fn lead(&self, epochs: &Epochs) {
        self.queue.lead(epochs);
    }
    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        self.queue.overrule(pool, heard).await
    }
    async fn publish(&self, _: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        Err(QueueError::Unavailable("it takes none".to_owned()))
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
        self.queue.settle(up_to, ended).await
    }
    async fn census(&self, now: Timestamp) -> Result<Census, QueueError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.queue.census(now).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_no_job_is_asked_less_and_less_often() {
    let clock = Clock::manual(second(0));
    let now = clock.clone();
    let queue = Arc::new(Stubborn {
        queue: MemoryQueue::new(queue::memory::Limits::default()),
        looks: AtomicUsize::new(0),
    });
    let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|f| f.to_string()));
    let (conductor, handle) = Conductor::new(Params {
        store: Arc::new(MemoryStore::new(Arc::new(move || now.now()))),
        queue: queue.clone(),
        feed: Arc::new(MemoryFeed::default()),
        clock: clock.clone(),
        compile,
        holder: "the-conductor".to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: Limits::default(),
        outlook: None,
    });
    let stop = CancellationToken::new();
    let working = tokio::spawn(conductor.run(stop.clone()));
    let text = "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {name: etl, namespace: data}\nspec:\n  \
                pool: default\n  tasks:\n    - name: load\n      command: [\"true\"]\n";
    let manifests = crd::load("etl.yaml", text.as_bytes(), &crd::Overrides::default());
    let manifest = manifests.unwrap_or_else(|f| panic!("{f}")).workflows.remove(0);
    let workflow = manifest.workflow.clone();
    let id: RunId = "run-1".parse().expect("an id");
    let run = RunRow::new(id.clone(), workflow.id.clone(), "data".to_owned(), id.to_string(), clock.now());
    let submission = Submission { revision: crd::revision(&manifest), workflow, run };
    handle.submit(submission).await.expect("accepted");
    let before = queue.looks.load(Ordering::Relaxed);
    let minute = tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>());
    assert!(minute.await.is_err());
    let looks = queue.looks.load(Ordering::Relaxed) - before;
    assert!((6..40).contains(&looks), "{looks} looks in a minute");
    stop.cancel();
    working.await.expect("ran").expect("in order");
}
