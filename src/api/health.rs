//! How the operator is: a few named checks that others set, and what probes are told of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::time::between;

/// How often the database and Redis are asked for a sign of life.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for one such sign.
pub const LOOK_WITHIN: Duration = Duration::from_secs(4);
/// The database may be away for so long before the process is not ready any more: a short fail-over is no reason.
pub const READY_DESPITE: Duration = Duration::from_secs(15);
/// The event loop stands still when it has not ticked for so long.
pub const STANDSTILL: Duration = Duration::from_secs(30);
/// Longest reason that is kept, in characters.
const WHY_MAX: usize = 300;
/// What there is to say before the first look.
const UNKNOWN: &str = "not looked at yet";

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Does the store answer?
    Database,
    /// Does the queue's server answer?
    Redis,
    /// Are the watches in step with the API server? Of a standby: it has none.
    Kubernetes,
    /// Does this process lead, or stand by to?
    Leadership,
}

impl Check {
    /// Every check.
    pub const ALL: [Check; 4] = [Check::Database, Check::Redis, Check::Kubernetes, Check::Leadership];

    /// Its name in answers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Database => "database",
            Check::Redis => "redis",
            Check::Kubernetes => "kubernetes",
            Check::Leadership => "leadership",
        }
    }
}

/// What is wrong with something outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ill {
    /// In a word of a closed list, which everybody may be told.
    pub label: &'static str,
    /// What there is to say of it.
    pub why: String,
    /// What a person is to do about it, if that is known.
    pub advice: Option<&'static str>,
}

impl Ill {
    /// It does not answer.
    pub fn unreachable(why: impl Into<String>) -> Ill {
        Ill { label: "unreachable", why: why.into(), advice: None }
    }
}

/// The state of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Is all well?
    pub good: bool,
    /// Has all been well once?
    pub seen: bool,
    /// What there is to say of it.
    pub why: String,
    /// Since when it has been good, or has not been.
    pub since: Timestamp,
    /// What is wrong, in a word, if there is one for it.
    pub label: Option<&'static str>,
    /// What a person is to do about it, if that is known.
    pub advice: Option<&'static str>,
}

/// The states of all checks. Nothing is good before somebody says so.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    states: BTreeMap<Check, State>,
    ticked: Timestamp,
    leaving: bool,
}

/// The answer to `GET /health`, which tells states and no reasons: everybody may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `healthy`; `degraded`: runs wait for something; `unhealthy`: nothing can be written.
    pub status: &'static str,
    /// Of this program.
    pub version: &'static str,
    /// Always `relay`.
    pub service: &'static str,
    /// Does the database answer?
    pub database: bool,
    /// Does Redis answer?
    pub redis: bool,
}

/// The answer to `GET /health` on loopback, with the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What everybody is told.
    #[serde(flatten)]
    pub summary: Summary,
    /// Every check.
    pub checks: Vec<Finding>,
}

/// The state of one check, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which one.
    pub check: &'static str,
    /// Is all well?
    pub good: bool,
    /// Since when it has been so.
    pub since: Timestamp,
    /// What is wrong, in a word, if there is one for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// What there is to say of it.
    pub why: String,
    /// What a person is to do about it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

impl Summary {
    /// Can anything be written?
    pub fn is_well(&self) -> bool {
        self.status != "unhealthy"
    }
}

impl Health {
    /// Nothing is good yet.
    pub fn new(clock: Clock) -> Health {
        let now = clock.now();
        let unknown = State {
            good: false,
            seen: false,
            why: UNKNOWN.to_owned(),
            since: now,
            label: None,
            advice: None,
        };
        let states = Check::ALL.into_iter().map(|check| (check, unknown.clone())).collect();
        Health { clock, inner: Mutex::new(Inner { states, ticked: now, leaving: false }) }
    }

    /// All is well with it.
    pub fn good(&self, check: Check, why: &str) {
        self.set(check, true, why, (None, None));
    }

    /// Something is wrong with it.
    pub fn bad(&self, check: Check, why: &str) {
        self.set(check, false, why, (None, None));
    }

    /// Something is wrong with it, and there is a word for that.
    pub fn ill(&self, check: Check, ill: &Ill) {
        self.set(check, false, &ill.why, (Some(ill.label), ill.advice));
    }

    /// The process was told to end: it is not ready any more.
    pub fn leave(&self) {
        self.inner().leaving = true;
    }

    /// The state of one check.
    pub fn state(&self, check: Check) -> Option<State> {
        self.inner().states.get(&check).cloned()
    }

    /// The states of all checks.
    pub fn states(&self) -> BTreeMap<Check, State> {
        self.inner().states.clone()
    }

    fn set(
        &self,
        check: Check,
        good: bool,
        why: &str,
        (label, advice): (Option<&'static str>, Option<&'static str>),
    ) {
        let now = self.clock.now();
        let why: String = why.chars().take(WHY_MAX).collect();
        let old = {
            let mut inner = self.inner();
            let old = inner.states.get(&check).cloned();
            let since = old.as_ref().filter(|old| old.good == good).map_or(now, |old| old.since);
            let seen = good || old.as_ref().is_some_and(|old| old.seen);
            inner.states.insert(check, State { good, seen, why: why.clone(), since, label, advice });
            old
        };
        let Some(old) = old else { return };
        let check = check.name();
        // Whoever waits for something at the start says so itself.
        if old.seen && !good && (old.good || old.label != label) {
            let then = advice.map(|advice| format!("; what to do: {advice}")).unwrap_or_default();
            tracing::warn!(check, state = label, "The check `{check}` fails: {why}{then}");
        } else if old.seen && !old.good && good {
            tracing::info!(check, "The check `{check}` is good again: {why}");
        }
    }

    /// Does the event loop go round? Nothing else counts here: restarting this process mends no database.
    pub fn lives(&self) -> bool {
        between(self.inner().ticked, self.clock.now()) < STANDSTILL
    }

    /// May this process be counted on? A line a check, as the API server writes them, and the verdict. Reasons may hold
    /// addresses and names, which are not for everybody.
    pub fn readiness(&self) -> (bool, String) {
        let now = self.clock.now();
        let inner = self.inner();
        let mut ready = !inner.leaving;
        let mut text = String::new();
        for (check, state) in &inner.states {
            let counts = match check {
                Check::Redis => false,
                // Never seen is not the same as away for a moment.
                Check::Database => !state.seen || between(state.since, now) >= READY_DESPITE,
                Check::Kubernetes | Check::Leadership => true,
            };
            ready &= state.good || !counts;
            let mark = if state.good { '+' } else { '-' };
            // Writing to a String cannot fail.
            let _ = match state.label {
                Some(label) => writeln!(text, "[{mark}]{} since {}: {label}", check.name(), state.since),
                None => writeln!(text, "[{mark}]{} since {}", check.name(), state.since),
            };
        }
        if inner.leaving {
            text.push_str("[-]leaving: this process was told to end\n");
        }
        (ready, text)
    }

    /// The answer to `GET /health`.
    pub fn summary(&self) -> Summary {
        let inner = self.inner();
        let good = |check: Check| inner.states.get(&check).is_some_and(|state| state.good);
        let status = match (good(Check::Database), Check::ALL.into_iter().all(good)) {
            (_, true) => "healthy",
            (true, false) => "degraded",
            (false, false) => "unhealthy",
        };
        Summary {
            status,
            version: env!("CARGO_PKG_VERSION"),
            service: "relay",
            database: good(Check::Database),
            redis: good(Check::Redis),
        }
    }

    /// The answer to `GET /health` on loopback.
    pub fn report(&self) -> Report {
        let summary = self.summary();
        let states = self.states();
        let found = states.into_iter().map(|(check, state)| Finding {
            check: check.name(),
            good: state.good,
            since: state.since,
            state: state.label,
            why: state.why,
            advice: state.advice,
        });
        Report { summary, checks: found.collect() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each verb leaves whole states behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sign of life of something outside; the error says why there is none.
pub type Ping = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Ill>> + Send + Sync>;

/// Ticks, until `stop`.
pub async fn tick(health: Arc<Health>, stop: CancellationToken) {
    loop {
        health.inner().ticked = health.clock.now();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = health.clock.sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Asks for a sign of life again and again, until `stop`.
pub async fn look(health: Arc<Health>, check: Check, ping: Ping, stop: CancellationToken) {
    loop {
        match tokio::time::timeout(LOOK_WITHIN, ping()).await {
            Ok(Ok(())) => health.good(check, "it answers"),
            Ok(Err(ill)) => health.ill(check, &ill),
            Err(_) => {
                let why = format!("no answer within {} s", LOOK_WITHIN.as_secs());
                health.ill(check, &Ill::unreachable(why));
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = health.clock.sleep(LOOK_EVERY) => {}
        }
    }
}
