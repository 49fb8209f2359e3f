//! Which pools there are and whether they work: told by who keeps them, asked by who says what a Run waits for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::sync::watch;

use crate::crd::status::{ConditionStatus, WorkerPoolStatus, status_of};
use crate::operator::api::ObjectName;

/// Whether a pool can take tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It can, now or in a moment.
    Works,
    /// There is none of this name.
    Missing,
    /// No worker of it can start for want of room, and why.
    NoCapacity(String),
    /// No worker of it works until somebody mends it, and why.
    Stalled(String),
}

impl PoolState {
    /// Of a WorkerPool, by what its object says.
    pub fn of(object: &Json) -> PoolState {
        if object["spec"]["replicas"] == 0 {
            let why = "its spec.replicas is 0: set it higher, or remove it so that the pool scales by itself";
            return PoolState::NoCapacity(why.to_owned());
        }
        let status: WorkerPoolStatus = status_of(object);
        let ready = status.conditions.iter().find(|known| known.kind == "Ready");
        let Some(ready) = ready.filter(|ready| ready.status == ConditionStatus::False) else {
            return PoolState::Works;
        };
        match ready.reason.as_str() {
            // Tasks go on, if slowly; what the pool lacks stands on the pool.
            _ if status.ready_replicas.unwrap_or(0) > 0 => PoolState::Works,
            "WorkersStarting" => PoolState::Works,
            "Unschedulable" => PoolState::NoCapacity(ready.message.clone()),
            _ => PoolState::Stalled(ready.message.clone()),
        }
    }
}

/// The WorkerPools of the cluster, by name. Until all were told once, none counts as missing.
#[derive(Clone, Debug)]
pub struct Pools {
    known: Arc<Mutex<Known>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Known {
    states: BTreeMap<ObjectName, PoolState>,
    /// How long workers have to end what they run, where their pods must go.
    drains: BTreeMap<ObjectName, Duration>,
    complete: bool,
}

impl Default for Pools {
    fn default() -> Pools {
        Pools { known: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }
}

impl Pools {
    /// This one is there, and stands so.
    pub fn seen(&self, pool: &ObjectName, state: PoolState) {
        let changed = {
            let mut known = self.known();
            let before = known.states.insert(pool.clone(), state.clone());
            // One that is new and works is news only where it was missed.
            before.as_ref() != Some(&state) && (known.complete || state != PoolState::Works)
        };
        self.tell(changed);
    }

    /// Its workers have so long to end what they run, where their pods must go.
    pub fn drains(&self, pool: &ObjectName, within: Duration) {
        let before = self.known().drains.insert(pool.clone(), within);
        self.tell(before != Some(within));
    }

    /// How long its workers have to end what they run; none while it is not known.
    pub fn drain(&self, pool: &ObjectName) -> Option<Duration> {
        self.known().drains.get(pool).copied()
    }

    /// The same of all pools.
    pub fn all_drains(&self) -> BTreeMap<ObjectName, Duration> {
        self.known().drains.clone()
    }

    /// This one is there no longer.
    pub fn gone(&self, pool: &ObjectName) {
        let changed = {
            let mut known = self.known();
            known.drains.remove(pool);
            known.states.remove(pool).is_some()
        };
        self.tell(changed);
    }

    /// All that there are have been told.
    pub fn complete(&self) {
        let changed = !std::mem::replace(&mut self.known().complete, true);
        self.tell(changed);
    }

    /// How a pool stands, as far as is known.
    pub fn state(&self, pool: &ObjectName) -> PoolState {
        let known = self.known();
        match known.states.get(pool) {
            Some(state) => state.clone(),
            None if known.complete => PoolState::Missing,
            None => PoolState::Works,
        }
    }

    /// Tells when pools come, go or stand otherwise.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell(&self, changed: bool) {
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each verb leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
