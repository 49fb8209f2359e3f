//! Lines of logs in memory: so many bytes of them; the oldest go first, whatever run they are of.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    ids::RunId,
    job::JobId,
    log::{LogLine, LogQuery, StoredLine},
};
use crate::store::LOG_PAGE_BYTES;

/// Bytes of lines that are kept, with what it costs to keep them.
pub const LOG_BYTES_MAX: usize = 64 << 20;

/// What a line costs beside its text, about.
const LINE_BYTES: usize = 300;

/// All lines.
#[derive(Default)]
pub(super) struct Logs {
    last: i64,
    bytes: usize,
    by_position: BTreeMap<i64, LogLine>,
    of_run: BTreeMap<RunId, BTreeSet<i64>>,
    known: BTreeSet<(JobId, u64)>,
}

impl Logs {
    /// Adds a line, unless it is there.
    pub(super) fn add(&mut self, line: LogLine) {
        if !self.known.insert((line.job.clone(), line.number)) {
            return;
        }
        self.last += 1;
        self.bytes += cost(&line);
        self.of_run.entry(line.job.task_run.run.clone()).or_default().insert(self.last);
        self.by_position.insert(self.last, line);
        while self.bytes > LOG_BYTES_MAX {
            let Some(oldest) = self.by_position.first_key_value().map(|(at, _)| *at) else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, position: i64) {
        let Some(line) = self.by_position.remove(&position) else { return };
        self.bytes -= cost(&line);
        let run = &line.job.task_run.run;
        if let Some(positions) = self.of_run.get_mut(run) {
            positions.remove(&position);
            if positions.is_empty() {
                self.of_run.remove(run);
            }
        }
        self.known.remove(&(line.job, line.number));
    }

    /// A run is gone.
    pub(super) fn forget(&mut self, run: &RunId) {
        for position in self.of_run.get(run).cloned().unwrap_or_default() {
            self.remove(position);
        }
    }

    /// A page of at most so many lines.
    pub(super) fn read(&self, query: &LogQuery, limit: u32) -> Vec<StoredLine> {
        let positions = self
            .of_run
            .get(&query.run)
            .into_iter()
            .flat_map(|all| all.range(query.after.saturating_add(1)..));
        let lines = positions.filter_map(|at| self.by_position.get(at).map(|line| (*at, line)));
        let asked = |line: &LogLine| {
            let key = line.job.task_run.key;
            query.task.is_none_or(|task| task == key.task)
                && query.item.is_none_or(|item| Some(item) == key.item)
        };
        let mut bytes = 0;
        let page = lines.filter(|(_, line)| asked(line)).take(limit as usize).take_while(|(_, line)| {
            let before = bytes;
            bytes += line.text.len();
            before < LOG_PAGE_BYTES
        });
        page.map(|(position, line)| StoredLine { position, line: line.clone() }).collect()
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + LINE_BYTES
}
