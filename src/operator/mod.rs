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
mod aside;
mod behind;
pub mod book;
pub mod client;
pub mod conditions;
pub mod desire;
pub mod desk;
pub mod events;
mod follow;
pub mod fresh;
mod kit;
mod news;
mod pools;
pub mod pulse;
mod runs;
pub mod status;
pub mod watch;
pub mod work;
pub mod workers;
mod workflows;
mod writer;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::{Compile, Handle, Outlook, SubmitError};
use crate::crd::schema::Kind;
use crate::model::ids::ShardId;
use crate::operator::api::ApiError;
use crate::operator::events::Herald;
use crate::operator::kit::Kit;
use crate::operator::pulse::Pulses;
use crate::store::{Store, StoreError};

pub use pools::{PoolState, Pools};
pub use workflows::{Unfit, beyond_drain, status as workflow_status};
pub use writer::merge_patch;

/// Workflows that are looked at at a time.
const WORKFLOWS_AT_ONCE: usize = 4;
/// Runs that are looked at at a time: enough that they share commits.
const RUNS_AT_ONCE: usize = 64;

/// What an operator is made of. Its conductor leads, and the store was claimed for this cluster.
pub struct Params {
    /// The cluster, by a client of [`client::connect`] or [`client::of`].
    pub client: kube::Client,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The shards that its conductor leads: objects of other namespaces are somebody else's.
    pub shards: Arc<BTreeSet<ShardId>>,
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
    /// Told of what the watches hear.
    pub pulses: Arc<Pulses>,
    /// Who reports Events: the name of this pod.
    pub instance: String,
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

/// The part that knows Kubernetes.
pub struct Operator {
    kit: Arc<Kit>,
    instance: String,
    events: tokio::sync::mpsc::Receiver<(k8s_openapi::api::core::v1::ObjectReference, events::Told)>,
    ready: channel::Sender<bool>,
}

impl Operator {
    /// From its parts; nothing is done before `run`.
    pub fn new(params: Params) -> Operator {
        let (herald, events) = Herald::new();
        let instance = params.instance.clone();
        let kit = Kit::new(params, herald);
        Operator { kit: Arc::new(kit), instance, events, ready: channel::Sender::new(false) }
    }

    /// Tells when all objects have been seen once.
    pub fn ready(&self) -> channel::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Operator { kit, instance, events, ready } = self;
        let (kit, stop) = (&kit, &stop);
        tokio::join!(
            watch::follow((&kit.cluster, &kit.pulses), Kind::Workflow, &kit.workflows, stop, |change| kit
                .workflow(change)),
            watch::follow((&kit.cluster, &kit.pulses), Kind::Run, &kit.runs, stop, |change| kit.run(change)),
            work::drive(&kit.workflow_work, WORKFLOWS_AT_ONCE, stop, |name| workflows::look(
                kit.clone(),
                name
            )),
            work::drive(&kit.run_work, RUNS_AT_ONCE, stop, |at| runs::look(kit.clone(), at)),
            news::marks(kit, stop),
            news::told(kit, stop),
            news::orphans(kit, stop),
            news::lost_workflows(kit, stop),
            news::pools_changed(kit, stop),
            writer::write(kit, stop),
            events::send(&kit.cluster, &instance, events, stop),
            news::synced(kit, &ready, stop),
            kit.pulses.ping(&kit.cluster, stop),
        );
    }
}
