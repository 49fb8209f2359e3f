//! What calls met, for whoever asks how the database is: a look that only reads finds no disk full and no right missing.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use crate::store::{Cause, Outage};

/// A failed write is told at so many looks, unless a commit came through since: whoever could not write tries again
/// sooner than that.
const TOLD: u8 = 3;

/// What calls met.
#[derive(Default)]
pub(super) struct Signs {
    met: Mutex<Option<(Outage, u8)>>,
    in_use: AtomicU32,
}

impl Signs {
    /// A call failed so.
    pub(super) fn failed(&self, outage: &Outage) {
        if matches!(outage.cause, Cause::Full | Cause::Unfit) {
            *self.met() = Some((outage.clone(), TOLD));
        }
    }

    /// Rows were written.
    pub(super) fn wrote(&self) {
        *self.met() = None;
    }

    /// What a look tells that itself found nothing.
    pub(super) fn tell(&self) -> Result<(), Outage> {
        let mut met = self.met();
        let Some((outage, told)) = met.as_mut() else { return Ok(()) };
        let outage = outage.clone();
        *told -= 1;
        if *told == 0 {
            *met = None;
        }
        Err(outage)
    }

    /// A connection is in use from now on.
    pub(super) fn taken(&self) {
        self.in_use.fetch_add(1, Ordering::Relaxed);
    }

    /// It is not any longer.
    pub(super) fn given_back(&self) {
        self.in_use.fetch_sub(1, Ordering::Relaxed);
    }

    /// No connection came free, and none could be made.
    pub(super) fn none_free(&self, max: u32) -> Outage {
        match self.in_use.load(Ordering::Relaxed) >= max {
            true => Outage::new(Cause::Busy, format!("every connection is in use, all {max} of them")),
            false => Outage::new(Cause::Unreachable, "no connection could be made in time"),
        }
    }

    fn met(&self) -> MutexGuard<'_, Option<(Outage, u8)>> {
        // Each verb leaves it whole.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
