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
use tokio::sync::Notify;

use crate::link::{BadSettings, RedisSettings, Wait};
use crate::model::job::{Job, JobId, Report};
use crate::queue::{
    Census, Position, Queue, QueueError, Removal,
    redis::{
        inbox::Inbox,
        places::Places,
        publish,
        scripts::{CANCEL, REMOVE, SETTLE},
        server::{Answer, Call, Server},
    },
};

/// Jobs that one call of a script forgets.
const SETTLE_AT_ONCE: usize = 1_000;

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
    pub(super) inbox: Mutex<Inbox>,
    pub(super) places: Mutex<Places>,
    /// Documents that Redis has, as far as is known.
    pub(super) sent: Mutex<BTreeSet<(Arc<str>, Arc<str>)>>,
    /// There is room in the inbox again, or something new in it.
    pub(super) moved: Notify,
    /// Entries of streams that nobody can read.
    pub(super) unreadable: AtomicU64,
}

impl RedisQueue {
    /// A queue that connects when it is first used.
    pub fn new(settings: &RedisSettings, limits: Limits) -> Result<RedisQueue, BadSettings> {
        Ok(RedisQueue {
            server: Server::new(settings)?,
            limits,
            ear: Wait::new(settings)?,
            heard_in: Mutex::default(),
            inbox: Mutex::default(),
            places: Mutex::default(),
            sent: Mutex::default(),
            moved: Notify::new(),
            unreadable: AtomicU64::new(0),
        })
    }

    /// Does this Redis answer, and will it do?
    pub async fn ping(&self) -> Result<(), QueueError> {
        self.server.link.ask(&redis::cmd("PING")).await?;
        self.server.incarnation().await?;
        Ok(())
    }

    /// Entries of streams that could not be read, since this process began.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a job may be: in its pool, or, when that is not known, in any.
    async fn search(&self, job: &JobId) -> Result<Vec<Arc<str>>, QueueError> {
        if let Some(pool) = self.places().of(job) {
            return Ok(vec![pool]);
        }
        self.server.incarnation().await?;
        Ok(self.server.known().open.iter().cloned().collect())
    }

    async fn ask_where_it_may_be(
        &self,
        job: &JobId,
        script: &'static crate::link::Script,
    ) -> Result<Vec<Answer>, QueueError> {
        let pools = self.search(job).await?;
        let calls: Vec<Call> =
            pools.iter().map(|pool| Call::new(pool, script).arg(job.to_string())).collect();
        self.server.call(&calls).await
    }

    async fn forget(&self, ended: &[JobId]) -> Result<(), QueueError> {
        let owed = self.inbox().owed();
        let mut by_pool: BTreeMap<Arc<str>, Vec<&JobId>> =
            owed.keys().map(|pool| (pool.clone(), Vec::new())).collect();
        for job in ended {
            for pool in self.search(job).await? {
                by_pool.entry(pool).or_default().push(job);
            }
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
                calls.push(jobs.iter().fold(call, |call, job| call.arg(job.to_string())));
                first = false;
            }
        }
        self.server.call(&calls).await?;
        self.inbox().trimmed(&incarnation, &owed);
        let mut places = self.places();
        ended.iter().for_each(|job| places.forget(job));
        Ok(())
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        publish::publish(self, jobs).await
    }

    async fn remove(&self, job: &JobId) -> Result<Removal, QueueError> {
        let answers = self.ask_where_it_may_be(job, &REMOVE).await?;
        let words: BTreeSet<&str> = answers.iter().map(|a| a.word.as_str()).collect();
        if words.contains("removed") {
            self.places().forget(job);
            return Ok(Removal::Removed);
        }
        // While workers are still telling what they hold, one of them may have it.
        let in_doubt = self.server.known().announcing;
        Ok(if words.contains("claimed") || in_doubt { Removal::Claimed } else { Removal::Absent })
    }

    async fn cancel(&self, job: &JobId) -> Result<(), QueueError> {
        self.ask_where_it_may_be(job, &CANCEL).await.map(drop)
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<(Position, Report)>, QueueError> {
        self.read(after, max.max(1)).await
    }

    fn origin(&self, report: Position) -> Option<String> {
        self.inbox().origin(report).map(str::to_owned)
    }

    async fn settle(&self, up_to: Position, ended: &[JobId]) -> Result<(), QueueError> {
        self.inbox().settle(up_to);
        self.moved.notify_waiters();
        self.forget(ended).await
    }

    async fn census(&self, _now: Timestamp) -> Result<Census, QueueError> {
        self.count().await
    }
}
