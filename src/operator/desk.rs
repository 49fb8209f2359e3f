//! In which order, and how often, statuses are written: at most one a second of a run and 66 a second in all (with Events, a hundred),
//! those of runs that ended first, then those that nobody has seen yet. Pure: the time is handed in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::model::{ids::RunId, time::later};

/// Between two writes of one run's status.
pub const EACH: Duration = Duration::from_secs(1);
/// Between two writes of any.
pub const ALL: Duration = Duration::from_millis(15);

/// How often in a row a write is made anew at once because the object had changed.
const OUTDATED_AT_ONCE: u32 = 3;
/// The longest wait for an API server that does not answer.
const LONGEST_UNREACHABLE: Duration = Duration::from_secs(60);
/// The first and the longest wait after a refusal.
const FIRST_REFUSED: Duration = Duration::from_secs(10);
const LONGEST_REFUSED: Duration = Duration::from_secs(300);

/// How urgent a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The run has ended, or waits for somebody to mend it.
    Final,
    /// Nothing was said of the run yet.
    First,
    /// It has gone on.
    Further,
}

/// The writes that are to be made.
#[derive(Debug, Default)]
pub struct Desk {
    lanes: [BTreeSet<(Timestamp, RunId)>; 3],
    of: BTreeMap<RunId, (Lane, Timestamp)>,
    /// Under way, and what came in meanwhile.
    busy: BTreeMap<RunId, Option<Lane>>,
    /// When a status was last written.
    wrote: BTreeMap<RunId, Timestamp>,
    /// When the next write of any may be.
    slot: Option<Timestamp>,
    /// How often in a row a run's write failed, and before when it is not tried again.
    failed: BTreeMap<RunId, (u32, Timestamp)>,
}

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The object was another one: it is made anew for that.
    Outdated,
    /// It may pass.
    Unreachable,
    /// Somebody must mend something first.
    Refused,
}

impl Desk {
    /// A run's status is to be written.
    pub fn mark(&mut self, run: &RunId, lane: Lane, now: Timestamp) {
        let wrote = self.wrote.get(run).map(|at| later(*at, EACH));
        let at = if lane == Lane::Further { wrote.map_or(now, |at| at.max(now)) } else { now };
        self.put(run, lane, at);
    }

    /// The write of a run that was taken failed: it comes again, later and later.
    pub fn again(&mut self, run: &RunId, lane: Lane, why: Failed, now: Timestamp) {
        let lane = self.busy.remove(run).flatten().map_or(lane, |meanwhile| meanwhile.min(lane));
        let times = self.failed.get(run).map_or(1, |(times, _)| times.saturating_add(1));
        let doubled = |first: Duration, most| first.saturating_mul(1 << (times - 1).min(16)).min(most);
        let wait = match why {
            Failed::Outdated if times <= OUTDATED_AT_ONCE => Duration::ZERO,
            Failed::Outdated | Failed::Unreachable => doubled(EACH, LONGEST_UNREACHABLE),
            Failed::Refused => doubled(FIRST_REFUSED, LONGEST_REFUSED),
        };
        let at = later(now, wait);
        self.failed.insert(run.clone(), (times, at));
        self.put(run, lane, at);
    }

    fn put(&mut self, run: &RunId, lane: Lane, at: Timestamp) {
        if let Some(meanwhile) = self.busy.get_mut(run) {
            *meanwhile = Some(meanwhile.map_or(lane, |other| other.min(lane)));
            return;
        }
        let (lane, at) = match self.of.remove(run) {
            Some((old, due)) => {
                self.lanes[old as usize].remove(&(due, run.clone()));
                (lane.min(old), at.min(due))
            }
            None => (lane, at),
        };
        // News do not make a write succeed that just failed.
        let at = self.failed.get(run).map_or(at, |(_, held)| at.max(*held));
        self.of.insert(run.clone(), (lane, at));
        self.lanes[lane as usize].insert((at, run.clone()));
    }

    /// Takes the run whose turn it is; whoever takes it says `done` or `again` afterwards.
    pub fn take(&mut self, now: Timestamp) -> Option<(RunId, Lane)> {
        for lane in [Lane::Final, Lane::First, Lane::Further] {
            let line = &mut self.lanes[lane as usize];
            if line.first().is_some_and(|(at, _)| *at <= now)
                && let Some((_, run)) = line.pop_first()
            {
                self.of.remove(&run);
                self.busy.insert(run.clone(), None);
                return Some((run, lane));
            }
        }
        None
    }

    /// When the next turn comes.
    pub fn next(&self) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|line| line.first().map(|(at, _)| *at)).min()
    }

    /// When the write of a run that was taken may be sent.
    pub fn slot(&mut self, run: &RunId, now: Timestamp) -> Timestamp {
        let at = self.slot.map_or(now, |slot| slot.max(now));
        self.slot = Some(later(at, ALL));
        self.wrote.insert(run.clone(), at);
        at
    }

    /// A run that was taken is served.
    pub fn done(&mut self, run: &RunId, now: Timestamp) {
        self.failed.remove(run);
        if let Some(Some(lane)) = self.busy.remove(run) {
            // The first has been said: what came meanwhile goes further.
            self.mark(run, if lane == Lane::First { Lane::Further } else { lane }, now);
        }
    }

    /// Nothing more will be said of a run.
    pub fn forget(&mut self, run: &RunId) {
        self.wrote.remove(run);
        self.failed.remove(run);
    }
}
