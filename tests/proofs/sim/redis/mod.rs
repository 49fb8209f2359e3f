//! A Redis: what the scripts keep, a server that loses it, and the connections to it. Every round trip may fail by itself.
//!
//! `leader.rs` is the conductor's side and `hand.rs` a worker's, step by step as src/queue/redis has them; `books.rs` is what
//! one pool's scripts do. The checks of tests/it/conformance/queue run over this as over the real one.

mod books;
mod hand;
mod inbox;
mod leader;
mod verbs;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use relay::{
    model::{job::JobId, time::later},
    queue::QueueError,
};
use tokio::{sync::Notify, time::timeout};

use super::{
    faults::{Fault, Faults},
    world::pass,
};
use books::Books;

pub use hand::Hand;
pub use leader::Leader;

/// Workers have so long to tell what they hold.
const ANNOUNCE: Duration = Duration::from_secs(30);
/// A conductor looks so often in which life the content is, ...
const LIFE_EVERY: Duration = Duration::from_millis(500);
/// ... a worker whether its books are those that it knows, ...
const BOOKS_EVERY: Duration = Duration::from_secs(1);
/// ... and those that nobody knew have so long to tell.
const STRANGERS_TELL: Duration = Duration::from_millis(1_500);
/// A blocked wait is begun anew after so long.
const LOOK: Duration = Duration::from_secs(10);

/// Everything in it.
#[derive(Clone, Default)]
pub struct Content {
    /// Which content this is: a number for those who judge.
    pub life: u64,
    /// The server's run id.
    server: u64,
    /// The incarnation, and the server that it was made for.
    incarnation: Option<(u64, u64)>,
    /// Until when workers tell what they hold.
    announcing: Option<Timestamp>,
    /// Are they loaded?
    scripts: bool,
    pools: BTreeMap<String, Books>,
    /// Of incarnations, servers and entries: they rise whatever is lost, as time does.
    ids: Arc<AtomicU64>,
}

impl Content {
    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn books(&mut self, pool: &str) -> &mut Books {
        self.pools.entry(pool.to_owned()).or_default()
    }

    /// `incarnate`: the incarnation, above one that some pool is in already.
    fn incarnate(&mut self, above: u64, now: Timestamp) -> u64 {
        match self.incarnation {
            Some((id, server)) if server == self.server && id >= above => id,
            _ => {
                let id = self.id();
                self.incarnation = Some((id, self.server));
                self.announcing = Some(later(now, ANNOUNCE));
                id
            }
        }
    }

    fn is_in(&self, incarnation: u64) -> bool {
        self.incarnation.is_some_and(|(id, _)| id == incarnation)
    }

    /// How long workers still tell what they hold.
    fn announcing(&self, now: Timestamp) -> Duration {
        let until = self.announcing.unwrap_or(now);
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    }
}

/// How it loses its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// FLUSHALL: connections and scripts stay.
    Flush,
    /// It begins anew, and nothing was kept.
    Restart,
    /// It begins anew, or another server takes its place, with what was there a while ago.
    Older,
}

/// The server.
#[derive(Default)]
pub struct Redis {
    content: Mutex<Content>,
    /// What was written to disk, or to another server.
    copy: Mutex<Content>,
    lives: AtomicU64,
    changed: Notify,
}

fn gone() -> QueueError {
    QueueError::Unavailable("the simulation says so".to_owned())
}

fn unprepared() -> QueueError {
    QueueError::Unavailable("it began anew, and nobody has prepared it yet".to_owned())
}

impl Redis {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Done as a whole, unless the connection leads to another server.
    fn apply<T>(&self, server: u64, act: impl FnOnce(&mut Content) -> T) -> Option<T> {
        let answer = {
            let mut content = self.content();
            (content.server == server).then(|| act(&mut content))
        };
        self.changed.notify_waiters();
        answer
    }

    /// What is there now is what an older server will have.
    pub fn copy(&self) {
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = self.content().clone();
    }

    pub fn loses(&self, loss: Loss) {
        {
            let mut content = self.content();
            let (ids, server, scripts) = (content.ids.clone(), content.server, content.scripts);
            *content = match loss {
                Loss::Flush => Content { ids, server, scripts, ..Content::default() },
                Loss::Restart => Content { ids, ..Content::default() },
                Loss::Older => Content {
                    ids,
                    scripts: false,
                    ..self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
                },
            };
            if loss != Loss::Flush {
                content.server = content.id();
            }
            content.life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        }
        self.changed.notify_waiters();
    }

    /// Jobs that are pending or leased.
    pub fn jobs(&self) -> Vec<JobId> {
        let content = self.content();
        let mut jobs = Vec::new();
        for books in content.pools.values() {
            jobs.extend(books.clone().census(Timestamp::MIN).0);
            jobs.extend(books.leases.keys().cloned());
        }
        jobs
    }
}

/// One process' connections to it.
pub struct Wire {
    pub faults: Faults,
    redis: Arc<Redis>,
    made: Mutex<Made>,
}

/// The connection of now.
#[derive(Default)]
struct Made {
    number: u64,
    /// The server that it leads to, if there is one.
    server: Option<u64>,
}

/// The number of a server that never was.
const NONE: u64 = u64::MAX;

impl Wire {
    pub fn new(faults: Faults, redis: Arc<Redis>) -> Wire {
        Wire { faults, redis, made: Mutex::default() }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the connection: another one when it had to be made anew.
    fn number(&self) -> u64 {
        let server = self.redis.content().server;
        let mut made = self.made();
        if made.server.is_none() {
            made.number += 1;
            made.server = Some(server);
        }
        made.number
    }

    fn breaks(&self) -> QueueError {
        self.made().server = None;
        gone()
    }

    async fn up(&self) -> Result<(), QueueError> {
        match self.faults.reaches(&self.faults.shared.queue_outage).await {
            true => Ok(()),
            false => Err(self.breaks()),
        }
    }

    /// One round trip. `act` is told whether it is a copy that comes late, of which nobody hears the answer.
    async fn ask<T: Send>(
        &self,
        verb: &'static str,
        act: impl Fn(&mut Content, Timestamp, bool) -> T + Clone + Send + 'static,
    ) -> Result<T, QueueError> {
        self.number();
        let server = self.made().server.unwrap_or(NONE);
        self.up().await?;
        let (shared, redis) = (self.faults.shared.clone(), self.redis.clone());
        let clock = shared.clock.clone();
        let apply = move |copy: bool| redis.apply(server, |content| act(content, clock.now(), copy));
        let later = |wait: Duration| {
            let apply = apply.clone();
            async move {
                pass(wait).await;
                drop(apply(true));
            }
        };
        let answer = match self.faults.roll(verb) {
            Fault::None => apply(false),
            Fault::Again(wait) => {
                shared.later(later(wait));
                apply(false)
            }
            Fault::Slow(wait) => {
                pass(wait).await;
                self.up().await?;
                apply(false)
            }
            Fault::Freezes(wait) => {
                self.faults.freeze(wait).await;
                self.up().await?;
                apply(false)
            }
            Fault::Before | Fault::Lost => None,
            Fault::After => {
                drop(apply(false));
                None
            }
            Fault::Late(wait) => {
                shared.later(later(wait));
                None
            }
            Fault::DiesBefore => self.faults.life.die().await,
            Fault::DiesAfter => {
                drop(apply(false));
                self.faults.life.die().await
            }
        };
        answer.ok_or_else(|| self.breaks())
    }

    /// Until it is so, and was seen by somebody who looks once in so long.
    async fn until_seen(&self, so: impl Fn(&Content) -> bool + Send, every: Duration) {
        loop {
            let changed = self.redis.changed.notified();
            if !so(&self.redis.content()) {
                changed.await;
                continue;
            }
            let until = self.faults.shared.dice.between(1, every.as_millis() as u64);
            pass(Duration::from_millis(until)).await;
            if self.up().await.is_ok() && so(&self.redis.content()) {
                return;
            }
        }
    }

    /// A blocked call: until there is something, or for a while.
    async fn wait(&self, there: impl Fn(&Content) -> bool + Send) -> Result<(), QueueError> {
        self.up().await?;
        let server = self.redis.content().server;
        let waiting = async {
            loop {
                let changed = self.redis.changed.notified();
                {
                    let content = self.redis.content();
                    if content.server != server {
                        return Err(gone());
                    }
                    if there(&content) {
                        return Ok(());
                    }
                }
                changed.await;
            }
        };
        match timeout(LOOK, waiting).await {
            Ok(done) => done,
            Err(_) => Ok(()),
        }
    }
}
