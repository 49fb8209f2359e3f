//! What is committed, as the conductor shows it to whoever watches: how many transitions, and when what ended.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::feed::{
    Edge, Event, Feed, LogLine, Reader, Subscription,
    memory::{Limits, MemoryFeed},
};
use crate::model::{
    ids::RunId,
    status::{RunStatus, TaskStatus},
};

/// A feed that keeps times instead of showing anything.
pub struct Meter {
    clock: Clock,
    /// When each task ended is kept.
    keeps_ends: bool,
    seen: Mutex<Seen>,
    /// Somebody waits for so many transitions.
    wanted: AtomicU64,
    news: Notify,
    /// For those who want to watch all the same.
    inner: MemoryFeed,
}

/// What was committed since the last `begin`; times are what the clock had run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Rows of history.
    pub transitions: u64,
    /// Attempts that were not the last: failed, or lost with their worker.
    pub retried: u64,
    /// Ends of runs.
    pub runs: BTreeMap<RunId, (RunStatus, Duration)>,
    /// Ends of task runs, in their order, where they are kept.
    pub tasks: Vec<Duration>,
}

impl Meter {
    pub fn new(clock: Clock, keeps_ends: bool) -> Meter {
        Meter {
            clock,
            keeps_ends,
            wanted: AtomicU64::new(u64::MAX),
            seen: Mutex::default(),
            news: Notify::new(),
            inner: MemoryFeed::new(Limits::default()),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was.
    pub fn begin(&self) {
        *self.seen() = Seen::default();
    }

    /// Waits until so many runs have ended, and gives what was seen.
    pub async fn ends(&self, runs: usize) -> Seen {
        loop {
            let news = self.news.notified();
            if self.seen().runs.len() >= runs {
                return self.seen().clone();
            }
            news.await;
        }
    }

    /// Waits until so many transitions were committed.
    pub async fn transitions(&self, wanted: u64) {
        self.wanted.store(wanted, Ordering::Relaxed);
        loop {
            let news = self.news.notified();
            if self.seen().transitions >= wanted {
                self.wanted.store(u64::MAX, Ordering::Relaxed);
                return;
            }
            news.await;
        }
    }

    /// Waits until runs have ended that nobody was told of yet, and gives them. When tasks ended is forgotten.
    pub async fn further_ends(&self) -> BTreeMap<RunId, (RunStatus, Duration)> {
        loop {
            let news = self.news.notified();
            {
                let mut seen = self.seen();
                if !seen.runs.is_empty() {
                    seen.tasks.clear();
                    return std::mem::take(&mut seen.runs);
                }
            }
            news.await;
        }
    }

    /// What was committed so far: transitions and retried attempts.
    pub fn counts(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.transitions, seen.retried)
    }
}

#[async_trait]
impl Feed for Meter {
    fn publish(&self, events: Vec<Event>) {
        let now = self.clock.running();
        let mut seen = self.seen();
        seen.transitions += events.len() as u64;
        let before = seen.runs.len();
        for event in events {
            match event.edge {
                Edge::Run { to, .. } if to.is_final() => drop(seen.runs.insert(event.run, (to, now))),
                Edge::Task { to: TaskStatus::Success, .. } if self.keeps_ends => seen.tasks.push(now),
                Edge::Task { to: TaskStatus::Retrying, .. } => seen.retried += 1,
                _ => {}
            }
        }
        if seen.runs.len() > before || seen.transitions >= self.wanted.load(Ordering::Relaxed) {
            self.news.notify_one();
        }
    }

    async fn log(&self, _lines: Vec<LogLine>) {}

    fn subscribe(&self, run: Option<RunId>, reader: Reader) -> Box<dyn Subscription> {
        self.inner.subscribe(run, reader)
    }
}
