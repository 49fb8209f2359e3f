//! WorkerPools: each is a Deployment `relay-<pool>`, which scales from zero, and the Secret that lets its workers into Redis.
//!
//! ```text
//!  watch WorkerPools, Deployments; the conductor's demands ──> work ──> look:
//!     desired (pure) ─ server-side apply ─> Secret, Deployment       scale (pure) ─> roster: retire, recall
//! ```
//!
//! Every look starts from what is there: the objects, the roster of workers, the demand. All that is kept beside them is
//! what was last applied, so that a pool at rest costs no call, and how many workers were wanted of late.

mod acts;
mod alarm;
pub mod deployments;
pub mod desired;
mod leaving;
mod look;
pub mod overlay;
pub mod password;
pub mod pods;
pub mod scale;
mod secrets;
mod size;
pub mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, watch as channel};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::{Demands, Outlook};
use crate::crd::schema::Kind;
use crate::model::ids::ShardId;
use crate::operator::api::{Cluster, ObjectName};
use crate::operator::events::{self, Herald, Told};
use crate::operator::pulse::Pulses;
use crate::operator::watch::{self, Mirror};
use crate::operator::work::{self, Work};
use crate::operator::workers::{
    alarm::Alarms,
    deployments::{Change, Deployments},
    desired::Settings,
    look::Memory,
    password::Access,
};
use crate::operator::{PoolState, Pools};
use crate::queue::Roster;

/// Pools that are looked at at a time.
const AT_ONCE: usize = 8;
/// Between two looks at what the conductor asks for: under load it changes with every commit.
const DEMAND_EVERY: Duration = Duration::from_millis(100);

/// What the keeper of pools is made of. It runs where the conductor leads.
pub struct Params {
    /// The cluster, by a client of `operator::api`.
    pub client: kube::Client,
    /// Who works for which pool.
    pub roster: Arc<dyn Roster>,
    /// Objects are written while this conductor leads.
    pub outlook: Arc<Outlook>,
    /// The shards that its conductor leads: pools of other namespaces are somebody else's.
    pub shards: Arc<BTreeSet<ShardId>>,
    /// What pools have to do.
    pub demands: channel::Receiver<Demands>,
    /// Told of the pools that there are.
    pub pools: Pools,
    /// The time.
    pub clock: Clock,
    /// What is the same for every pool.
    pub settings: Settings,
    /// What lets workers in.
    pub access: Access,
    /// Told of what the watches hear.
    pub pulses: Arc<Pulses>,
    /// Who reports Events: the name of this pod.
    pub instance: String,
}

/// What every look needs.
struct Kit {
    cluster: Cluster,
    pulses: Arc<Pulses>,
    roster: Arc<dyn Roster>,
    demands: channel::Receiver<Demands>,
    pools: Pools,
    clock: Clock,
    settings: Settings,
    access: Access,
    /// Whose namespaces are looked at.
    shards: Arc<BTreeSet<ShardId>>,
    mirror: Mirror,
    deployments: Deployments,
    work: Work<ObjectName>,
    outlook: Arc<Outlook>,
    alarms: Alarms,
    herald: Herald,
    memory: Mutex<BTreeMap<ObjectName, Memory>>,
}

/// Keeps the pools of a cluster.
pub struct Workers {
    kit: Arc<Kit>,
    instance: String,
    events: mpsc::Receiver<(k8s_openapi::api::core::v1::ObjectReference, Told)>,
}

impl Workers {
    /// From its parts; nothing is done before `run`.
    pub fn new(params: Params) -> Workers {
        let (herald, events) = Herald::new();
        let kit = Kit {
            demands: params.demands,
            cluster: Cluster::new(params.client).led_by(params.outlook.clone()),
            outlook: params.outlook,
            pulses: params.pulses,
            roster: params.roster,
            pools: params.pools,
            work: Work::new(params.clock.clone()),
            clock: params.clock,
            settings: params.settings,
            access: params.access,
            mirror: Mirror::new(params.shards.clone()),
            deployments: Deployments::new(params.shards.clone()),
            shards: params.shards,
            alarms: Alarms::default(),
            herald,
            memory: Mutex::default(),
        };
        Workers { kit: Arc::new(kit), instance: params.instance, events }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Workers { kit, instance, events } = self;
        let (kit, stop) = (&kit, &stop);
        tokio::join!(
            watch::follow((&kit.cluster, &kit.pulses), Kind::WorkerPool, &kit.mirror, stop, |change| kit
                .pool(change)),
            kit.deployments.follow((&kit.cluster, &kit.pulses), stop, |change| kit.deployment(change)),
            looks(kit, stop),
            kit.alarms.ring(&kit.clock, stop, |pool| kit.work.push(pool)),
            demands(kit, stop),
            leaving::find_former(kit, stop),
            events::send(&kit.cluster, &instance, events, stop),
        );
    }
}

impl Kit {
    fn pool(&self, change: watch::Change) {
        let name = match change {
            watch::Change::Seen(name, _) | watch::Change::Gone(name, _) => name,
            watch::Change::Synced => return self.pools.complete(),
        };
        match self.mirror.get(&name) {
            Some(object) => {
                self.pools.drains(&name, desired::drain(&object.json()));
                self.pools.seen(&name, PoolState::of(&object.json()));
            }
            None => self.pools.gone(&name),
        }
        self.work.push(name);
    }

    fn deployment(&self, change: Change) {
        match change {
            Change::Seen(pool) => self.work.push(pool),
            Change::Gone(pool) => {
                if let Some(memory) = self.memories().get_mut(&pool) {
                    (memory.applied, memory.own) = (None, None);
                }
                self.work.push(pool);
            }
        }
    }

    fn memories(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Memory>> {
        // Each step leaves it whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pools are looked at once it is known which Deployments there are.
async fn looks(kit: &Arc<Kit>, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = kit.deployments.synced() => {}
    }
    work::drive(&kit.work, AT_ONCE, stop, |pool| look::look(kit.clone(), pool)).await;
}

/// Pools whose demand changed are looked at.
async fn demands(kit: &Kit, stop: &CancellationToken) {
    let mut demands = kit.demands.clone();
    let mut before = Demands::new();
    loop {
        let now = demands.borrow_and_update().clone();
        let pools: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for pool in pools.into_iter().filter(|pool| before.get(*pool) != now.get(*pool)) {
            if let Some((namespace, name)) = pool.split_once('/') {
                kit.work.push(ObjectName::new(namespace, name));
            }
        }
        before = now;
        kit.clock.sleep(DEMAND_EVERY).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = demands.changed() => if changed.is_err() { return stop.cancelled().await },
        }
    }
}
