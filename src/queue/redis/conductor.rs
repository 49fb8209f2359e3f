//! The conductor's side: jobs out, reports in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::Interval,
};

use crate::link::{BadSettings, RedisSettings, Script, Wait};
use crate::model::{
    ids::ShardId,
    job::{Job, JobId},
};
use crate::queue::{
    Census, Epochs, Go, Placed, Position, Queue, QueueError, Removal, Told, Unfit,
    redis::{
        access,
        inbox::Inbox,
        memory::{self, Evicting},
        name::name_of,
        publish,
        scripts::{CANCEL, GO, OVERRULE, REMOVE, SETTLE, of_the_version_before},
        server::{Call, Server},
    },
};

/// Jobs that one call of a script forgets.
const SETTLE_AT_ONCE: usize = 1_000;

/// Jobs that one call of a script lets begin.
const GO_AT_ONCE: usize = 1_000;

/// What a Redis queue holds at most, in each pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that nobody has claimed.
    pub pending: usize,
    /// One job with what it shares, in bytes: a larger one is never offered.
    pub job: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pending: 100_000, job: 64 << 20 }
    }
}

/// The conductor's side of the queue in Redis.
pub struct RedisQueue {
    pub(super) server: Server,
    pub(super) limits: Limits,
    /// The blocked read of reports.
    pub(super) ear: Wait,
    /// The incarnation in which that read began.
    pub(super) heard_in: Mutex<Option<Arc<str>>>,
    /// When it is looked next whether Redis lost its content.
    pub(super) looks: AsyncMutex<Option<Interval>>,
    pub(super) inbox: Mutex<Inbox>,
    /// Documents that Redis has, as far as is known.
    pub(super) sent: Mutex<BTreeSet<(Arc<str>, Arc<str>)>>,
    /// There is room in the inbox again, or something new in it.
    pub(super) moved: Notify,
    /// Entries of streams that nobody can read.
    pub(super) unreadable: AtomicU64,
    /// Entries of books that were longer, or more, than there can be.
    pub(super) struck: AtomicU64,
}

impl RedisQueue {
    /// A queue that connects when it is first used.
    pub fn new(settings: &RedisSettings, limits: Limits) -> Result<RedisQueue, BadSettings> {
        RedisQueue::serving(settings, limits, of_the_version_before())
    }

    /// The same, for workers that run these scripts besides those of this version: none of them is mute once Redis has
    /// forgotten its scripts.
    pub fn serving(
        settings: &RedisSettings,
        limits: Limits,
        older: Vec<Script>,
    ) -> Result<RedisQueue, BadSettings> {
        Ok(RedisQueue {
            server: Server::new(settings, older)?,
            limits,
            ear: Wait::new(settings)?,
            heard_in: Mutex::default(),
            looks: AsyncMutex::default(),
            inbox: Mutex::default(),
            sent: Mutex::default(),
            moved: Notify::new(),
            unreadable: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        })
    }

    /// Somebody else makes the users of workers, or there are none: this queue makes none and takes none away.
    pub fn others_make_users(mut self) -> RedisQueue {
        self.server.makes_users = false;
        self
    }

    /// Does this Redis answer, and will it do? Whoever leads also finds out whether it lost its content; others write
    /// nothing. One that evicts will do, and gives why it should not be one.
    pub async fn ping(&self) -> Result<Option<Evicting>, QueueError> {
        self.server.link.ask(&redis::cmd("PING")).await?;
        match self.server.reign.any() {
            true => drop(self.server.incarnation().await?),
            false => drop(access::look_at_server(&self.server.link).await?),
        }
        Ok(memory::keeps(&self.server.link).await?)
    }

    /// Entries of streams that could not be read, since this process began.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// What was struck off the books of pools for being longer, or more, than there can be, since this process began.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forget(&self, ended: &[Placed]) -> Result<(), QueueError> {
        let owed = self.inbox().owed();
        let mut by_pool: BTreeMap<Arc<str>, Vec<&JobId>> =
            owed.keys().map(|pool| (pool.clone(), Vec::new())).collect();
        for Placed { pool, job } in ended {
            by_pool.entry(pool.clone()).or_default().push(job);
        }
        let incarnation = self.server.incarnation().await?;
        let mut calls = Vec::new();
        for (pool, jobs) in &by_pool {
            let up_to = owed.get(pool).copied();
            let mut chunks = jobs.chunks(SETTLE_AT_ONCE);
            let mut first = true;
            while let Some(jobs) = chunks.next().or(first.then_some(&[])) {
                let trim = up_to.filter(|_| first);
                let (last, stays) =
                    trim.map_or_else(Default::default, |at| (at.to_string(), at.next().to_string()));
                let call = Call::new(pool, &SETTLE).arg(last).arg(stays);
                calls.push(jobs.iter().fold(call, |call, job| call.arg(name_of(job))));
                first = false;
            }
        }
        self.server.call(&calls).await?;
        self.inbox().trimmed(&incarnation, &owed);
        Ok(())
    }
}

#[async_trait]
impl Queue for RedisQueue {
    fn lead(&self, epochs: &Epochs) {
        self.server.lead(epochs);
        self.inbox().keep_only(|pool| epochs.contains_key(&ShardId::of_pool(pool)));
        // A read that is under way began behind entries that are read again, should their pool come back.
        *self.heard_in.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        let call = Call::new(&pool.into(), &OVERRULE).arg(heard.to_string());
        self.server.call_unopened(&call).await
    }

    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        publish::publish(self, jobs).await
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        let answer = self.server.call_one(Call::new(&job.pool, &REMOVE).arg(name_of(&job.job))).await?;
        // While workers are still telling what they hold, one of them may have it.
        let in_doubt = self.server.known().announcing;
        Ok(match answer.word.as_str() {
            "removed" => Removal::Removed,
            "absent" if !in_doubt => Removal::Absent,
            _ => Removal::Claimed,
        })
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        self.server.call_one(Call::new(&job.pool, &CANCEL).arg(name_of(&job.job))).await.map(drop)
    }

    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        let mut by_pool: BTreeMap<&Arc<str>, Vec<&Go>> = BTreeMap::new();
        for go in begun {
            by_pool.entry(&go.place.pool).or_default().push(go);
        }
        let mut calls = Vec::new();
        for (pool, all) in by_pool {
            calls.extend(all.chunks(GO_AT_ONCE).map(|some| {
                let call = Call::new(pool, &GO);
                some.iter().fold(call, |call, go| call.arg(name_of(&go.place.job)).arg(&go.worker))
            }));
        }
        self.server.call(&calls).await.map(drop)
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        self.read(after, max.max(1)).await
    }

    async fn read_ahead(&self) {
        self.listen_on().await;
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        self.inbox().settle(up_to);
        self.moved.notify_waiters();
        self.forget(ended).await
    }

    async fn census(&self, _now: Timestamp) -> Result<Census, QueueError> {
        self.count().await
    }
}
