//! The reports of all pools in one rising row, as a conductor reads them.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use relay::{
    model::job::Report,
    queue::{Position, Told},
};

#[derive(Default)]
pub struct Inbox {
    last: u64,
    reports: BTreeMap<u64, Kept>,
    /// How far each pool's stream was read, and how far it is settled and not trimmed, in the incarnation of now.
    cursors: BTreeMap<Arc<str>, u64>,
    owed: BTreeMap<Arc<str>, u64>,
    incarnation: u64,
}

struct Kept {
    pool: Arc<str>,
    at: u64,
    incarnation: u64,
    report: Report,
}

impl Inbox {
    pub fn enter(&mut self, incarnation: u64) {
        if self.incarnation != incarnation {
            self.incarnation = incarnation;
            self.cursors.clear();
            self.owed.clear();
        }
    }

    /// Of pools that are led no longer nothing is known.
    pub fn lead(&mut self, led: impl Fn(&str) -> bool) {
        self.cursors.retain(|pool, _| led(pool));
        self.owed.retain(|pool, _| led(pool));
        self.reports.retain(|_, kept| led(&kept.pool));
    }

    pub fn cursor(&self, pool: &str) -> u64 {
        self.cursors.get(pool).copied().unwrap_or(0)
    }

    /// Takes in an entry, unless it was read before.
    pub fn take_in(&mut self, pool: &Arc<str>, at: u64, report: Report) {
        let cursor = self.cursors.entry(pool.clone()).or_default();
        if at > *cursor {
            *cursor = at;
            self.last += 1;
            let (pool, incarnation) = (pool.clone(), self.incarnation);
            self.reports.insert(self.last, Kept { pool, at, incarnation, report });
        }
    }

    pub fn newest(&self) -> Position {
        self.reports.last_key_value().map_or(Position::START, |(at, _)| Position(*at))
    }

    pub fn after(&self, after: Position, max: usize) -> Vec<Told> {
        let told = |(at, kept): (&u64, &Kept)| Told {
            at: Position(*at),
            pool: kept.pool.clone(),
            report: kept.report.clone(),
        };
        self.reports.range((Excluded(after.0), Unbounded)).take(max.max(1)).map(told).collect()
    }

    pub fn settle(&mut self, up_to: Position) {
        while let Some(first) = self.reports.first_entry().filter(|first| *first.key() <= up_to.0) {
            let kept = first.remove();
            if kept.incarnation == self.incarnation {
                let owed = self.owed.entry(kept.pool).or_default();
                *owed = (*owed).max(kept.at);
            }
        }
    }

    pub fn owed(&self) -> BTreeMap<Arc<str>, u64> {
        self.owed.clone()
    }

    pub fn trimmed(&mut self, incarnation: u64, trimmed: &BTreeMap<Arc<str>, u64>) {
        if self.incarnation == incarnation {
            self.owed.retain(|pool, at| trimmed.get(pool).is_none_or(|done| *done < *at));
        }
    }
}
