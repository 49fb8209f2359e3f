//! A look at the transitions from outside: whoever asks for times cannot trust the clocks that the test puts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Between two looks; times are as exact as this.
const LOOK: Duration = Duration::from_millis(25);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(1);

/// When it was seen that more was committed.
pub struct Watch {
    seen: Arc<Mutex<Vec<Instant>>>,
    looks: JoinHandle<()>,
}

impl Watch {
    /// Looks until the value goes.
    pub fn start(runtime: &Runtime, url: String) -> Watch {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let looks = runtime.spawn(look(url, seen.clone()));
        Watch { seen, looks }
    }

    /// All moments so far.
    pub fn moments(&self) -> Vec<Instant> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looks.abort();
    }
}

async fn look(url: String, seen: Arc<Mutex<Vec<Instant>>>) {
    let (mut connection, mut last) = (None, None);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let known = connection.take();
        let answer = async {
            let mut connection: PgConnection = match known {
                Some(connection) => connection,
                None => PgConnection::connect(&url).await?,
            };
            let row = sqlx::query("select coalesce(sum(seq), 0)::bigint from shards");
            let position: i64 = row.fetch_one(&mut connection).await?.get(0);
            Ok::<_, sqlx::Error>((connection, position))
        };
        // It may be away: that is what is measured.
        if let Ok(Ok((healthy, position))) = tokio::time::timeout(ANSWER, answer).await {
            connection = Some(healthy);
            if last.is_some_and(|last| last != position) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
            last = Some(position);
        }
    }
}
