//! Connections, and what a failure on one means.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::queue::{
    QueueError,
    postgres::{PostgresSettings, Server},
};

/// Idle for longer, a connection is tried before it is used: the server may have been restarted since.
const TRY_AFTER: Duration = Duration::from_secs(2);
/// The server works on a statement for at most this share of the wait for its answer.
const STATEMENT_SHARE: f64 = 0.6;
/// Longest wait of a statement for a lock.
const LOCK_TIMEOUT: &str = "5s";

/// Connections that are made when they are needed. Every statement is written for one plan, look-ups by an index, and the
/// sessions are told so.
pub(super) fn pool(settings: &PostgresSettings) -> Result<PgPool, QueueError> {
    let options = PgConnectOptions::from_str(&settings.url)
        .map_err(|e| QueueError::Unavailable(format!("the database URL cannot be read: {e}")))?;
    let statement = settings.call_timeout.mul_f64(STATEMENT_SHARE);
    let options = options.application_name("relay-queue").options([
        ("statement_timeout", format!("{}ms", statement.as_millis()).as_str()),
        ("lock_timeout", LOCK_TIMEOUT),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(settings.call_timeout)
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > TRY_AFTER {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// A connection in use. Unless the verb came to its end, it is closed instead of used again: an answer that was not
/// waited for may still be under way on it.
pub(super) struct Line {
    conn: PoolConnection<Postgres>,
    bound: Duration,
    done: bool,
}

impl Line {
    pub(super) fn sql(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// Longest wait for an answer.
    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.done {
            self.conn.close_on_drop();
        }
    }
}

impl Server {
    /// A connection for one verb.
    pub(super) async fn line(&self) -> Result<Line, QueueError> {
        let conn = self.pool.acquire().await.map_err(failed)?;
        Ok(Line { conn, bound: self.settings.call_timeout, done: false })
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(
    bound: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, QueueError> {
    match tokio::time::timeout(bound, answer).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(QueueError::Unavailable(format!("no answer within {} s", bound.as_secs()))),
    }
}

/// Every failure may pass, and every verb may be said again.
pub(super) fn failed(e: sqlx::Error) -> QueueError {
    let sqlx::Error::Database(e) = &e else {
        return QueueError::Unavailable(e.to_string());
    };
    let code = e.code().unwrap_or_default();
    // A table or a column that is not there.
    let hint = match code.as_ref() {
        "42P01" | "42703" => {
            "; is the database migrated as far as this relay needs? `relay migrate up` does it"
        }
        _ => "",
    };
    QueueError::Unavailable(format!("{} ({code}){hint}", e.message()))
}
