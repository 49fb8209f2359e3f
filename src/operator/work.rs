//! What is to be looked at: each object once, however often it changed, a bounded number at a time, and after a failure
//! later and later. One that is broken, or that panics, stops no other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::time::{backoff, later};
use crate::operator::{Trouble, api::ApiError};

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait after a failure that may pass by itself.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait after a refusal: it passes when somebody mends something.
const LONGEST_REFUSED: Duration = Duration::from_secs(300);
/// Longest time for one look at an object.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// Objects that are to be looked at.
#[derive(Debug)]
pub struct Work<K> {
    clock: Clock,
    inner: Mutex<Inner<K>>,
    news: Notify,
}

#[derive(Debug)]
struct Inner<K> {
    due: BTreeSet<(Timestamp, K)>,
    at: BTreeMap<K, Timestamp>,
    /// Those that are looked at now, and whether they changed since.
    busy: BTreeMap<K, bool>,
    failures: BTreeMap<K, u32>,
}

impl<K: Clone + Ord + Hash + Display> Work<K> {
    /// None yet.
    pub fn new(clock: Clock) -> Work<K> {
        let (due, at) = (BTreeSet::new(), BTreeMap::new());
        let inner = Inner { due, at, busy: BTreeMap::new(), failures: BTreeMap::new() };
        Work { clock, inner: Mutex::new(inner), news: Notify::new() }
    }

    /// This one is to be looked at, as soon as may be.
    pub fn push(&self, key: K) {
        let now = self.clock.now();
        self.inner().push(key, now);
        self.news.notify_one();
    }

    /// Takes the next one that is due; whoever takes it says `done` or `failed` afterwards.
    pub async fn take(&self) -> K {
        loop {
            let news = self.news.notified();
            let now = self.clock.now();
            let due = {
                let mut inner = self.inner();
                if let Some(key) = inner.take(now) {
                    return key;
                }
                inner.due.first().map(|(at, _)| *at)
            };
            match due {
                Some(at) => tokio::select! {
                    () = news => {}
                    () = self.clock.sleep_until(at) => {}
                },
                None => news.await,
            }
        }
    }

    /// It was looked at; again, if it changed meanwhile.
    pub fn done(&self, key: &K) {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.failures.remove(key);
        if inner.busy.remove(key) == Some(true) {
            inner.push(key.clone(), now);
            self.news.notify_one();
        }
    }

    /// It is to be looked at again, later: after this wait, and at the how manieth failure.
    pub fn failed(&self, key: &K, refused: bool) -> (Duration, u32) {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.busy.remove(key);
        let failures = inner.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        let failures = *failures;
        let wait = backoff(key, failures, FIRST_WAIT, if refused { LONGEST_REFUSED } else { LONGEST_WAIT });
        inner.push(key.clone(), later(now, wait));
        self.news.notify_one();
        (wait, failures)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        // Each verb leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord> Inner<K> {
    fn push(&mut self, key: K, at: Timestamp) {
        if let Some(again) = self.busy.get_mut(&key) {
            *again = true;
            return;
        }
        if let Some(old) = self.at.get(&key) {
            if *old <= at {
                return;
            }
            self.due.remove(&(*old, key.clone()));
        }
        self.at.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    fn take(&mut self, now: Timestamp) -> Option<K> {
        self.due.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.due.pop_first()?;
        self.at.remove(&key);
        self.busy.insert(key.clone(), false);
        Some(key)
    }
}

/// Looks at what is to be looked at, at most `width` objects at a time, until `stop`.
pub async fn drive<K, F>(work: &Work<K>, width: usize, stop: &CancellationToken, look: impl Fn(K) -> F)
where
    K: Clone + Ord + Hash + Display + Send + 'static,
    F: Future<Output = Result<(), Trouble>> + Send + 'static,
{
    let mut busy: JoinSet<Result<(), Trouble>> = JoinSet::new();
    let mut keys: HashMap<tokio::task::Id, K> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = busy.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => (error.id(), Err(Trouble::Broken(error.to_string()))),
                };
                if let Some(key) = keys.remove(&id) {
                    settle(work, &key, outcome);
                }
            }
            key = work.take(), if busy.len() < width => {
                let looking = look(key.clone());
                let bounded = async move {
                    tokio::time::timeout(LOOK_WITHIN, looking).await.unwrap_or(Err(Trouble::Late))
                };
                keys.insert(busy.spawn(bounded).id(), key);
            }
        }
    }
    busy.shutdown().await;
}

fn settle<K: Clone + Ord + Hash + Display>(work: &Work<K>, key: &K, outcome: Result<(), Trouble>) {
    let Err(trouble) = outcome else { return work.done(key) };
    let (wait, failures) = work.failed(key, trouble.is_refusal());
    let wait = wait.as_millis() as u64;
    if matches!(trouble, Trouble::Unsettled | Trouble::Api(ApiError::Conflict(_) | ApiError::NotLeading)) {
        tracing::debug!(object = %key, error = %trouble, failures, wait_ms = wait, "An object is looked at again");
    } else if matches!(trouble, Trouble::Broken(_)) {
        tracing::error!(object = %key, error = %trouble, error.label = trouble.label(), failures, wait_ms = wait,
            "Looking at an object broke; it is tried again");
    } else {
        tracing::warn!(object = %key, error = %trouble, error.label = trouble.label(), failures, wait_ms = wait,
            "An object could not be brought up to date yet");
    }
}
