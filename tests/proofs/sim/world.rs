//! What everybody in a simulation shares, and what is checked at the moment it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use relay::{
    clock::Clock,
    conductor::Limits,
    model::{
        change::Batch,
        ids::{RunId, ShardId, TaskRunId},
        job::{JobId, Report},
        task::Task,
        workflow::Workflow,
    },
    store::{RunRecord, Store, memory::MemoryStore},
};
use tokio::task::JoinSet;

use super::{
    executor::Ledger,
    faults::{CrashAt, Outage, Rates},
    life::Life,
    pauses::Handed,
    queue::Server,
    redis::{Loss, Redis},
    reign::Reign,
    rows::{Counts, Seen, What},
    trace::Trace,
};
use crate::support::dice::Dice;

/// Lets so much time of the manual clock pass.
pub async fn pass(wait: Duration) {
    drop(tokio::time::timeout(wait, std::future::pending::<()>()).await);
}

/// A defect put in on purpose: the oracle must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A report counts for whatever attempt is the newest.
    NoAttemptFence,
    /// A deposed conductor may still speak to the queue.
    NoQueueFence,
    /// The queue says that it took a job back, and did not.
    RemovesNothing,
    /// Workers do not wait for the word to begin.
    BeginsAtOnce,
    /// The queue does not tell that it lost its books.
    OneLife,
    /// What is missing is offered again while workers still tell what they hold.
    NoAnnouncing,
    /// Workers do not tell a new life of the queue what they hold.
    TellsNothing,
    /// Workers forget what they told as soon as it was taken.
    KeepsNothing,
    /// What is said to the queue counts in whatever life it arrives.
    AnyLife,
    /// Leadership is counted by a clock that is put forward and back.
    StoreClock,
    /// A commit counts whoever leads by then.
    NoStoreFence,
    /// Nobody commits while one row cannot be written.
    PoisonSpreads,
}

/// What a simulation is made of; everything else follows from it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub rates: Rates,
    /// Does somebody kill, pause, empty?
    pub chaos: bool,
    /// Each call of a conductor takes up to so many milliseconds.
    pub latency: u64,
    pub conductors: u64,
    pub workers: u64,
    pub runs: u64,
    /// Faults stop after so long.
    pub faults_for: Duration,
    /// Of conductors; none: each has its own, by chance.
    pub limits: Option<Limits>,
    pub crash_at: Option<CrashAt>,
    pub mutation: Option<Mutation>,
    /// Is the queue a Redis? Otherwise it is the one in memory.
    pub redis: bool,
    /// No worker dies, stops, or fails to reach the queue by itself: then none may be taken for lost.
    pub gentle: bool,
    /// Does each conductor lead some of the shards?
    pub split: bool,
}

/// Shared by everybody.
pub struct Shared {
    pub settings: Settings,
    pub clock: Clock,
    pub dice: Dice,
    pub trace: Trace,
    pub ledger: Ledger,
    pub store: Arc<MemoryStore>,
    pub server: Arc<Server>,
    pub redis: Arc<Redis>,
    /// The pools of all tasks.
    pub pools: Vec<String>,
    /// By how many milliseconds the database's clock is put forward; only a mutation does.
    pub store_skew: Arc<AtomicI64>,
    pub store_outage: Outage,
    pub queue_outage: Outage,
    pub workflows: BTreeMap<String, Workflow>,
    /// Of every run that somebody may submit.
    pub shards: BTreeMap<RunId, ShardId>,
    faults: AtomicBool,
    calls: AtomicU64,
    pub(super) reign: Mutex<Reign>,
    poisoned: Mutex<BTreeSet<RunId>>,
    pub(super) newest: Mutex<BTreeMap<TaskRunId, u32>>,
    rows: Mutex<BTreeMap<RunId, Seen>>,
    counts: Mutex<Counts>,
    handed: Mutex<Handed>,
    /// By content of the queue and pool: the newest epoch that it has heard.
    pub(super) heard: Mutex<BTreeMap<(u64, String), i64>>,
    tasks: Mutex<JoinSet<()>>,
}

pub fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(
        settings: Settings,
        clock: Clock,
        workflows: BTreeMap<String, Workflow>,
        shards: BTreeMap<RunId, ShardId>,
    ) -> Arc<Shared> {
        let store_skew: Arc<AtomicI64> = Arc::default();
        let of_store = Clock::manual_beside(clock.now(), store_skew.clone());
        let pool = |(flow, task): (&Workflow, &Task)| format!("{}/{}", flow.namespace, task.pool);
        let tasks = workflows.values().flat_map(|flow| flow.tasks.iter().map(move |task| (flow, task)));
        let pools: BTreeSet<String> = tasks.map(pool).collect();
        Arc::new(Shared {
            dice: Dice::new(settings.seed),
            trace: Trace::new(clock.clone()),
            ledger: Ledger::default(),
            store: Arc::new(MemoryStore::new(Arc::new(move || of_store.now()))),
            server: Arc::default(),
            redis: Arc::default(),
            pools: pools.into_iter().collect(),
            store_skew,
            store_outage: Outage::default(),
            queue_outage: Outage::default(),
            workflows,
            shards,
            faults: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            reign: Mutex::default(),
            poisoned: Mutex::default(),
            newest: Mutex::default(),
            rows: Mutex::default(),
            counts: Mutex::default(),
            handed: Mutex::default(),
            heard: Mutex::default(),
            tasks: Mutex::default(),
            settings,
            clock,
        })
    }

    pub fn faults_on(&self) -> bool {
        self.faults.load(Ordering::Relaxed)
    }

    pub fn end_faults(&self) {
        self.trace.say("no more faults".to_owned());
        self.faults.store(false, Ordering::Relaxed);
        self.store_outage.ends();
        self.queue_outage.ends();
    }

    /// The time that a call is on its way.
    pub async fn travel(&self) {
        if self.settings.latency > 0 {
            pass(Duration::from_millis(self.dice.below(self.settings.latency + 1))).await;
        }
    }

    /// Counts a conductor's calls, from 1.
    pub fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Does it beside everything else.
    pub fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        lock(&self.tasks).spawn(work);
    }

    /// Waits for all that was done beside; a panic there is a finding.
    pub async fn join(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *lock(&self.tasks));
            if tasks.is_empty() {
                return;
            }
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    self.trace.wrong(format!("a task panicked: {error}"));
                }
            }
        }
    }

    /// Notes that something went wrong.
    pub fn count(&self, what: impl Into<What>) {
        let What(what, place) = what.into();
        *lock(&self.counts).entry((what, place)).or_default() += 1;
    }

    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// What was committed last of each run.
    pub fn rows(&self) -> MutexGuard<'_, BTreeMap<RunId, Seen>> {
        lock(&self.rows)
    }

    /// Without the fence, a report of an old attempt passes for one of the newest.
    pub fn tampered(&self, mut report: Report) -> Report {
        if self.settings.mutation == Some(Mutation::NoAttemptFence) {
            report.job.attempt = self.newest_attempt(&report.job).max(report.job.attempt);
        }
        report
    }

    /// The queue loses its content.
    pub fn empty(&self, loss: Loss) {
        self.trace.say(format!("the queue is emptied: {loss:?}"));
        if self.settings.redis {
            self.redis.loses(loss);
        } else {
            self.server.empty();
        }
    }

    /// A commit went through: only the leader of each epoch may have made it.
    pub fn wrote(&self, life: &Life, batch: &Batch) {
        self.follow(life.commits(), batch);
        for fence in batch.fences.values() {
            if !self.is_of(life, fence) {
                self.trace.wrong(format!("{} wrote in epoch {} of another", life.name, fence.epoch));
            }
        }
        self.paused(batch);
    }

    /// What workers were given.
    pub fn handed(&self) -> MutexGuard<'_, Handed> {
        lock(&self.handed)
    }

    /// The newest attempt that was published.
    pub fn newest_attempt(&self, job: &JobId) -> u32 {
        lock(&self.newest).get(&job.task_run).copied().unwrap_or(0)
    }

    /// What the store holds of a run, without any fault.
    pub fn record(&self, run: &RunId) -> Option<RunRecord> {
        self.store.run(run).now_or_never().and_then(Result::ok).flatten()
    }

    /// The run can be written again.
    pub fn heal(&self, run: &RunId) {
        lock(&self.poisoned).remove(run);
    }

    pub fn poison(&self, run: &RunId) {
        self.trace.say(format!("{run} is poisoned"));
        lock(&self.poisoned).insert(run.clone());
    }

    pub fn any_poisoned(&self) -> bool {
        !lock(&self.poisoned).is_empty()
    }

    pub fn is_poisoned(&self, run: &RunId) -> bool {
        lock(&self.poisoned).contains(run)
    }

    /// Is it an error that the poison explains?
    pub fn explained(&self, error: &str) -> bool {
        lock(&self.poisoned).iter().any(|run| format!("{error} ").contains(&format!("run.id={run} ")))
    }
}
