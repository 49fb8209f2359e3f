//! The store of record. One verb is one statement wherever it can be: no transaction stays open between two calls, so
//! a frozen leader holds no lock.
//!
//! Every statement is written for one plan, an index look-up per row, and the sessions are told so: a plan is made once
//! a connection and does not change its mind while the tables grow.

pub mod catalog;
mod cluster;
mod commit;
mod days;
mod errors;
mod expire;
mod heads;
mod history;
mod lead;
mod line;
mod load;
mod logs;
mod look;
pub mod migrate;
mod migrations;
pub mod past;
mod revisions;
mod roll;
mod signs;
pub mod yardstick;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::model::{
    change::{Batch, Fence},
    head::Head,
    ids::{RunId, ShardId, TaskRunId, WorkflowId},
    log::{LogLine, LogQuery, StoredLine},
    run::RunRow,
    task_run::AttemptRow,
};
use crate::store::{
    Cause, Cursor, Entity, Expiry, HistoryRow, Leadership, Outage, Removed, Revision, Roll, RunRecord, Store,
    StoreError, Upkeep,
};
use line::{Line, Lines, TRY_AFTER};
use signs::Signs;

/// How to reach a database, and how hard to lean on it.
#[derive(Clone)]
pub struct PoolSettings {
    /// `postgres://user:password@host:port/database?sslmode=...`
    pub url: String,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Connections kept open while idle.
    pub min_connections: u32,
    /// After so long without use a connection beyond `min_connections` is closed.
    pub idle_timeout: Duration,
    /// After so long a connection is replaced.
    pub max_lifetime: Duration,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// Longest time that the server works on one statement.
    pub statement_timeout: Duration,
    /// Longest wait of a statement for a lock.
    pub lock_timeout: Duration,
    /// Longest wait for an answer, server and network together; longer than `statement_timeout`.
    pub call_timeout: Duration,
}

impl PoolSettings {
    /// The defaults, for this database.
    pub fn new(url: &str) -> PoolSettings {
        PoolSettings {
            url: url.to_owned(),
            max_connections: 25,
            min_connections: 5,
            idle_timeout: Duration::from_secs(5 * 60),
            max_lifetime: Duration::from_secs(30 * 60),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for PoolSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSettings")
            .field("max_connections", &self.max_connections)
            .field("min_connections", &self.min_connections)
            .finish_non_exhaustive()
    }
}

/// A store in Postgres.
pub struct PostgresStore {
    lines: Lines,
    signs: Arc<Signs>,
}

impl PostgresStore {
    /// Connects, and makes sure that the database is migrated as far as this binary needs. `Unavailable` when it may work
    /// later (a server that is not up yet); `Refused` when somebody has to do something first: a wrong password, no such
    /// database, one that is not migrated.
    pub async fn connect(settings: &PoolSettings) -> Result<PostgresStore, StoreError> {
        let target = connect_options(settings)?;
        migrate::ready(&settings.url).await.map_err(|e| match e.cause() {
            Some(cause) => Outage::new(cause, e.to_string()).into(),
            None => StoreError::Refused(e.to_string()),
        })?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .min_connections(settings.min_connections.min(settings.max_connections))
            .idle_timeout(settings.idle_timeout)
            .max_lifetime(settings.max_lifetime)
            .acquire_timeout(settings.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|conn, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRY_AFTER {
                        conn.ping().await?;
                        // What a large commit or a reading of everything left is given back.
                        conn.shrink_buffers();
                    }
                    Ok(true)
                })
            })
            .connect_with(target)
            .await
            .map_err(|e| errors::Failed::Sql(e).before())?;
        Ok(PostgresStore { lines: Lines::new(pool, settings.call_timeout), signs: Arc::default() })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.lines.close().await;
    }

    /// A connection for one verb.
    async fn line(&self) -> Result<Line, StoreError> {
        self.lines.line(&self.signs).await
    }

    /// The answer to a verb, once what it tells of the database is noted.
    fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Unavailable(outage)) = &answer {
            self.signs.failed(outage);
            // Idle connections lead to where this one led.
            if matches!(outage.cause, Cause::ReadOnly | Cause::Unreachable) {
                self.lines.renew();
            }
        }
        answer
    }
}

/// Waits for an answer, but not for ever.
async fn within<T>(
    bound: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, errors::Failed> {
    match tokio::time::timeout(bound, answer).await {
        Ok(answer) => answer.map_err(errors::Failed::Sql),
        Err(_) => Err(errors::Failed::Silent(bound)),
    }
}

fn connect_options(settings: &PoolSettings) -> Result<PgConnectOptions, StoreError> {
    let options = migrate::options(&settings.url).map_err(|e| StoreError::Refused(e.to_string()))?;
    let ms = |wait: Duration| format!("{}ms", wait.as_millis());
    Ok(options.options([
        ("statement_timeout", ms(settings.statement_timeout)),
        ("lock_timeout", ms(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", ms(settings.call_timeout)),
        ("plan_cache_mode", "force_generic_plan".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("enable_hashjoin", "off".to_owned()),
        ("enable_mergejoin", "off".to_owned()),
        ("jit", "off".to_owned()),
    ]))
}

#[async_trait]
impl Store for PostgresStore {
    async fn lead(&self, shards: &[ShardId], holder: &str) -> Result<Leadership, StoreError> {
        self.noted(lead::lead(self, shards, holder).await)
    }

    async fn renew(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.noted(lead::renew(self, fences).await)
    }

    async fn release(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.noted(lead::release(self, fences).await)
    }

    async fn attend(&self, holder: &str, leaders: u32) -> Result<Roll, StoreError> {
        self.noted(roll::attend(self, holder, leaders).await)
    }

    async fn depart(&self, holder: &str) -> Result<(), StoreError> {
        self.noted(roll::depart(self, holder).await)
    }

    async fn raise(&self, fence: &Fence, to: i64) -> Result<Fence, StoreError> {
        self.noted(lead::raise(self, fence, to).await)
    }

    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError> {
        self.noted(lead::position(self, shard).await)
    }

    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError> {
        self.noted(revisions::put(self, revision).await)
    }

    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError> {
        self.noted(revisions::load(self, id).await)
    }

    async fn put_head(&self, head: &Head, fence: &Fence) -> Result<(), StoreError> {
        self.noted(heads::put(self, head, fence).await)
    }

    async fn drop_head(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), StoreError> {
        self.noted(heads::remove(self, namespace, name, fence).await)
    }

    async fn head(&self, namespace: &str, name: &str) -> Result<Option<Head>, StoreError> {
        self.noted(heads::head(self, namespace, name).await)
    }

    async fn head_names(
        &self,
        after: Option<(String, String)>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.noted(heads::names(self, after, limit).await)
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let written = self.noted(commit::commit(self, batch).await);
        if written.is_ok() {
            self.signs.wrote();
        }
        written
    }

    async fn live_runs(&self, shard: ShardId) -> Result<Vec<RunId>, StoreError> {
        self.noted(load::live_runs(self, shard).await)
    }

    async fn runs(&self, ids: &[RunId]) -> Result<Vec<Result<Option<RunRecord>, StoreError>>, StoreError> {
        self.noted(load::runs(self, ids).await)
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.noted(load::run(self, id).await)
    }

    async fn run_row(&self, id: &RunId) -> Result<Option<RunRow>, StoreError> {
        self.noted(load::row_of_run(self, id).await)
    }

    async fn which_are_there(&self, ids: &[RunId]) -> Result<BTreeSet<RunId>, StoreError> {
        self.noted(load::which_are_there(self, ids).await)
    }

    async fn find_runs(&self, namespace: &str, name: &str, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.noted(load::find_runs(self, (namespace, name), limit).await)
    }

    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError> {
        self.noted(history::history(self, entity, limit).await)
    }

    async fn transitions(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.noted(history::transitions(self, shard, (after, limit)).await)
    }

    async fn attempts(&self, task: &TaskRunId, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
        history::attempts(self, task, limit).await
    }

    async fn put_logs(&self, lines: &[LogLine]) -> Result<usize, StoreError> {
        self.noted(logs::put(self, lines).await)
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError> {
        self.noted(logs::read(self, query).await)
    }

    async fn claim_cluster(&self, id: &str, adopt: bool) -> Result<(), StoreError> {
        self.noted(cluster::claim(self, id, adopt).await)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.noted(look::look(self).await)
    }
}

/// What fails here is no sign of how the database is for runs: a table was busy, or a right is missing that they do not need.
#[async_trait]
impl Upkeep for PostgresStore {
    async fn add_days(&self) -> Result<u32, StoreError> {
        days::add(self).await
    }

    async fn expire(&self, ask: &Expiry, cursor: Cursor) -> Result<(Removed, Option<Cursor>), StoreError> {
        expire::expire(self, ask, cursor).await
    }
}
