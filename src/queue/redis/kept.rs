//! Ends that a worker told, kept until they are committed: when Redis loses them, they are told again.

use std::collections::BTreeMap;

use crate::link::EntryId;
use crate::model::job::{JobId, Report};

/// Ends that a worker keeps at most; further ones wait, and so do their slots.
const MOST: usize = 10_000;
/// And so many bytes of them.
const MOST_BYTES: usize = 16 << 20;

/// Ends by job.
#[derive(Debug, Default)]
pub(super) struct KeptEnds {
    ends: BTreeMap<JobId, End>,
    bytes: usize,
}

#[derive(Debug)]
struct End {
    report: Report,
    bytes: usize,
    /// Where it lies in the stream of this incarnation; none when it has to be told again.
    entry: Option<EntryId>,
}

impl KeptEnds {
    /// Is there room for one more?
    pub(super) fn has_room(&self) -> bool {
        self.ends.len() < MOST && self.bytes < MOST_BYTES
    }

    /// It was told.
    pub(super) fn told(&mut self, report: Report, bytes: usize, entry: Option<EntryId>) {
        self.forget(&report.job);
        self.bytes += bytes;
        self.ends.insert(report.job.clone(), End { report, bytes, entry });
    }

    /// Nobody waits for it.
    pub(super) fn forget(&mut self, job: &JobId) {
        if let Some(end) = self.ends.remove(job) {
            self.bytes -= end.bytes;
        }
    }

    /// Everything up to an entry is committed.
    pub(super) fn settled(&mut self, up_to: EntryId) {
        let settled = |end: &End| end.entry.is_some_and(|at| at <= up_to);
        let gone: Vec<JobId> =
            self.ends.iter().filter(|(_, end)| settled(end)).map(|(job, _)| job.clone()).collect();
        gone.iter().for_each(|job| self.forget(job));
    }

    /// Redis lost what it was told.
    pub(super) fn lost(&mut self) {
        self.ends.values_mut().for_each(|end| end.entry = None);
    }

    /// All of them.
    pub(super) fn jobs(&self) -> Vec<JobId> {
        self.ends.keys().cloned().collect()
    }

    /// Those that have to be told again, at most so many.
    pub(super) fn untold(&self, most: usize) -> Vec<Report> {
        self.ends
            .values()
            .filter(|end| end.entry.is_none())
            .take(most)
            .map(|end| end.report.clone())
            .collect()
    }
}
