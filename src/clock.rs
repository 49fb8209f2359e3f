//! The one place that asks what time it is.
//!
//! Time never goes back here: when the machine's clock is put back, this one goes on at its own pace until the other
//! has caught up, so that timers, renewals and sweeps stay due. A manual clock follows tokio's own paused clock, so
//! that a test on one thread decides when time passes, and every sleep in the program obeys it.

use std::fmt;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::model::time::later;

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The latest time known, and when that was: the clock is never behind it.
    floor: Arc<Mutex<Option<(Timestamp, Instant)>>>,
    began: Instant,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock::following(Timestamp::now)
    }

    /// A clock that says `start` now and then follows tokio's clock, which the caller has paused.
    pub fn manual(start: Timestamp) -> Clock {
        let began = Instant::now();
        Clock::following(move || later(start, began.elapsed()))
    }

    /// The same on a machine whose clock is put forward or back: by so many milliseconds beside the manual one.
    pub fn manual_beside(start: Timestamp, skew: Arc<AtomicI64>) -> Clock {
        let began = Instant::now();
        Clock::following(move || {
            let beside = SignedDuration::from_millis(skew.load(Ordering::Relaxed));
            let now = later(start, began.elapsed());
            now.checked_add(beside).unwrap_or(now)
        })
    }

    fn following(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock { wall: Arc::new(wall), floor: Arc::default(), began: Instant::now() }
    }

    /// Now, to the microsecond: what a store can keep, so that a row in memory equals the row that was stored.
    pub fn now(&self) -> Timestamp {
        let wall = (self.wall)();
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match *floor {
            Some((at, since)) if later(at, since.elapsed()) > wall => later(at, since.elapsed()),
            _ => {
                *floor = Some((wall, Instant::now()));
                wall
            }
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// For how long this clock has run: it takes no part in any step of the machine's clock, so it tells how long something
    /// lasted.
    pub fn running(&self) -> Duration {
        self.began.elapsed()
    }

    /// What was committed at `when` is past: the clock is not behind it, whatever the machine's clock says.
    pub fn at_least(&self, when: Timestamp) {
        if when > self.now() {
            *self.floor.lock().unwrap_or_else(PoisonError::into_inner) = Some((when, Instant::now()));
        }
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

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_second(n).expect("in range")
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_when_the_machines_clock_is_put_back() {
        let wall = Arc::new(AtomicI64::new(10_000));
        let shown = wall.clone();
        let clock = Clock::following(move || second(shown.load(Ordering::Relaxed)));
        assert_eq!(clock.now(), second(10_000));
        wall.store(6_400, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), second(10_005));
        wall.store(20_000, Ordering::Relaxed);
        assert_eq!(clock.now(), second(20_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_committed_is_past() {
        let clock = Clock::manual(second(100));
        clock.at_least(second(50));
        assert_eq!(clock.now(), second(100));
        clock.at_least(second(160));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), second(162));
    }
}
