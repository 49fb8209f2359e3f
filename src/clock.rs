//! The one place that asks what time it is.
//!
//! A manual clock follows tokio's own paused clock, so that a test on one thread decides when time passes, and
//! every sleep in the program obeys it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::time::later;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub struct Clock {
    manual: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { manual: None }
    }

    /// A clock that says `start` now and then follows tokio's clock, which the caller has paused.
    pub fn manual(start: Timestamp) -> Clock {
        Clock { manual: Some((start, Instant::now())) }
    }

    /// Now, to the microsecond: what a store can keep, so that a row in memory equals the row that was stored.
    pub fn now(&self) -> Timestamp {
        let now = match &self.manual {
            None => Timestamp::now(),
            Some((start, began)) => later(*start, began.elapsed()),
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Waits until `when`.
    pub async fn sleep_until(&self, when: Timestamp) {
        let wait = when.duration_since(self.now());
        if let Ok(wait) = Duration::try_from(wait) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits so long.
    pub async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
