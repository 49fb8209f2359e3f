//! The shell around the engine: events in, commits, and only then messages out.
//!
//! ```text
//!  inbox (submit, cancel, pause, decide) ─┐
//!  queue (reports)                        ├─> inputs ─> engine ─> one commit ─> publish, cancel, settle, feed
//!  clock (timers, sweep, renewal) ────────┘      ^                  │
//!                                                └── taken again, <─┘ when it could not be committed
//! ```
//!
//! One task owns all live runs. Whatever came in while the last commit was at the disk goes into the next
//! (batches of one when idle, of `Limits::batch` when busy; no timer). Memory is a cache: after a commit that
//! failed, the runs concerned are loaded again and the same inputs taken again.

mod behind;
mod commit;
mod cycle;
mod dispatch;
mod effects;
mod inbox;
mod live;
mod logs;
mod outlook;
mod share;
mod submit;
mod sweep;
mod take;
mod tenure;
mod upkeep;
mod voice;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::feed::Feed;
use crate::model::{
    change::Fence,
    ids::{RunId, ShardId, WorkflowId},
    workflow::Workflow,
};
use crate::queue::{Epochs, PRESENCE_TTL, Queue, QueueError};
use crate::store::{Revision, Store, StoreError};

pub use crate::engine::outline;
pub use behind::{Older, POSITION_MAX, Positions, TOLD_WITHIN};
pub use inbox::{DecideError, Handle, LiveRun, Submission, SubmitError, Verdict};
pub use logs::{LogPump, Pumped};
pub use outlook::{Demand, Demands, Mark, Outlook};
pub use share::{every_shard, share};
pub use tenure::{RENEW_EVERY, TRUST};
pub use upkeep::Housekeeping;

/// Bounds of a conductor.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Inputs that go into one commit.
    pub batch: usize,
    /// Messages that wait in the inbox; a sender waits when it is full.
    pub inbox: usize,
    /// Jobs that are QUEUED at a time in each pool, unless its workers have many slots (`Outlook::keep_slots`); further READY
    /// tasks wait here by rank.
    pub window: usize,
    /// Live runs.
    pub live_runs: usize,
    /// How often a sweep looks whether the queue holds what it should.
    pub sweep_every: Duration,
    /// For how long a worker must be silent, while it could have been heard, to count as gone.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (sweep_every, silence) = (SWEEP_EVERY, PRESENCE_TTL);
        Limits { batch: 1_000, inbox: 1_000, window: 1_000, live_runs: 100_000, sweep_every, silence }
    }
}

/// How often a sweep looks, unless its limits say otherwise.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Turns a stored revision into what the engine runs.
pub type Compile = Arc<dyn Fn(&Revision) -> Result<Workflow, String> + Send + Sync>;

/// Which live runs a conductor takes over when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// Every live run of its shards. Jobs are where the queue says.
    All,
    /// Only these, and their jobs are gone: the queue began anew with this process.
    Resume(Vec<RunId>),
}

/// What a conductor is made of.
pub struct Params {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The transport.
    pub queue: Arc<dyn Queue>,
    /// Live views.
    pub feed: Arc<dyn Feed>,
    /// The time.
    pub clock: Clock,
    /// Definitions.
    pub compile: Compile,
    /// Who leads, unique to this process.
    pub holder: String,
    /// The shards to lead.
    pub shards: Vec<ShardId>,
    /// What to take over.
    pub adopt: Adopt,
    /// What to make of what others were told.
    pub older: Older,
    /// Bounds.
    pub limits: Limits,
    /// Who looks on from outside, if anybody does.
    pub outlook: Option<Arc<Outlook>>,
}

/// Why a conductor ended other than in order.
#[derive(Debug, thiserror::Error)]
pub enum ConductorError {
    /// Somebody else leads.
    #[error("shard {} is led by {holder}, which was alive {renewed_ms_ago} ms ago", shard.number())]
    Held {
        /// Which shard.
        shard: ShardId,
        /// Who.
        holder: String,
        /// How long ago it said so.
        renewed_ms_ago: u64,
    },
    /// Leadership was lost: nothing more may be written.
    #[error("shard {} has a new leader", .0.number())]
    Deposed(ShardId),
    /// It was told to stop while it waited for the store.
    #[error("stopped while the store could not be reached")]
    Stopped,
    /// A run to be resumed is not there, or cannot be read.
    #[error("run {run}: {why}")]
    Run {
        /// Which.
        run: RunId,
        /// Why.
        why: String,
    },
    /// The store failed while the conductor started.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed while the conductor started.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Counts of what is worth watching; a later reader exports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits.
    pub commits: u64,
    /// Reports of attempts that were over: dropped.
    pub stale: u64,
    /// Reports on tasks of another pool than the worker's: dropped.
    pub foreign: u64,
    /// Commits whose outcome had to be asked for.
    pub unknown: u64,
    /// Runs set aside.
    pub aside: u64,
}

/// Shards that a conductor keeps at its end; said before it is told to stop.
pub type Kept = Arc<OnceLock<BTreeSet<ShardId>>>;

/// The owner of live runs.
pub struct Conductor {
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    feed: Arc<dyn Feed>,
    clock: Clock,
    compile: Compile,
    holder: String,
    shards: Vec<ShardId>,
    adopt: Adopt,
    older: Older,
    limits: Limits,
    outlook: Option<Arc<Outlook>>,
    inbox: mpsc::Receiver<inbox::Message>,
    fences: BTreeMap<ShardId, Fence>,
    /// Until when that is certain.
    tenure: Arc<tenure::Tenure>,
    workflows: BTreeMap<WorkflowId, Arc<Workflow>>,
    runs: BTreeMap<RunId, crate::engine::Run>,
    /// Runs that could not be written or read, and why: they wait for a person, and stop nobody else.
    aside: BTreeMap<RunId, String>,
    /// Shards of which the store is behind what was told, and what that was.
    stopped: Positions,
    ready: dispatch::Ready,
    /// When each run wants its next tick.
    due: live::Due,
    /// Inputs that the conductor gives itself: further chunks, answers of the queue.
    todo: Vec<cycle::Input>,
    outbox: effects::Outbox,
    voice: voice::Voice,
    sweep: sweep::Sweep,
    counters: Counters,
    /// Ends waits for the store.
    stop: CancellationToken,
}

impl Conductor {
    /// A conductor and the handle by which others speak to it.
    pub fn new(params: Params) -> (Conductor, Handle) {
        let (sender, inbox) = mpsc::channel(params.limits.inbox);
        let (now, running) = (params.clock.now(), params.clock.running());
        let tenure = Arc::new(tenure::Tenure::new(params.store.clone(), params.clock.clone()));
        let conductor = Conductor {
            store: params.store,
            queue: params.queue,
            feed: params.feed,
            clock: params.clock,
            compile: params.compile,
            holder: params.holder,
            shards: params.shards,
            adopt: params.adopt,
            older: params.older,
            limits: params.limits,
            outlook: params.outlook,
            inbox,
            fences: BTreeMap::new(),
            tenure,
            workflows: BTreeMap::new(),
            runs: BTreeMap::new(),
            aside: BTreeMap::new(),
            stopped: Positions::new(),
            ready: dispatch::Ready::default(),
            due: live::Due::default(),
            todo: Vec::new(),
            outbox: effects::Outbox::default(),
            voice: voice::Voice::default(),
            sweep: sweep::Sweep::new(now, running),
            counters: Counters::default(),
            stop: CancellationToken::new(),
        };
        (conductor, Handle::new(sender))
    }

    /// Takes its shards, loads their live runs, and works until `stop`; then gives the shards up.
    pub async fn run(self, stop: CancellationToken) -> Result<Counters, ConductorError> {
        self.run_and_keep(stop, Kept::default()).await
    }

    /// The same, but of the shards it does not give up those that are to be kept by then: nobody else can take them for a
    /// moment, in which the next conductor of the same holder takes them in new epochs.
    pub async fn run_and_keep(
        mut self,
        stop: CancellationToken,
        kept: Kept,
    ) -> Result<Counters, ConductorError> {
        self.stop = stop.clone();
        self.take_shards().await?;
        let tenure = self.tenure.clone();
        let worked = tokio::select! {
            biased;
            lost = tenure.keep() => Err(lost),
            worked = self.conduct(&stop) => worked,
        };
        self.tenure.end();
        self.tell_fences();
        self.queue.lead(&Epochs::new());
        if worked.is_ok() {
            self.give_up_shards(kept.get()).await;
        }
        worked.map(|()| self.counters)
    }

    async fn conduct(&mut self, stop: &CancellationToken) -> Result<(), ConductorError> {
        self.load_live_runs().await?;
        self.hear_what_was_told(stop).await?;
        if stop.is_cancelled() {
            // Nothing is said of what was not compared.
            return Ok(());
        }
        self.work(stop).await
    }
}
