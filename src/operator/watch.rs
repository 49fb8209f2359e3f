//! The objects of a kind, as the API server tells of them: a list, then every change, and a list again after a gap.
//!
//! A list is a stream of what the server has in memory (WatchList, Kubernetes 1.34 and newer, where nobody turned it off): nothing
//! is read from etcd for it, and nobody waits for the next page. Other servers refuse that, and are asked for pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Resource as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crd::schema::Kind;
use crate::model::ids::ShardId;
use crate::operator::api::{Cluster, Object, ObjectName, Raw, resource};
use crate::operator::pulse::Pulses;

/// Objects in one page of a list: each may have more than a megabyte.
const PAGE: u32 = 100;
/// Longest silence while a list is read.
const LIST_WITHIN: Duration = Duration::from_secs(60);
/// Longest silence of a watch: the server ends each after less.
const WATCH_WITHIN: Duration = Duration::from_secs(330);

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there; it may have changed.
    Seen(ObjectName, String),
    /// It was there, with this uid, and is not any longer, or another has its name.
    Gone(ObjectName, String),
    /// All that there is has been told.
    Synced,
}

/// The objects of a kind as last told, of those namespaces whose shards are led from here. Others are not held.
#[derive(Debug)]
pub struct Mirror {
    shards: Arc<BTreeSet<ShardId>>,
    inner: Mutex<Inner>,
    synced: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<ObjectName, Arc<Object>>,
    /// What a list has told so far.
    listed: BTreeSet<ObjectName>,
}

impl Mirror {
    /// Of the namespaces of these shards.
    pub fn new(shards: Arc<BTreeSet<ShardId>>) -> Mirror {
        Mirror { shards, inner: Mutex::default(), synced: watch::Sender::default() }
    }

    /// An object.
    pub fn get(&self, name: &ObjectName) -> Option<Arc<Object>> {
        self.inner().objects.get(name).cloned()
    }

    /// Is there an object of this uid?
    pub fn holds(&self, name: &ObjectName, uid: &str) -> bool {
        self.inner().objects.get(name).is_some_and(|object| object.uid == uid)
    }

    /// All objects.
    pub fn objects(&self) -> Vec<Arc<Object>> {
        self.inner().objects.values().cloned().collect()
    }

    /// Have all objects been told once?
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Tells when they are.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// All names.
    pub fn names(&self) -> Vec<ObjectName> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Takes an event over; tells what it means.
    fn take(&self, event: Event<Raw>) -> Vec<Change> {
        if let Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) = &event
            && !is_of(object.meta().namespace.as_deref(), &self.shards)
        {
            return Vec::new();
        }
        let mut inner = self.inner();
        match event {
            Event::Init => {
                inner.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let Some(object) = Object::of(object) else { return Vec::new() };
                inner.listed.insert(object.name.clone());
                inner.put(object)
            }
            Event::Apply(object) => Object::of(object).map_or_else(Vec::new, |object| inner.put(object)),
            Event::Delete(object) => {
                let Some(object) = Object::of(object) else { return Vec::new() };
                if inner.objects.get(&object.name).is_some_and(|known| known.uid == object.uid) {
                    inner.objects.remove(&object.name);
                }
                vec![Change::Gone(object.name, object.uid)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut inner.listed);
                let absent = |name: &&ObjectName| !listed.contains(*name);
                let gone: Vec<ObjectName> = inner.objects.keys().filter(absent).cloned().collect();
                let gone = gone.into_iter().filter_map(|name| {
                    inner.objects.remove(&name).map(|object| Change::Gone(name, object.uid.clone()))
                });
                let mut changes: Vec<Change> = gone.collect();
                changes.push(Change::Synced);
                self.synced.send_replace(true);
                changes
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each event leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, object: Object) -> Vec<Change> {
        let (name, uid) = (object.name.clone(), object.uid.clone());
        let before = self.objects.insert(name.clone(), Arc::new(object));
        let other = before.filter(|before| before.uid != uid);
        let gone = other.map(|other| Change::Gone(name.clone(), other.uid.clone()));
        gone.into_iter().chain([Change::Seen(name, uid)]).collect()
    }
}

/// Is it a namespace of these shards?
pub(super) fn is_of(namespace: Option<&str>, shards: &BTreeSet<ShardId>) -> bool {
    shards.contains(&ShardId::of_namespace(namespace.unwrap_or_default()))
}

fn config(streams: bool) -> watcher::Config {
    let config = watcher::Config::default();
    if streams { config.streaming_lists() } else { config.page_size(PAGE) }
}

/// Is it the answer to who asks for a stream where there is none?
fn refuses_streams(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 422)
}

/// Has the server forgotten what came meanwhile? Then a list is next, whose first word may never come.
fn is_gap(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

/// Keeps the mirror of a kind, and tells of every change, until `stop`. Errors are waited out, longer and longer.
pub async fn follow(
    (cluster, pulses): (&Cluster, &Pulses),
    kind: Kind,
    mirror: &Mirror,
    stop: &CancellationToken,
    tell: impl Fn(Change),
) {
    let api: Api<Raw> = Api::all_with(cluster.client().clone(), &resource(kind));
    let mut streams = true;
    loop {
        let mut events = pin!(watcher(api.clone(), config(streams)).default_backoff());
        let mut listing = true;
        loop {
            let silence = if listing { LIST_WITHIN } else { WATCH_WITHIN };
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = tokio::time::timeout(silence, events.next()) => event,
            };
            match event {
                Ok(Some(Ok(event))) => {
                    match &event {
                        Event::Init => listing = true,
                        Event::InitDone => listing = false,
                        Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
                    }
                    if !matches!(event, Event::Init) {
                        pulses.good(kind.name());
                    }
                    mirror.take(event).into_iter().for_each(&tell);
                }
                Ok(Some(Err(error))) if streams && refuses_streams(&error) => {
                    tracing::info!(
                        kind = kind.name(),
                        "The API server streams no lists: it is asked for pages"
                    );
                    streams = false;
                    break;
                }
                Ok(Some(Err(error))) => {
                    listing |= is_gap(&error);
                    pulses.bad(kind.name(), &error.to_string());
                    tracing::warn!(kind = kind.name(), %error, "Objects cannot be watched at the moment");
                }
                Ok(None) => break,
                Err(_) if listing => {
                    pulses.bad(kind.name(), "the API server fell silent within a list");
                    tracing::warn!(kind = kind.name(), "The API server fell silent; it is asked anew");
                    break;
                }
                // Nothing may have changed. A watch that is dead looks the same, so it is asked anew.
                Err(_) => break,
            }
        }
    }
}
