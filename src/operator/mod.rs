//! The cluster's side: what people write into objects becomes runs, and what becomes of runs is said on the objects.
//!
//! ```text
//!  watch ──> mirrors ──> work ──> look: object + what is known -> conductor, store
//!  outlook (runs that changed) ──> desk ──> writer: view -> status -> API server, Events
//! ```
//!
//! Every look starts from the object as it is and from what is stored: events only say where to look. After a restart
//! that lost them all, the end is the same.

pub mod accept;
pub mod api;
pub mod approvals;
mod book;
pub mod conditions;
pub mod desire;
pub mod desk;
pub mod events;
mod follow;
mod pools;
mod runs;
pub mod status;
pub mod watch;
pub mod work;
pub mod workers;
mod workflows;
mod writer;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::{Compile, Handle, Mark, Outlook, SubmitError};
use crate::crd::schema::Kind;
use crate::model::{ids::RunId, ids::WorkflowId, workflow::Workflow};
use crate::operator::api::{ApiError, Cluster, ObjectName};
use crate::operator::book::{Book, Definitions, Known, RunRef};
use crate::operator::desk::{Desk, Lane};
use crate::operator::events::Herald;
use crate::operator::status::Story;
use crate::operator::watch::{Change, Mirror};
use crate::operator::work::Work;
use crate::store::{Store, StoreError};

pub use pools::Pools;
pub use workflows::status as workflow_status;
pub use writer::merge_patch;

/// Workflows that are looked at at a time.
const WORKFLOWS_AT_ONCE: usize = 4;
/// Runs that are looked at at a time: enough that they share commits.
const RUNS_AT_ONCE: usize = 64;
/// Compiled revisions at hand.
const COMPILED_MAX: usize = 200;
/// How often the cluster is asked for its id until it answers.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What an operator is made of. Its conductor leads.
pub struct Params {
    /// The cluster, by a client of [`api::connect`] or [`api::client`].
    pub client: kube::Client,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Speaks to the conductor.
    pub handle: Handle,
    /// What the conductor tells.
    pub outlook: Arc<Outlook>,
    /// The time.
    pub clock: Clock,
    /// Definitions.
    pub compile: Compile,
    /// Which pools there are.
    pub pools: Pools,
    /// Who reports Events: the name of this pod.
    pub instance: String,
    /// Take the store over from another cluster?
    pub adopt_cluster: bool,
}

/// Why an operator ended other than in order.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The store belongs to another cluster, or cannot be used.
    #[error("the store cannot be used for this cluster: {0}")]
    Store(StoreError),
    /// The cluster does not tell its id, and will not.
    #[error("the cluster's id cannot be read: {0}")]
    Cluster(ApiError),
}

/// Why an object could not be brought up to date. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The conductor did not take the run.
    #[error(transparent)]
    NotAccepted(SubmitError),
    /// The conductor has stopped, or leads no longer.
    #[error("this process does not lead at the moment")]
    NotLeading,
    /// What was seen does not fit together yet.
    #[error("what the API server tells is not the latest yet")]
    Unsettled,
    /// It took too long.
    #[error("it took too long")]
    Late,
    /// A defect of Relay.
    #[error("it broke: {0}")]
    Broken(String),
}

impl Trouble {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Trouble::Api(error) => error.label(),
            Trouble::Store(error) => error.label(),
            Trouble::NotAccepted(_) => "not_accepted",
            Trouble::NotLeading => "not_leading",
            Trouble::Unsettled => "unsettled",
            Trouble::Late => "late",
            Trouble::Broken(_) => "broken",
        }
    }

    /// Would trying again soon be of no use?
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Trouble::Api(ApiError::Refused(_))
                | Trouble::Store(StoreError::Refused(_) | StoreError::Corrupt { .. })
                | Trouble::Broken(_)
        )
    }
}

/// What every look needs.
pub(crate) struct Kit {
    cluster: Cluster,
    store: Arc<dyn Store>,
    handle: Handle,
    outlook: Arc<Outlook>,
    clock: Clock,
    compile: Compile,
    pools: Pools,
    runs: Mirror,
    workflows: Mirror,
    run_work: Work<RunRef>,
    workflow_work: Work<ObjectName>,
    definitions: Definitions,
    book: Book,
    desk: Mutex<Desk>,
    desk_news: Notify,
    herald: Herald,
    compiled: Mutex<BTreeMap<WorkflowId, Arc<Workflow>>>,
}

/// The part that knows Kubernetes.
pub struct Operator {
    kit: Arc<Kit>,
    instance: String,
    adopt_cluster: bool,
    events: tokio::sync::mpsc::Receiver<(k8s_openapi::api::core::v1::ObjectReference, events::Told)>,
    ready: channel::Sender<bool>,
}

impl Operator {
    /// From its parts; nothing is done before `run`.
    pub fn new(params: Params) -> Operator {
        let (herald, events) = Herald::new();
        let kit = Kit {
            cluster: Cluster::new(params.client),
            store: params.store,
            handle: params.handle,
            outlook: params.outlook,
            run_work: Work::new(params.clock.clone()),
            workflow_work: Work::new(params.clock.clone()),
            clock: params.clock,
            compile: params.compile,
            pools: params.pools,
            runs: Mirror::default(),
            workflows: Mirror::default(),
            definitions: Definitions::default(),
            book: Book::default(),
            desk: Mutex::default(),
            desk_news: Notify::new(),
            herald,
            compiled: Mutex::default(),
        };
        let (instance, adopt_cluster) = (params.instance, params.adopt_cluster);
        Operator { kit: Arc::new(kit), instance, adopt_cluster, events, ready: channel::Sender::new(false) }
    }

    /// Tells when all objects have been seen once.
    pub fn ready(&self) -> channel::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), OperatorError> {
        let Operator { kit, instance, adopt_cluster, events, ready } = self;
        if !claim(&kit, adopt_cluster, &stop).await? {
            return Ok(());
        }
        let (kit, stop) = (&kit, &stop);
        tokio::join!(
            watch::follow(&kit.cluster, Kind::Workflow, &kit.workflows, stop, |change| kit.workflow(change)),
            watch::follow(&kit.cluster, Kind::Run, &kit.runs, stop, |change| kit.run(change)),
            work::drive(&kit.workflow_work, WORKFLOWS_AT_ONCE, stop, |name| workflows::look(
                kit.clone(),
                name
            )),
            work::drive(&kit.run_work, RUNS_AT_ONCE, stop, |at| runs::look(kit.clone(), at)),
            marks(kit, stop),
            orphans(kit, stop),
            pools_changed(kit, stop),
            writer::write(kit, stop),
            events::send(&kit.cluster, &instance, events, stop),
            synced(kit, &ready, stop),
        );
        Ok(())
    }
}

/// Says in the store whose it is. False: told to stop before the cluster told its id.
async fn claim(kit: &Kit, adopt: bool, stop: &CancellationToken) -> Result<bool, OperatorError> {
    loop {
        let claimed = match kit.cluster.id().await {
            Ok(id) => kit.store.claim_cluster(&id, adopt).await.map_err(OperatorError::Store),
            Err(error) => Err(OperatorError::Cluster(error)),
        };
        match claimed {
            Ok(()) => return Ok(true),
            Err(
                error @ (OperatorError::Store(StoreError::Unavailable(_) | StoreError::Unknown(_))
                | OperatorError::Cluster(ApiError::Unavailable(_))),
            ) => tracing::warn!(%error, "The cluster's id cannot be stored yet"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(false),
            () = kit.clock.sleep(ASK_EVERY) => {}
        }
    }
}

impl Kit {
    fn workflow(&self, change: Change) {
        match change {
            Change::Seen(name, _) | Change::Gone(name, _) => self.workflow_work.push(name),
            Change::Synced => {
                // Runs may have waited for a Workflow that is not there.
                for id in self.book.open_pages() {
                    if let Some(page) = self.book.page(&id) {
                        self.run_work.push(page.at);
                    }
                }
            }
        }
    }

    fn run(&self, change: Change) {
        if let Change::Seen(name, uid) | Change::Gone(name, uid) = change {
            self.run_work.push(RunRef { name, uid });
        }
    }

    /// A stored revision, ready to be looked at; none when it is not there or cannot be read any more.
    async fn compiled(&self, id: &WorkflowId) -> Result<Option<Arc<Workflow>>, StoreError> {
        let kept = || self.compiled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(workflow) = kept().get(id) {
            return Ok(Some(workflow.clone()));
        }
        let Some(revision) = self.store.revision(id).await? else { return Ok(None) };
        let Ok(workflow) = (self.compile)(&revision) else { return Ok(None) };
        let workflow = Arc::new(workflow);
        let mut kept = kept();
        if kept.len() >= COMPILED_MAX {
            kept.pop_first();
        }
        kept.insert(id.clone(), workflow.clone());
        Ok(Some(workflow))
    }

    /// The pools that a run's tasks wait for and that do not exist.
    fn missing_pools(&self, namespace: &str, story: &Story) -> Vec<String> {
        match story {
            Story::Waiting(_) => Vec::new(),
            Story::Accepted(view) => {
                view.waits_for.iter().filter(|pool| self.pools.lacks(namespace, pool)).cloned().collect()
            }
        }
    }
}

/// What the conductor tells of runs goes onto the desk.
async fn marks(kit: &Kit, stop: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = kit.outlook.changed() => {}
        }
        for (id, mark) in kit.outlook.take() {
            let (known, ended) = match mark {
                Mark::Changed => (Known::Live, false),
                Mark::Last(view) => (Known::Last(view), true),
            };
            // Without a page, its object was not looked at yet, or is gone.
            let first = kit.book.change(&id, |page| {
                page.known = Some(known);
                page.patched.is_none()
            });
            match (first, ended) {
                (None, _) => {}
                (Some(_), true) => kit.mark(&id, Lane::Final),
                (Some(true), false) => kit.mark(&id, Lane::First),
                (Some(false), false) => kit.mark(&id, Lane::Further),
            }
        }
    }
}

/// Live runs whose objects were not told of, once all were: their objects may have been deleted while nobody watched.
async fn orphans(kit: &Kit, stop: &CancellationToken) {
    let mut synced = kit.runs.synced();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Ok(()) = synced.changed() => {}
        }
        for live in kit.handle.live().await.unwrap_or_default() {
            let name = ObjectName::new(&live.namespace, &live.name);
            let uid = live.id.to_string();
            if live.id.is_of_an_object() && !kit.runs.holds(&name, &uid) {
                kit.run_work.push(RunRef { name, uid });
            }
        }
    }
}

/// Which pools are missing is said again when pools come and go.
async fn pools_changed(kit: &Kit, stop: &CancellationToken) {
    let mut pools = kit.pools.changes();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = pools.changed() => match changed {
                Ok(()) => kit.book.open_pages().iter().for_each(|id: &RunId| kit.mark(id, Lane::Further)),
                Err(_) => return,
            },
        }
    }
}

async fn synced(kit: &Kit, ready: &channel::Sender<bool>, stop: &CancellationToken) {
    for mirror in [&kit.workflows, &kit.runs] {
        let mut synced = mirror.synced();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = synced.wait_for(|synced| *synced) => {}
        }
    }
    ready.send_replace(true);
}
