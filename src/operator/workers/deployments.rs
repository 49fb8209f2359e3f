//! The Deployments of pools, as the API server tells of them: of each only what is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::ids::ShardId;
use crate::operator::api::{Cluster, ObjectName};
use crate::operator::pulse::Pulses;
use crate::operator::watch::is_of;
use crate::operator::workers::desired::{Made, POOL_LABEL, SELECTOR};

/// By which the pulse of the watch is known.
const KIND: &str = "Deployment";
/// Deployments in one page of a list.
const PAGE: u32 = 100;
/// Longest silence of a watch: the server ends each after less.
const SILENCE: Duration = Duration::from_secs(330);

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// metadata.uid
    pub uid: String,
    /// The UID of the object that controls it.
    pub owner: Option<String>,
    /// metadata.generation
    pub generation: i64,
    /// Replicas that it is asked for.
    pub asked: u32,
    /// Pods that are not about to go.
    pub pods: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those of the newest template.
    pub updated: u32,
    /// Has its controller seen this generation?
    pub observed: bool,
    /// Why pods cannot be made, as its controller tells.
    pub failure: Option<String>,
    /// What it was made of.
    pub made: Made,
}

impl Live {
    /// What counts of a Deployment.
    pub fn of(deployment: &Deployment) -> Live {
        let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let status = deployment.status.clone().unwrap_or_default();
        let generation = deployment.metadata.generation.unwrap_or_default();
        let failure = status.conditions.iter().flatten();
        let failure = failure.filter(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        Live {
            uid: deployment.metadata.uid.clone().unwrap_or_default(),
            owner: deployment
                .owner_references()
                .iter()
                .find(|o| o.controller == Some(true))
                .map(|o| o.uid.clone()),
            generation,
            asked: number(deployment.spec.as_ref().map_or(Some(1), |spec| spec.replicas.or(Some(1)))),
            pods: number(status.replicas),
            ready: number(status.ready_replicas),
            updated: number(status.updated_replicas),
            observed: status.observed_generation.is_some_and(|seen| seen >= generation),
            failure: failure.filter_map(|c| c.message.clone()).next(),
            made: Made::of(deployment.annotations()),
        }
    }

    /// Is it at rest: as many pods as were asked for, all of the newest template?
    pub fn rests(&self) -> bool {
        self.observed && self.pods == self.asked && self.updated == self.asked
    }
}

/// What happened to a pool's Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there; it may have changed.
    Seen(ObjectName),
    /// It is not there any longer.
    Gone(ObjectName),
}

/// The Deployments of the namespaces whose shards are led from here, by their pools.
#[derive(Debug)]
pub struct Deployments {
    shards: Arc<BTreeSet<ShardId>>,
    known: Mutex<BTreeMap<ObjectName, Live>>,
    synced: watch::Sender<bool>,
}

impl Deployments {
    /// Of the namespaces of these shards.
    pub fn new(shards: Arc<BTreeSet<ShardId>>) -> Deployments {
        Deployments { shards, known: Mutex::default(), synced: watch::Sender::default() }
    }

    /// That of a pool.
    pub fn get(&self, pool: &ObjectName) -> Option<Live> {
        self.known().get(pool).cloned()
    }

    /// Waits until all were told once.
    pub async fn synced(&self) {
        // The sender is its own, so it is not gone.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Keeps up with the cluster, and tells of every change, until `stop`.
    pub async fn follow(
        &self,
        (cluster, pulses): (&Cluster, &Pulses),
        stop: &CancellationToken,
        tell: impl Fn(Change),
    ) {
        let api: Api<Deployment> = Api::all(cluster.client().clone());
        while !stop.is_cancelled() {
            let config = watcher::Config::default().labels(SELECTOR).page_size(PAGE);
            let mut events = pin!(watcher(api.clone(), config).default_backoff());
            let mut listed = BTreeSet::new();
            loop {
                let event = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    event = tokio::time::timeout(SILENCE, events.next()) => event,
                };
                match event {
                    Ok(Some(Ok(event))) => {
                        if !matches!(event, Event::Init) {
                            pulses.good(KIND);
                        }
                        self.take(event, &mut listed).into_iter().for_each(&tell);
                    }
                    Ok(Some(Err(error))) => {
                        pulses.bad(KIND, &error.to_string());
                        tracing::warn!(%error, "Deployments cannot be watched at the moment");
                    }
                    // Silence or an end: it is asked anew.
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }

    fn take(&self, event: Event<Deployment>, listed: &mut BTreeSet<ObjectName>) -> Vec<Change> {
        if let Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) = &event
            && !is_of(object.metadata.namespace.as_deref(), &self.shards)
        {
            return Vec::new();
        }
        let mut known = self.known();
        match event {
            Event::Init => {
                listed.clear();
                Vec::new()
            }
            Event::InitApply(deployment) | Event::Apply(deployment) => {
                let Some(pool) = pool_of(&deployment) else { return Vec::new() };
                listed.insert(pool.clone());
                known.insert(pool.clone(), Live::of(&deployment));
                vec![Change::Seen(pool)]
            }
            Event::Delete(deployment) => {
                let Some(pool) = pool_of(&deployment) else { return Vec::new() };
                known.remove(&pool);
                vec![Change::Gone(pool)]
            }
            Event::InitDone => {
                self.synced.send_replace(true);
                let gone: Vec<_> = known.keys().filter(|pool| !listed.contains(*pool)).cloned().collect();
                gone.into_iter()
                    .map(|pool| {
                        known.remove(&pool);
                        Change::Gone(pool)
                    })
                    .collect()
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Live>> {
        // Each event leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool of a Deployment that has the name and the labels of one.
fn pool_of(deployment: &Deployment) -> Option<ObjectName> {
    let pool = deployment.labels().get(POOL_LABEL)?;
    let name = deployment.metadata.name.as_deref()?;
    (name.strip_prefix("relay-") == Some(pool))
        .then(|| ObjectName::new(&deployment.namespace().unwrap_or_default(), pool))
}
