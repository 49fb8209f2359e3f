//! A worker on a paused clock, with an executor that only pretends and a queue that fails on demand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::clock::Clock;
use relay::feed::{Feed, Stream, memory::MemoryFeed};
use relay::model::job::{Job, JobId, News, Outcome, Report};
use relay::queue::{
    Claim, Jobs, Orders, Placed, Pools, Position, Queue, QueueError, Told, memory::MemoryQueue,
};
use relay::worker::{Executor, Limits, Links, Params, Shutdown, Worker, log::LogSink};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::jobs::{all_led, job, second};

/// Takes as many seconds as the job's rank says; says when it starts and ends.
#[derive(Default)]
pub struct Scripted {
    seen: Mutex<Seen>,
    /// The time between the word to stop and the end, in seconds.
    pub stopping: AtomicU64,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub started: Vec<u32>,
    pub ended: Vec<u32>,
    pub cancelled: Vec<u32>,
    pub dropped: Vec<u32>,
    pub running: usize,
    pub most_at_once: usize,
}

struct Going<'a>(&'a Scripted, u32, bool);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen.lock().expect("no panic before");
        seen.running -= 1;
        if !self.2 {
            seen.dropped.push(self.1);
        }
    }
}

#[async_trait]
impl Executor for Scripted {
    async fn execute(&self, job: &Job, cancel: CancellationToken, log: LogSink) -> Outcome {
        let task = job.id.task_run.key.task;
        {
            let mut seen = self.seen.lock().expect("no panic before");
            seen.started.push(task);
            seen.running += 1;
            seen.most_at_once = seen.most_at_once.max(seen.running);
        }
        let mut going = Going(self, task, false);
        log.line(Stream::Stdout, &format!("task {task} runs")).await;
        let long = Duration::from_secs(job.rank.unsigned_abs());
        let outcome = match tokio::time::timeout(long, cancel.cancelled()).await {
            Ok(()) => {
                let long = Duration::from_secs(self.stopping.load(Ordering::Relaxed));
                let _ = tokio::time::timeout(long, std::future::pending::<()>()).await;
                Outcome::Cancelled
            }
            Err(_) => success(),
        };
        going.2 = true;
        let mut seen = self.seen.lock().expect("no panic before");
        if outcome == Outcome::Cancelled {
            seen.cancelled.push(task)
        } else {
            seen.ended.push(task)
        }
        outcome
    }
}

impl Scripted {
    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic before").clone()
    }
}

/// What happens to the next calls of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and said to have failed.
    Before,
    /// It is done, and said to have failed.
    After,
}

/// A queue's side for workers, with faults to come, by verb.
pub struct Faulty {
    inner: Arc<MemoryQueue>,
    faults: Mutex<BTreeMap<&'static str, Vec<Fault>>>,
    /// Until this second of the play nothing that was told is acknowledged as committed.
    pub unsettled_until: AtomicI64,
}

impl Faulty {
    /// The next calls of a verb go wrong so.
    pub fn expect(&self, verb: &'static str, faults: &[Fault]) {
        self.faults.lock().expect("no panic before").insert(verb, faults.iter().rev().copied().collect());
    }

    fn next(&self, verb: &'static str) -> Option<Fault> {
        self.faults.lock().expect("no panic before").get_mut(verb)?.pop()
    }

    async fn through<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let lost = || Err(QueueError::Unavailable(format!("a fault at {verb}")));
        match self.next(verb) {
            Some(Fault::Before) => lost(),
            Some(Fault::After) => {
                call.await?;
                lost()
            }
            None => call.await,
        }
    }
}

#[async_trait]
impl Jobs for Faulty {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        self.through("claim", self.inner.claim(claim)).await
    }
    async fn report(&self, report: Report) -> Result<(), QueueError> {
        self.through("report", self.inner.report(report)).await
    }
    async fn beat(&self, worker: &str, holding: &[JobId], now: Timestamp) -> Result<Orders, QueueError> {
        let orders = self.through("beat", self.inner.beat(worker, holding, now)).await?;
        let open = now < second(self.unsettled_until.load(Ordering::Relaxed));
        Ok(Orders { unsettled: orders.unsettled.max(usize::from(open)), ..orders })
    }
    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        self.through("called", self.inner.called(worker)).await
    }
    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.through("give_back", self.inner.give_back(worker, holding)).await
    }
    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        self.through("leave", self.inner.leave(worker)).await
    }
}

/// Everything around one worker.
pub struct Stage {
    pub queue: Arc<MemoryQueue>,
    pub jobs: Arc<Faulty>,
    pub feed: Arc<MemoryFeed>,
    pub executor: Arc<Scripted>,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

impl Stage {
    /// On a clock that starts at `second(0)`.
    pub fn new() -> Stage {
        let queue = Arc::new(MemoryQueue::default());
        queue.lead(&all_led(1));
        Stage {
            jobs: Arc::new(Faulty {
                inner: queue.clone(),
                faults: Mutex::default(),
                unsettled_until: AtomicI64::new(0),
            }),
            queue,
            feed: Arc::default(),
            executor: Arc::default(),
            clock: Clock::manual(second(0)),
            shutdown: Shutdown::default(),
        }
    }

    /// The future that is the worker.
    pub fn worker(&self, slots: usize) -> impl Future<Output = ()> + Send + use<> {
        self.worker_with(slots, Limits::default())
    }

    pub fn worker_with(&self, slots: usize, limits: Limits) -> impl Future<Output = ()> + Send + use<> {
        self.new_worker(slots, limits).run(self.shutdown.clone())
    }

    /// The worker, and whether others may count on it.
    pub fn worker_and_readiness(
        &self,
        slots: usize,
    ) -> (impl Future<Output = ()> + Send + use<>, watch::Receiver<bool>) {
        let worker = self.new_worker(slots, Limits::default());
        let ready = worker.ready();
        (worker.run(self.shutdown.clone()), ready)
    }

    fn new_worker(&self, slots: usize, limits: Limits) -> Worker {
        let params = Params { id: "w".to_owned(), pools: Pools::Every, slots, limits };
        let feed: Arc<dyn Feed> = self.feed.clone();
        let (jobs, executor) = (self.jobs.clone(), self.executor.clone());
        let links = Links { jobs, feed, executor, clock: self.clock.clone() };
        Worker::new(params, links)
    }

    pub async fn publish(&self, jobs: &[Job]) {
        self.queue.publish(jobs).await.expect("published");
    }

    /// Reads and settles reports, as a conductor does, until so many jobs have ended: each with the second it came in.
    pub async fn ends(&self, count: usize) -> Vec<(u32, Outcome, i64)> {
        let mut ends = Vec::new();
        let mut after = Position::START;
        while ends.len() < count {
            let reports = self.queue.reports(after, 100).await.expect("reports");
            for Told { at, pool, report } in reports {
                after = at;
                let News::Ended(outcome) = report.news else { continue };
                let task = report.job.task_run.key.task;
                self.queue.settle(at, &[Placed { pool, job: report.job }]).await.expect("settled");
                ends.push((task, outcome, self.second()));
            }
        }
        ends
    }

    /// Seconds since the start.
    pub fn second(&self) -> i64 {
        self.clock.now().as_second() - second(0).as_second()
    }

    /// Waits until the clock says so many seconds after the start.
    pub async fn until(&self, seconds: i64) {
        self.clock.sleep_until(second(seconds)).await;
    }

    pub async fn present(&self) -> Vec<String> {
        self.queue.census(self.clock.now()).await.expect("a census").present
    }
}

pub fn success() -> Outcome {
    Outcome::Success { outputs: BTreeMap::new() }
}

/// A job of so many seconds, which goes before longer ones.
pub fn lasting(task: u32, seconds: i64) -> Job {
    Job { rank: seconds, ..job(task) }
}

/// Runs the worker beside `play`, until the play is over.
pub async fn beside<T>(worker: impl Future<Output = ()>, play: impl Future<Output = T>) -> T {
    let both = async {
        tokio::select! {
            biased;
            done = play => done,
            () = worker => panic!("the worker ended too early"),
        }
    };
    tokio::time::timeout(Duration::from_secs(86_400), both).await.expect("the play ends")
}
