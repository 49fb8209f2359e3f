//! Waiting for what may come back: longer and longer, several processes not in step, and said aloud now and then, not at every try.

use std::time::Duration;

use jiff::Timestamp;

use relay::clock::Clock;
use relay::model::time::{backoff, between};

use crate::wiring::operator::instance;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// A line in the log at most so often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// One wait for one thing.
pub struct Patience {
    clock: Clock,
    who: String,
    tries: u32,
    longest: Duration,
    said: Option<Timestamp>,
}

impl Patience {
    /// A wait that grows up to five seconds a try.
    pub fn new(clock: &Clock) -> Patience {
        let who = format!("{}-{}", instance(), std::process::id());
        Patience { clock: clock.clone(), who, tries: 0, longest: LONGEST, said: None }
    }

    /// One that never grows beyond this.
    pub fn at_most(clock: &Clock, longest: Duration) -> Patience {
        Patience { longest, ..Patience::new(clock) }
    }

    /// Is it time to say why? The first time, and then every ten seconds.
    pub fn speaks(&mut self) -> bool {
        let now = self.clock.now();
        let speaks = self.said.is_none_or(|said| between(said, now) >= SAY_EVERY);
        if speaks {
            self.said = Some(now);
        }
        speaks
    }

    /// Waits for the next try.
    pub async fn wait(&mut self) {
        self.tries = self.tries.saturating_add(1);
        self.clock.sleep(backoff(&self.who, self.tries, FIRST, self.longest)).await;
    }
}
