//! The simulated process: how long it takes and how it ends follows from the seed; a ledger keeps what really happened.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use relay::{
    model::{
        job::{Job, JobId, Outcome},
        task::FailureKind,
    },
    worker::{Executor, log::LogSink},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::world::{Shared, pass};
use crate::support::dice::mix;

/// One execution of an attempt.
#[derive(Clone, Debug)]
pub struct Execution {
    pub job: JobId,
    /// How it ended; none if it never did.
    pub outcome: Option<Outcome>,
}

/// Every execution that ever began.
#[derive(Default)]
pub struct Ledger(Mutex<Vec<Execution>>);

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Vec<Execution>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, and another execution of the task run that has not ended.
    fn begin(&self, job: &JobId) -> (usize, Option<JobId>) {
        let mut book = self.book();
        let other = book.iter().find(|e| e.outcome.is_none() && e.job.task_run == job.task_run);
        let other = other.map(|e| e.job.clone());
        book.push(Execution { job: job.clone(), outcome: None });
        (book.len() - 1, other)
    }

    fn end(&self, number: usize, outcome: &Outcome) {
        self.book()[number].outcome = Some(outcome.clone());
    }

    pub fn all(&self) -> Vec<Execution> {
        self.book().clone()
    }
}

/// How a task behaves, as its `PLAN` says: `<milliseconds> <failures in a thousand>`.
pub fn plan(milliseconds: u64, failing: u64) -> String {
    format!("{milliseconds} {failing}")
}

/// One worker's executor.
pub struct Simulated {
    pub shared: Arc<Shared>,
    pub worker: String,
    /// Everything takes so many times longer.
    pub slowness: u64,
}

impl Simulated {
    fn course(&self, job: &Job, number: usize) -> (Duration, Outcome) {
        let plan = job.env.iter().find(|(name, _)| name == "PLAN").map_or("", |(_, value)| value);
        let mut words = plan.split(' ').map(|word| word.parse::<u64>().unwrap_or(0));
        let (milliseconds, failing) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
        let seed = crc32fast::hash(format!("{} {number}", job.id).as_bytes());
        let chance = mix(u64::from(seed) ^ self.shared.settings.seed);
        // Of a wide forEach only the first items take their time: the bound of a simulation is meant for what hangs.
        let wide = job.id.task_run.key.item.is_some_and(|item| item > 20);
        let long = Duration::from_millis(if wide { 1 } else { milliseconds * self.slowness });
        if let Some(timeout) = job.timeout.filter(|timeout| long > *timeout) {
            let message = "it took too long".to_owned();
            let kind = FailureKind::Timeout;
            return (timeout, Outcome::Failed { kind, output_invalid: false, exit_code: None, message });
        }
        if chance % 1_000 < failing {
            let message = "as planned".to_owned();
            let kind = FailureKind::ExitCode;
            return (long, Outcome::Failed { kind, output_invalid: false, exit_code: Some(3), message });
        }
        // Each execution says something else, so that a result can be traced to the one it came from.
        (long, Outcome::Success { outputs: BTreeMap::from([("execution".to_owned(), json!(number))]) })
    }
}

#[async_trait]
impl Executor for Simulated {
    async fn execute(&self, job: &Job, cancel: CancellationToken, _log: LogSink) -> Outcome {
        let (number, beside) = self.shared.ledger.begin(&job.id);
        let echo = |job: &JobId| self.shared.handed().is_echo(job);
        let beside = beside.filter(|other| self.shared.settings.gentle && !echo(other) && !echo(&job.id));
        if let Some(other) = beside {
            self.shared
                .trace
                .wrong(format!("{} begins while {other} is still run by a worker that lives", job.id));
        }
        let (long, outcome) = self.course(job, number);
        self.shared.trace.say(format!("{} begins {}", self.worker, job.id));
        let outcome = tokio::select! {
            biased;
            () = pass(long) => outcome,
            () = cancel.cancelled() => {
                // The time between SIGTERM and the end.
                pass(Duration::from_millis(self.shared.dice.below(3) * 700)).await;
                Outcome::Cancelled
            }
        };
        self.shared.ledger.end(number, &outcome);
        let how = match &outcome {
            Outcome::Success { .. } => "well",
            Outcome::Failed { .. } => "badly",
            Outcome::Cancelled => "by a cancel",
        };
        self.shared.trace.say(format!("{} ends {} {how}", self.worker, job.id));
        outcome
    }
}
