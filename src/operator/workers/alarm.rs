//! Pools that are to be looked at again at a moment, whatever happens before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::operator::api::ObjectName;

/// One moment a pool.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    set: Mutex<Set>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Set {
    at: BTreeMap<ObjectName, Timestamp>,
    order: BTreeSet<(Timestamp, ObjectName)>,
}

impl Alarms {
    /// The pool is looked at then; None: not by an alarm.
    pub(super) fn set(&self, pool: &ObjectName, at: Option<Timestamp>) {
        let mut set = self.inner();
        if let Some(old) = set.at.remove(pool) {
            set.order.remove(&(old, pool.clone()));
        }
        if let Some(at) = at {
            set.at.insert(pool.clone(), at);
            set.order.insert((at, pool.clone()));
            self.news.notify_one();
        }
    }

    /// Tells of each pool whose moment has come, until `stop`.
    pub(super) async fn ring(&self, clock: &Clock, stop: &CancellationToken, tell: impl Fn(ObjectName)) {
        loop {
            let news = self.news.notified();
            for pool in self.due(clock.now()) {
                tell(pool);
            }
            let next = self.inner().order.first().map(|(at, _)| *at);
            let wait = async {
                match next {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = news => {}
                () = wait => {}
            }
        }
    }

    fn due(&self, now: Timestamp) -> Vec<ObjectName> {
        let mut set = self.inner();
        let mut due = Vec::new();
        while set.order.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, pool)) = set.order.pop_first() {
                set.at.remove(&pool);
                due.push(pool);
            }
        }
        due
    }

    fn inner(&self) -> MutexGuard<'_, Set> {
        // Each verb leaves it whole.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
