//! The bed's Redis, with keys of a test's own, and workers by the name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::link::RedisSettings;
use relay::model::job::{Job, JobId, Report};
use relay::queue::{Claim, Jobs, Orders, Pools, QueueError, redis::RedisJobs};

use super::{jobs::POOL, redis_url};

/// The bed's Redis, with keys that no other test has.
pub fn settings(presence: Duration) -> RedisSettings {
    let prefix = format!("relay-test-{}", uuid::Uuid::now_v7().simple());
    let mut settings =
        RedisSettings::new(&redis_url()).and_then(|s| s.with_prefix(&prefix)).expect("settings");
    settings.presence = presence;
    // These keys are new: nobody can hold anything.
    settings.announce = Duration::ZERO;
    settings
}

/// A connection whose server may take its time: the client's own bound is half a second, which a busy machine exceeds.
pub async fn connected(client: &redis::Client) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let patient = Some(Duration::from_secs(60));
    let config =
        redis::AsyncConnectionConfig::new().set_connection_timeout(patient).set_response_timeout(patient);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Workers of any name and pool, each with connections of its own: a worker of no known pool is of the usual one.
pub struct Crew {
    settings: RedisSettings,
    workers: Mutex<BTreeMap<String, (String, Arc<RedisJobs>)>>,
}

impl Crew {
    pub fn new(settings: &RedisSettings) -> Crew {
        Crew { settings: settings.clone(), workers: Mutex::default() }
    }

    fn worker(&self, worker: &str) -> Arc<RedisJobs> {
        self.of(worker, None).0
    }

    /// The worker, and what it was before it moved to this pool.
    fn of(&self, worker: &str, pool: Option<&str>) -> (Arc<RedisJobs>, Option<Arc<RedisJobs>>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = workers.get(worker).filter(|(own, _)| pool.is_none_or(|pool| pool == own));
        if let Some((_, jobs)) = known {
            return (jobs.clone(), None);
        }
        let pool = pool.unwrap_or(POOL);
        let jobs = Arc::new(RedisJobs::new(&self.settings, pool, worker).expect("a worker"));
        let before = workers.insert(worker.to_owned(), (pool.to_owned(), jobs.clone()));
        (jobs, before.map(|(_, jobs)| jobs))
    }
}

#[async_trait]
impl Jobs for Crew {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        let Pools::One(pool) = &claim.pools else { panic!("a worker in Redis is of one pool") };
        let (worker, before) = self.of(&claim.worker, Some(pool));
        if let Some(before) = before {
            before.leave(&claim.worker).await?;
            worker.beat(&claim.worker, &[], Timestamp::UNIX_EPOCH).await?;
        }
        worker.claim(claim).await
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        self.worker(&report.worker).report(report).await
    }

    async fn beat(&self, worker: &str, holding: &[JobId], now: Timestamp) -> Result<Orders, QueueError> {
        self.worker(worker).beat(worker, holding, now).await
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        self.worker(worker).called(worker).await
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.worker(worker).give_back(worker, holding).await
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        self.worker(worker).leave(worker).await
    }
}
