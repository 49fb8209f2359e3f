//! What a user's own watch tells of Runs, and when it came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::sync::Notify;

/// How long anything is waited for, for each thousand objects.
const SOON: Duration = Duration::from_secs(120);

/// One watch of objects of a kind, for as long as its task lives.
#[derive(Clone, Default)]
pub struct Watched {
    inner: Arc<Mutex<BTreeMap<String, Seen>>>,
    news: Arc<Notify>,
}

/// What was told of an object.
#[derive(Clone, Copy)]
pub struct Seen {
    /// When it was first told of.
    pub first: Instant,
    /// When it was told that it ended.
    pub finished: Option<Instant>,
    /// Does it say that it waits for an approval?
    pub asks: bool,
    /// How often it was told of.
    pub events: u64,
}

impl Watched {
    /// Watches from now on. The value says when the server has answered.
    pub async fn open(api: Api<DynamicObject>) -> Watched {
        let watched = Watched::default();
        // The state of the cluster is asked for, not what is in it.
        let list = api.list(&ListParams::default().limit(1)).await.expect("a list");
        let mut version = list.metadata.resource_version.expect("a version");
        let mut events = api.watch(&WatchParams::default(), &version).await.expect("a watch").boxed();
        let own = watched.clone();
        tokio::spawn(async move {
            loop {
                while let Some(event) = events.next().await {
                    match event.expect("the watch goes on") {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                            version = object.metadata.resource_version.clone().expect("a version");
                            own.see(&object);
                        }
                        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(error) => panic!("the watch: {error:?}"),
                    }
                }
                // The server ends each after some minutes. Where there is none any more, nobody waits, or says so in time.
                let Ok(next) = api.watch(&WatchParams::default(), &version).await else { return };
                events = next.boxed();
            }
        });
        watched
    }

    fn see(&self, object: &DynamicObject) {
        let now = Instant::now();
        let conditions = object.data["status"]["conditions"].as_array();
        let finished = conditions
            .is_some_and(|all| all.iter().any(|c| c["type"] == "Finished" && c["status"] == "True"));
        let name = object.metadata.name.clone().expect("a name");
        let mut inner = self.inner();
        let seen = inner.entry(name).or_insert(Seen { first: now, finished: None, asks: false, events: 0 });
        seen.events += 1;
        seen.asks = object.data["status"]["state"] == "AwaitingApproval";
        if finished {
            seen.finished.get_or_insert(now);
        }
        drop(inner);
        self.news.notify_one();
    }

    /// Waits until so many objects, whose names begin so, are as wanted; tells what was seen of them.
    pub async fn until(&self, prefix: &str, count: usize, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let waiting = async {
            loop {
                let news = self.news.notified();
                let found: Vec<Seen> = {
                    let inner = self.inner();
                    let named = inner.iter().filter(|(name, _)| name.starts_with(prefix));
                    named.map(|(_, seen)| *seen).filter(|seen| wanted(seen)).collect()
                };
                if found.len() >= count {
                    return found;
                }
                news.await;
            }
        };
        let within = SOON * u32::try_from(count.div_ceil(1_000)).expect("few");
        tokio::time::timeout(within, waiting)
            .await
            .unwrap_or_else(|_| panic!("{prefix}: not within {within:?}"))
    }

    fn inner(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
