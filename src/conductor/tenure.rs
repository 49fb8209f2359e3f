//! For how long this process may believe that it leads, and how it goes on leading whatever else it waits for.
//!
//! The store lets another one take a shard over `TAKEOVER_AFTER` after the last renewal. So whoever asked for a renewal and
//! got it leads for a while that is shorter, counted from the moment before it asked. Past that it says nothing to
//! anybody until the store has renewed its leadership; commits are fenced by the store itself.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::conductor::ConductorError;
use crate::model::{
    change::Fence,
    ids::ShardId,
    time::{between, later},
};
use crate::store::{Store, StoreError, TAKEOVER_AFTER};

/// How often leadership is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How soon after a failure.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a renewal is believed; what was said last has the rest of the time to arrive.
pub const TRUST: Duration = Duration::from_secs(TAKEOVER_AFTER.as_secs() - 1);
/// How often it is looked whether this process stood still, ...
const TICK: Duration = Duration::from_secs(1);
/// ... and how long it must have stood for that to count.
const STANDSTILL: Duration = Duration::from_secs(5);

/// The leadership of one conductor.
pub(super) struct Tenure {
    store: Arc<dyn Store>,
    clock: Clock,
    state: Mutex<State>,
    /// The store has renewed it.
    news: Notify,
}

struct State {
    fences: BTreeMap<ShardId, Fence>,
    /// Rises with each change of epochs: the answer to a renewal of older ones means nothing.
    round: u64,
    /// New epochs are being asked for: nobody knows which ones count.
    changing: bool,
    trusted_until: Option<Timestamp>,
    renew_due: Timestamp,
    /// By how long the clock had run.
    awake_since: Duration,
    failing: bool,
}

impl Tenure {
    pub(super) fn new(store: Arc<dyn Store>, clock: Clock) -> Tenure {
        let now = clock.now();
        let state = State {
            fences: BTreeMap::new(),
            round: 0,
            changing: false,
            trusted_until: None,
            renew_due: now,
            awake_since: clock.running(),
            failing: false,
        };
        Tenure { store, clock, state: Mutex::new(state), news: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New epochs are about to be asked for.
    pub(super) fn change(&self) {
        let mut state = self.state();
        state.changing = true;
        state.round += 1;
    }

    /// These are led from now on, and no others. `all_asked`: when all of them were asked for, if they were.
    pub(super) fn hold(&self, fences: &BTreeMap<ShardId, Fence>, all_asked: Option<Timestamp>) {
        let now = self.clock.now();
        let mut state = self.state();
        state.fences.clone_from(fences);
        state.changing = false;
        state.round += 1;
        state.renew_due = all_asked.map_or(now, |asked| later(asked, RENEW_EVERY));
        if let Some(asked) = all_asked {
            state.trusted_until = Some(later(asked, TRUST));
        }
    }

    /// Nothing is led any longer.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.fences.clear();
        state.round += 1;
        state.trusted_until = None;
    }

    /// Is it certain that this process leads?
    pub(super) fn trusted(&self) -> bool {
        let now = self.clock.now();
        self.state().trusted_until.is_some_and(|until| now < until)
    }

    /// The fence of a shard, while that is certain.
    pub(super) fn fence(&self, shard: ShardId) -> Option<Fence> {
        let now = self.clock.now();
        let state = self.state();
        state.trusted_until.filter(|until| now < *until)?;
        state.fences.get(&shard).copied()
    }

    /// Waits until it is certain.
    pub(super) async fn confirmed(&self) {
        loop {
            // Made before the look, so that what comes in between wakes it.
            let news = self.news.notified();
            if self.trusted() {
                return;
            }
            news.await;
        }
    }

    /// Since when this process has not stood still (a stopped process, a closed lid), by how long its clock had run: what
    /// stood still with it may not be blamed for its silence.
    pub(super) fn awake_since(&self) -> Duration {
        self.state().awake_since
    }

    /// Renews it for ever, beside everything else: no call that takes long costs the leadership. Ends when it is lost.
    pub(super) async fn keep(&self) -> ConductorError {
        tokio::select! {
            biased;
            never = self.watch() => match never {},
            lost = self.renewals() => lost,
        }
    }

    async fn renewals(&self) -> ConductorError {
        loop {
            let due = self.state().renew_due;
            self.clock.sleep_until(due).await;
            if let Err(lost) = self.ask().await {
                return lost;
            }
        }
    }

    async fn watch(&self) -> Infallible {
        loop {
            let before = self.clock.now();
            self.clock.sleep(TICK).await;
            let now = self.clock.now();
            if between(before, now) >= STANDSTILL {
                self.state().awake_since = self.clock.running();
            }
        }
    }

    /// Asks the store to renew it; true when it did.
    pub(super) async fn ask(&self) -> Result<bool, ConductorError> {
        let asked = self.clock.now();
        let (fences, round) = {
            let mut state = self.state();
            if state.changing {
                state.renew_due = later(asked, AGAIN_AFTER);
                return Ok(false);
            }
            (state.fences.values().copied().collect::<Vec<Fence>>(), state.round)
        };
        let answer = self.store.renew(&fences).await;
        let now = self.clock.now();
        let mut state = self.state();
        if state.round != round {
            return Ok(false);
        }
        match answer {
            Ok(()) => {
                state.trusted_until = state.trusted_until.max(Some(later(asked, TRUST)));
                state.renew_due = later(asked, RENEW_EVERY);
                if std::mem::take(&mut state.failing) {
                    tracing::info!("Leadership is renewed again");
                }
                self.news.notify_waiters();
                Ok(true)
            }
            Err(StoreError::Deposed { shard, .. }) => Err(ConductorError::Deposed(shard)),
            Err(error) => {
                state.renew_due = later(now, AGAIN_AFTER);
                if !std::mem::replace(&mut state.failing, true) {
                    tracing::warn!(error = %error, error.label = error.label(), "Leadership could not be renewed; trying again");
                }
                Ok(false)
            }
        }
    }
}
