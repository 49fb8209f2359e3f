//! What everybody in a simulation shares, and what is checked at the moment it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use relay::{
    clock::Clock,
    conductor::{Handle, Limits, Outlook},
    model::{
        change::{Batch, Fence},
        ids::{RunId, ShardId, TaskRunId},
        job::{Job, JobId},
        status::TaskStatus,
        workflow::Workflow,
    },
    queue::{Census, Epochs},
    store::{RunRecord, Store, memory::MemoryStore},
};
use tokio::task::JoinSet;

use super::{
    executor::Ledger,
    faults::{CrashAt, Outage, Rates},
    life::Life,
    pauses::Handed,
    queue::Server,
    rng::Dice,
    trace::Trace,
};

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
}

/// Who leads, as the store saw it.
#[derive(Default)]
struct Reign {
    newest: u64,
    /// By shard: the incarnation that won the epoch.
    epochs: BTreeMap<(ShardId, i64), u64>,
    handle: BTreeMap<u64, Handle>,
    lives: BTreeMap<u64, Arc<Life>>,
    outlooks: BTreeMap<u64, Arc<Outlook>>,
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
    pub store_outage: Outage,
    pub queue_outage: Outage,
    pub workflows: BTreeMap<String, Workflow>,
    faults: AtomicBool,
    calls: AtomicU64,
    reign: Mutex<Reign>,
    poisoned: Mutex<BTreeSet<RunId>>,
    newest: Mutex<BTreeMap<TaskRunId, u32>>,
    handed: Mutex<Handed>,
    /// By content of the queue and pool: the newest epoch that it has heard.
    heard: Mutex<BTreeMap<(u64, String), i64>>,
    tasks: Mutex<JoinSet<()>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shard_of(pool: &str) -> ShardId {
    ShardId::of_namespace(pool.split_once('/').map_or(pool, |(namespace, _)| namespace))
}

impl Shared {
    pub fn new(settings: Settings, clock: Clock, workflows: BTreeMap<String, Workflow>) -> Arc<Shared> {
        let of_store = clock.clone();
        Arc::new(Shared {
            dice: Dice::new(settings.seed),
            trace: Trace::new(clock.clone()),
            ledger: Ledger::default(),
            store: Arc::new(MemoryStore::new(Arc::new(move || of_store.now()))),
            server: Arc::default(),
            store_outage: Outage::default(),
            queue_outage: Outage::default(),
            workflows,
            faults: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            reign: Mutex::default(),
            poisoned: Mutex::default(),
            newest: Mutex::default(),
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

    /// A conductor is born.
    pub fn enthrone(&self, life: &Arc<Life>, handle: Handle, outlook: Arc<Outlook>) {
        let mut reign = lock(&self.reign);
        reign.outlooks.insert(life.number, outlook);
        reign.handle.insert(life.number, handle);
        reign.lives.insert(life.number, life.clone());
    }

    /// A conductor won a shard: nobody else may believe any longer that he leads it, asleep or awake.
    pub fn won(&self, life: &Life, fence: &Fence) {
        self.trace.say(format!("{} leads {} in epoch {}", life.name, fence.shard.number(), fence.epoch));
        let mut reign = lock(&self.reign);
        for (number, outlook) in reign.outlooks.iter().filter(|(number, _)| **number != life.number) {
            if let Some(old) = outlook.fence(fence.shard) {
                self.trace
                    .wrong(format!("c{number} trusts in epoch {}, and {} is won", old.epoch, fence.epoch));
            }
        }
        if let Some(other) = reign.epochs.insert((fence.shard, fence.epoch), life.number) {
            self.trace.wrong(format!("epoch {} was won by {other} and {}", fence.epoch, life.number));
        }
        reign.newest = life.number;
    }

    /// The newest epoch of each shard, as the store gave it.
    pub fn newest_epochs(&self) -> Epochs {
        lock(&self.reign).epochs.keys().copied().collect()
    }

    /// By which people speak to the leader.
    pub fn leader(&self) -> Option<(Handle, Arc<Life>)> {
        let reign = lock(&self.reign);
        Some((reign.handle.get(&reign.newest)?.clone(), reign.lives.get(&reign.newest)?.clone()))
    }

    /// Every conductor that ever was.
    pub fn conductors(&self) -> Vec<Arc<Life>> {
        lock(&self.reign).lives.values().cloned().collect()
    }

    /// A commit went through: only the leader of each epoch may have made it.
    pub fn wrote(&self, life: &Life, batch: &Batch) {
        let reign = lock(&self.reign);
        for fence in batch.fences.values() {
            if reign.epochs.get(&(fence.shard, fence.epoch)) != Some(&life.number) {
                self.trace.wrong(format!("{} wrote in epoch {} of another", life.name, fence.epoch));
            }
        }
        self.paused(batch);
    }

    /// What workers were given.
    pub fn handed(&self) -> MutexGuard<'_, Handed> {
        lock(&self.handed)
    }

    /// A conductor of these epochs has looked through the queue's content: the pools in it have heard of it.
    pub fn looked(&self, content: u64, epochs: &Epochs, census: &Census) {
        let leased = census.leases.iter().map(|lease| &lease.place);
        for placed in census.pending.iter().chain(leased) {
            self.hear(content, &placed.pool, epochs);
        }
    }

    /// The newest epoch that a pool has heard, and that of a conductor who speaks to it now.
    fn hear(&self, content: u64, pool: &str, epochs: &Epochs) -> (i64, i64) {
        let own = epochs.get(&shard_of(pool)).copied().unwrap_or(0);
        let mut heard = lock(&self.heard);
        let newest = heard.entry((content, pool.to_owned())).or_default();
        *newest = (*newest).max(own);
        (*newest, own)
    }

    /// A conductor of these epochs published jobs, and the queue took them: each must be committed as QUEUED with this
    /// attempt, in a run that is not paused. Only what a deposed conductor says before its successor has spoken there may
    /// be otherwise: it is healed.
    pub fn published(&self, name: &str, content: u64, epochs: &Epochs, jobs: &[Job]) {
        let newest = self.newest_epochs();
        let mut records: BTreeMap<&RunId, Option<RunRecord>> = BTreeMap::new();
        for job in jobs {
            let (id, run) = (&job.id, &job.id.task_run.run);
            let (heard, own) = self.hear(content, &job.pool, epochs);
            if heard == own && newest.get(&shard_of(&job.pool)) > Some(&own) {
                self.handed().echo(std::slice::from_ref(job));
                continue;
            }
            let record = records.entry(run).or_insert_with(|| self.record(run));
            let tasks = record.iter().flat_map(|record| &record.tasks);
            let row = tasks.into_iter().find(|task| task.key == id.task_run.key);
            let now = row.map(|row| (row.status, row.attempt));
            if now != Some((TaskStatus::Queued, id.attempt)) {
                self.trace.wrong(format!("{name} publishes {id}, and the store says {now:?}"));
            }
            if record.as_ref().is_some_and(|record| record.run.paused_at.is_some()) {
                self.trace.wrong(format!("{name} publishes {id}, and its run is paused"));
            }
            let mut newest = lock(&self.newest);
            let attempt = newest.entry(id.task_run.clone()).or_default();
            *attempt = (*attempt).max(id.attempt);
        }
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

    pub fn is_poisoned(&self, run: &RunId) -> bool {
        lock(&self.poisoned).contains(run)
    }

    /// Is it an error that the poison explains?
    pub fn explained(&self, error: &str) -> bool {
        lock(&self.poisoned).iter().any(|run| format!("{error} ").contains(&format!("run.id={run} ")))
    }
}
