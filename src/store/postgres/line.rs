//! The connections that verbs use, one for each.
//!
//! The one that was used last is kept at hand. A pool takes the one that has rested longest, whose server process has
//! to fetch anew what it needs, and asks each that comes back whether it is still there: a trip for each verb, beside
//! the next one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use scopeguard::ScopeGuard;
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::store::{
    StoreError,
    postgres::{errors::Failed, signs::Signs},
};

/// Idle for longer, a connection is tried before it is used: the server may have been restarted since.
pub(super) const TRY_AFTER: Duration = Duration::from_secs(2);
/// After so long without a verb what a large one left in its buffers is given back.
const SHRINK_AFTER: Duration = Duration::from_millis(100);
/// After so long the pool looks whether a connection is too old.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// All connections.
pub(super) struct Lines {
    pool: PgPool,
    call_timeout: Duration,
    hand: Arc<Hand>,
}

/// A connection in use. Unless the verb came to its end, it is closed instead of used again: an answer that was not
/// waited for may still be under way on it.
pub(super) struct Line {
    pub(super) bound: Duration,
    conn: ScopeGuard<PoolConnection<Postgres>, fn(PoolConnection<Postgres>)>,
    kept_since: Duration,
    hand: Arc<Hand>,
    _in_use: InUse,
}

/// Counted for as long as it lives.
struct InUse(Arc<Signs>);

/// The connection at hand, if nobody uses it.
struct Hand {
    kept: Mutex<Option<Kept>>,
    pool: PgPool,
    clock: Clock,
    /// What a connection is given back with, wherever the store is dropped.
    runtime: Handle,
}

struct Kept {
    conn: PoolConnection<Postgres>,
    since: Duration,
    used: Duration,
}

impl Lines {
    /// Those of this pool. Only within a runtime.
    pub(super) fn new(pool: PgPool, call_timeout: Duration) -> Lines {
        let (kept, clock, runtime) = (Mutex::default(), Clock::system(), Handle::current());
        let hand = Arc::new(Hand { kept, pool: pool.clone(), clock, runtime });
        Lines { pool, call_timeout, hand }
    }

    /// A connection for one verb.
    pub(super) async fn line(&self, signs: &Arc<Signs>) -> Result<Line, StoreError> {
        let (conn, kept_since) = match self.hand.take() {
            Some(kept) => (kept.conn, kept.since),
            None => (self.another(signs).await?, self.hand.clock.running()),
        };
        signs.taken();
        let close: fn(PoolConnection<Postgres>) = |mut conn| conn.close_on_drop();
        let (conn, in_use) = (scopeguard::guard(conn, close), InUse(signs.clone()));
        Ok(Line { bound: self.call_timeout, conn, kept_since, hand: self.hand.clone(), _in_use: in_use })
    }

    async fn another(&self, signs: &Signs) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(|e| match e {
            sqlx::Error::PoolTimedOut => signs.none_free(self.pool.options().get_max_connections()).into(),
            e => Failed::Sql(e).before(),
        })
    }

    /// Closes whatever is idle: the next ones are made anew, to wherever the address leads then.
    pub(super) fn renew(&self) {
        let kept = self.hand.kept().take();
        for mut idle in
            kept.map(|kept| kept.conn).into_iter().chain(std::iter::from_fn(|| self.pool.try_acquire()))
        {
            idle.close_on_drop();
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        // From its first moment on nothing is kept any more.
        let closing = self.pool.close();
        drop(self.hand.kept().take());
        closing.await;
    }
}

impl Hand {
    fn take(&self) -> Option<Kept> {
        let mut kept = self.kept().take()?;
        let rested = self.clock.running().saturating_sub(kept.used);
        if rested > SHRINK_AFTER {
            kept.conn.shrink_buffers();
        }
        // What rested for longer is given back to the pool, which tries it.
        (rested <= TRY_AFTER).then_some(kept)
    }

    /// Keeps it, unless somebody may be waiting for it.
    fn keep(&self, conn: PoolConnection<Postgres>, since: Duration) {
        let used = self.clock.running();
        let free = self.pool.num_idle() > 0 || self.pool.size() < self.pool.options().get_max_connections();
        if free && used.saturating_sub(since) < KEPT_FOR {
            let mut kept = self.kept();
            if kept.is_none() && !self.pool.is_closed() {
                *kept = Some(Kept { conn, since, used });
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // Each verb leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _runtime = self.runtime.enter();
        drop(self.kept().take());
    }
}

impl Line {
    pub(super) fn sql(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// The verb read its answer to the end.
    pub(super) fn done(self) {
        self.hand.keep(ScopeGuard::into_inner(self.conn), self.kept_since);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.given_back();
    }
}
