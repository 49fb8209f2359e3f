//! Does the operator hear the API server? Each watch notes what it heard last, and a ping does where nothing happens: a
//! watch that is opened anew tells nothing of it until an object changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::time::between;
use crate::operator::api::Cluster;

/// How patient the pulses are.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Errors are borne with for so long: an API server that starts again is no trouble.
    pub bear: Duration,
    /// Without a further error for so long, there was no trouble any more. Longer than a watch waits between two tries.
    pub quiet: Duration,
    /// Between two pings.
    pub ping_every: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            bear: Duration::from_secs(60),
            quiet: Duration::from_secs(90),
            ping_every: Duration::from_secs(10),
        }
    }
}

/// By which the pulse of the ping is known.
const PING: &str = "the API server";

/// What cannot be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deaf {
    /// Of which kind, or by which call.
    pub of: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// The last error.
    pub why: String,
}

/// The pulses of all watches, and of the ping.
#[derive(Debug)]
pub struct Pulses {
    clock: Clock,
    bounds: Bounds,
    /// Errors since something was heard last, by the name of the watch.
    errors: Mutex<BTreeMap<&'static str, Errors>>,
}

#[derive(Debug)]
struct Errors {
    first: Timestamp,
    last: Timestamp,
    why: String,
}

impl Pulses {
    /// All is well until somebody says otherwise.
    pub fn new(clock: Clock, bounds: Bounds) -> Pulses {
        Pulses { clock, bounds, errors: Mutex::default() }
    }

    /// Something was heard.
    pub fn good(&self, of: &'static str) {
        self.errors().remove(of);
    }

    /// It could not be heard.
    pub fn bad(&self, of: &'static str, why: &str) {
        let now = self.clock.now();
        let mut errors = self.errors();
        let known = errors.get(of).filter(|known| between(known.last, now) < self.bounds.quiet);
        let first = known.map_or(now, |known| known.first);
        errors.insert(of, Errors { first, last: now, why: why.to_owned() });
    }

    /// What has not been heard for too long, the longest first.
    pub fn deaf(&self) -> Option<Deaf> {
        let now = self.clock.now();
        let errors = self.errors();
        let lasting = errors.iter().filter(|(_, known)| {
            between(known.last, now) < self.bounds.quiet && between(known.first, now) >= self.bounds.bear
        });
        let (of, known) = lasting.min_by_key(|(_, known)| known.first)?;
        Some(Deaf { of, since: known.first, why: known.why.clone() })
    }

    /// Asks the API server for a sign of life again and again, until `stop`.
    pub async fn ping(&self, cluster: &Cluster, stop: &CancellationToken) {
        loop {
            match cluster.id().await {
                Ok(_) => self.good(PING),
                Err(error) => self.bad(PING, &error.to_string()),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.clock.sleep(self.bounds.ping_every) => {}
            }
        }
    }

    fn errors(&self) -> MutexGuard<'_, BTreeMap<&'static str, Errors>> {
        // Each verb leaves it whole.
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
