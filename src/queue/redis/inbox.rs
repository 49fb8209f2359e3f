//! The reports of all pools in one rising row, as the conductor reads them. Pure books; others speak to Redis.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use crate::link::EntryId;
use crate::model::job::Report;
use crate::queue::{Position, Told};

/// Reports that were read and are not settled; when there are so many, no more are read.
const MOST: usize = 10_000;
/// And so many bytes of them.
const MOST_BYTES: usize = 64 << 20;

/// Reports by position. A position is given when a report is read, and never twice in a process.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    last: u64,
    bytes: usize,
    reports: BTreeMap<u64, Kept>,
    /// How far each pool's stream was read, in the incarnation of now.
    cursors: BTreeMap<Arc<str>, EntryId>,
    /// How far each pool's stream is settled and not yet trimmed.
    owed: BTreeMap<Arc<str>, EntryId>,
    incarnation: Arc<str>,
}

#[derive(Debug)]
struct Kept {
    pool: Arc<str>,
    at: EntryId,
    incarnation: Arc<str>,
    report: Report,
    bytes: usize,
}

impl Inbox {
    /// Reads on in another incarnation, from its start. What was read before is there until it is settled.
    pub(super) fn enter(&mut self, incarnation: &Arc<str>) {
        if self.incarnation != *incarnation {
            self.incarnation = incarnation.clone();
            self.cursors.clear();
            self.owed.clear();
        }
    }

    /// Of other pools nothing is read, settled or trimmed any longer: who leads them begins with what is in their streams.
    pub(super) fn keep_only(&mut self, leads: impl Fn(&str) -> bool) {
        self.reports.retain(|_, kept| leads(&kept.pool));
        self.bytes = self.reports.values().map(|kept| kept.bytes).sum();
        self.cursors.retain(|pool, _| leads(pool));
        self.owed.retain(|pool, _| leads(pool));
    }

    /// How far a pool's stream was read.
    pub(super) fn cursor(&self, pool: &str) -> EntryId {
        self.cursors.get(pool).copied().unwrap_or_default()
    }

    /// Goes on behind an entry; false when it was read before.
    pub(super) fn pass(&mut self, pool: &Arc<str>, at: EntryId) -> bool {
        let cursor = self.cursors.entry(pool.clone()).or_default();
        let new = at > *cursor;
        if new {
            *cursor = at;
        }
        new
    }

    /// Keeps a report of an entry that was just passed.
    pub(super) fn keep(&mut self, pool: &Arc<str>, at: EntryId, report: Report, bytes: usize) {
        self.last += 1;
        self.bytes += bytes;
        let incarnation = self.incarnation.clone();
        self.reports.insert(self.last, Kept { pool: pool.clone(), at, incarnation, report, bytes });
    }

    /// Is there room for more?
    pub(super) fn has_room(&self) -> bool {
        self.reports.len() < MOST && self.bytes < MOST_BYTES
    }

    /// The newest report that is not settled.
    pub(super) fn newest(&self) -> Position {
        self.reports.last_key_value().map_or(Position::START, |(at, _)| Position(*at))
    }

    /// How many reports there are after a position.
    pub(super) fn count(&self, after: Position) -> usize {
        self.reports.range((Excluded(after.0), Unbounded)).count()
    }

    /// Reports after a position.
    pub(super) fn after(&self, after: Position, max: usize) -> Vec<Told> {
        let told = |(at, kept): (&u64, &Kept)| Told {
            at: Position(*at),
            pool: kept.pool.clone(),
            report: kept.report.clone(),
        };
        self.reports.range((Excluded(after.0), Unbounded)).take(max).map(told).collect()
    }

    /// Forgets reports up to a position.
    pub(super) fn settle(&mut self, up_to: Position) {
        while let Some(first) = self.reports.first_entry().filter(|first| *first.key() <= up_to.0) {
            let kept = first.remove();
            self.bytes -= kept.bytes;
            // Entries of another incarnation went with it, and their ids mean nothing in this one.
            if kept.incarnation == self.incarnation {
                let owed = self.owed.entry(kept.pool).or_default();
                *owed = (*owed).max(kept.at);
            }
        }
    }

    /// How far each pool's stream may be trimmed.
    pub(super) fn owed(&self) -> BTreeMap<Arc<str>, EntryId> {
        self.owed.clone()
    }

    /// These were trimmed.
    pub(super) fn trimmed(&mut self, incarnation: &Arc<str>, trimmed: &BTreeMap<Arc<str>, EntryId>) {
        if self.incarnation == *incarnation {
            self.owed.retain(|pool, at| trimmed.get(pool).is_none_or(|done| *done < *at));
        }
    }
}
