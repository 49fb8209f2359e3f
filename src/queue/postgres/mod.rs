//! The queue in Postgres: for workers that may reach the database, and are trusted with it.
//!
//! Tables: `jobs` (those that wait have no worker), `reports`, `queue_workers`, `queue_pools` (migration `queue`). One verb
//! is a statement, or a few that each stand alone: no transaction stays open between two calls, and none that locks a row
//! waits until its answer is read, so whoever stands still holds nothing up.
//!
//! - **Claims** take rows by `for update skip locked`: two never wait for each other, and never get the same job.
//! - **The fence** is the epoch that a pool has heard (`fence.rs`), looked at under a lock in the statement that changes
//!   something.
//! - **Positions** of reports are given under a lock that ends after the commit, so they come to light in their order.
//! - **Wakes** are NOTIFYs on one channel (`bell.rs`). One that is lost costs a look, which comes every 10 s: behind a pooler that
//!   does not pass them on, that is how long a job may wait.
//! - **Time** is the database's: a worker is present by when its beat came there.
//!
//! Locks are taken in this order, so that none is waited for in a circle: pools, then jobs, then workers; rows of one table by
//! their names. A claim comes to jobs after its worker, but waits for none. The queue is in the same place as the truth: what
//! loses one loses both, so it never announces.

mod bell;
mod census;
mod conductor;
mod fence;
mod line;
mod publish;
mod roster;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use sqlx::PgPool;

use crate::queue::{PRESENCE_TTL, QueueError, postgres::bell::Bell, reign::Reign};

/// How to reach the queue, and its bounds.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=...`; migrated by `relay migrate`.
    pub url: String,
    /// Most connections at a time, at least 2: one of them listens.
    pub max_connections: u32,
    /// How long a worker counts as present after its last beat.
    pub presence: Duration,
    /// Who waits looks again after so long without news.
    pub look: Duration,
    /// Longest wait for a connection, and then for an answer.
    pub call_timeout: Duration,
    /// What it holds at most.
    pub limits: Limits,
}

/// What a queue in Postgres holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that nobody has claimed, of all pools.
    pub pending: u32,
    /// Reports that are not settled, of all pools.
    pub reports: u32,
    /// Workers that were seen and have not left or gone silent.
    pub workers: u32,
    /// One job with what it is given, in bytes: a larger one is never offered.
    pub job: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pending: 100_000, reports: 100_000, workers: 10_000, job: 64 << 20 }
    }
}

impl PostgresSettings {
    /// The defaults, for this database.
    pub fn new(url: &str) -> PostgresSettings {
        PostgresSettings {
            url: url.to_owned(),
            max_connections: 8,
            presence: PRESENCE_TTL,
            look: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for PostgresSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("max_connections", &self.max_connections)
            .field("presence", &self.presence)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The conductor's side, and the keeper of pools.
#[derive(Debug)]
pub struct PostgresQueue {
    server: Arc<Server>,
    reign: Reign,
}

/// The worker's side, for any number of workers of one process.
#[derive(Clone, Debug)]
pub struct PostgresJobs {
    server: Arc<Server>,
}

/// What both sides need.
#[derive(Debug)]
struct Server {
    pool: PgPool,
    bell: Bell,
    settings: PostgresSettings,
}

impl PostgresQueue {
    /// Connects, and looks whether the tables are there.
    pub async fn connect(settings: &PostgresSettings) -> Result<PostgresQueue, QueueError> {
        Ok(PostgresQueue { server: Server::connect(settings).await?, reign: Reign::default() })
    }

    /// Workers of the same process, over the same connections.
    pub fn jobs(&self) -> PostgresJobs {
        PostgresJobs { server: self.server.clone() }
    }
}

impl PostgresJobs {
    /// Connects, and looks whether the tables are there.
    pub async fn connect(settings: &PostgresSettings) -> Result<PostgresJobs, QueueError> {
        Ok(PostgresJobs { server: Server::connect(settings).await? })
    }
}

/// Changes nothing; fails where the queue's tables are not there.
const LOOK: &str = "select (select count(*) from (select from queue_pools limit 1) p)";

impl Server {
    async fn connect(settings: &PostgresSettings) -> Result<Arc<Server>, QueueError> {
        let pool = line::pool(settings)?;
        let bell = Bell::hang(&pool, settings.look, settings.call_timeout);
        let server = Server { pool, bell, settings: settings.clone() };
        let mut line = server.line().await?;
        let bound = line.bound();
        line::within(bound, sqlx::query(LOOK).execute(line.sql())).await?;
        line.done();
        Ok(Arc::new(server))
    }

    /// As the statements take it.
    fn presence_ms(&self) -> f64 {
        self.settings.presence.as_millis() as f64
    }
}
