//! A task: a node of the DAG, and how it is run, retried, approved and bounded.

use std::{sync::Arc, time::Duration};

use crate::model::{
    expr::{Expr, Template},
    names::words,
    workflow::ValueType,
};

/// The place of a task over tasks, then finally.
pub type TaskNo = u32;

words! {
    /// What a task's failure means for the others.
    OnError {
        /// The run fails, and dependents do not start.
        Fail = "Fail",
        /// The task stays FAILED, but counts as a success.
        Continue = "Continue",
    }
}

words! {
    /// What the loss of the worker that runs a task means.
    OnWorkerLost {
        /// The attempt is made again, up to a bound: at least once.
        Retry = "Retry",
        /// FAILED, reason WorkerLost. Its process starts only once its RUNNING is committed: at most once.
        Fail = "Fail",
    }
}

words! {
    /// What an approval becomes when nobody decides in time.
    OnTimeout {
        /// FAILED, reason ApprovalTimedOut.
        Fail = "Fail",
        /// SKIPPED, reason ApprovalTimedOut.
        Skip = "Skip",
    }
}

words! {
    /// The kinds of failure that `retry.onlyOn` chooses from.
    FailureKind {
        /// The process could not be run, or its outputs not be read.
        Error = "Error",
        /// It ran longer than its timeout.
        Timeout = "Timeout",
        /// It ended with a status other than 0.
        ExitCode = "ExitCode",
    }
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The whole argv.
    Command(Vec<Template>),
    /// Run as a file if it opens with `#!`, else by `/bin/sh -e`; never interpolated.
    Script(Arc<str>),
    /// Nothing: the engine itself ends it in SUCCESS.
    Gate,
    /// Nothing, but by a worker, the whole way: what `relay bench` measures with. No manifest can say it.
    Noop,
}

/// One execution for each element of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ForEach {
    /// Gives the list.
    pub from: Expr,
    /// The name of the element in expressions.
    pub as_name: String,
    /// Most items at a time.
    pub max_parallel: Option<u32>,
    /// Stop new starts of items once one has failed.
    pub fail_fast: bool,
}

/// A person's yes before the task starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// How many different people must approve.
    pub required: u32,
    /// The question.
    pub message: Option<Template>,
    /// How long to wait.
    pub timeout: Option<Duration>,
    /// And then?
    pub on_timeout: OnTimeout,
}

/// When and how often a failed attempt is made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Further tries after the first.
    pub limit: u32,
    /// Wait before the first further try.
    pub delay: Duration,
    /// Each further wait is so many times longer.
    pub factor: f64,
    /// No wait is longer.
    pub max_delay: Option<Duration>,
    /// Shorten each wait to between half and the whole of it.
    pub jitter: bool,
    /// Failures that are tried again; empty: all kinds.
    pub on: Vec<FailureKind>,
    /// Of ExitCode failures only these; empty: all.
    pub exit_codes: Vec<i32>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            limit: 0,
            delay: Duration::ZERO,
            factor: 1.0,
            max_delay: None,
            jitter: true,
            on: Vec::new(),
            exit_codes: Vec::new(),
        }
    }
}

/// No wait between tries is longer than this.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

impl Retry {
    /// Is a failure of this kind and exit code tried again at all?
    pub fn covers(&self, kind: FailureKind, exit_code: Option<i32>) -> bool {
        let kind_covered = self.on.is_empty() || self.on.contains(&kind);
        let code_covered = kind != FailureKind::ExitCode
            || self.exit_codes.is_empty()
            || exit_code.is_some_and(|code| self.exit_codes.contains(&code));
        kind_covered && code_covered
    }

    /// The wait after the `failures`-th failure (from 1). `seed` makes the jitter repeatable.
    pub fn wait(&self, failures: u32, seed: &str) -> Duration {
        let cap = self.max_delay.unwrap_or(RETRY_DELAY_MAX).min(RETRY_DELAY_MAX).as_secs_f64();
        let exponent = f64::from(failures.saturating_sub(1).min(1_000));
        let grown = self.delay.as_secs_f64() * self.factor.max(1.0).powf(exponent);
        let mut seconds = if grown.is_finite() { grown.min(cap) } else { cap };
        if self.jitter {
            let hash = crc32fast::hash(format!("{seed}#{failures}").as_bytes());
            seconds *= 0.5 + 0.5 * f64::from(hash) / f64::from(u32::MAX);
        }
        Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_DELAY_MAX)
    }
}

/// A declared output.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutputDecl {
    /// Its key.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ValueType,
}

/// A node of the DAG.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its place; set by `Workflow::new`.
    pub no: TaskNo,
    /// Its name.
    pub name: String,
    /// Its name in CEL.
    pub cel_name: String,
    /// Does it belong to finally?
    pub finally: bool,
    /// Its upstreams.
    pub depends_on: Vec<TaskNo>,
    /// Its downstreams; set by `Workflow::new`.
    pub dependents: Vec<TaskNo>,
    /// The pool it runs in.
    pub pool: String,
    /// Must be true, or the task is skipped.
    pub when: Option<Expr>,
    /// One execution an element.
    pub for_each: Option<ForEach>,
    /// Environment variables, in order.
    pub env: Vec<(String, Template)>,
    /// What it runs.
    pub action: Action,
    /// A person's yes.
    pub approval: Option<Approval>,
    /// Further tries.
    pub retry: Retry,
    /// Of one attempt.
    pub timeout: Option<Duration>,
    /// Declared outputs.
    pub outputs: Vec<OutputDecl>,
    /// What its failure means.
    pub on_error: OnError,
    /// What the loss of its worker means.
    pub on_worker_lost: OnWorkerLost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_capped_and_shrink_by_half_at_most() {
        let plain = Retry {
            limit: 5,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Some(Duration::from_secs(5)),
            jitter: false,
            ..Retry::default()
        };
        let waits: Vec<u64> = (1..=5).map(|n| plain.wait(n, "x").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        let jittered = Retry { jitter: true, ..plain };
        let wait = jittered.wait(3, "x");
        assert!(wait >= Duration::from_secs(2) && wait <= Duration::from_secs(4), "{wait:?}");
        assert_eq!(wait, jittered.wait(3, "x"));
        assert_eq!(Retry { factor: f64::MAX, jitter: false, ..jittered }.wait(u32::MAX, "x").as_secs(), 5);
    }

    #[test]
    fn only_the_chosen_failures_are_tried_again() {
        let retry = Retry { on: vec![FailureKind::ExitCode], exit_codes: vec![75], ..Retry::default() };
        assert!(retry.covers(FailureKind::ExitCode, Some(75)));
        assert!(!retry.covers(FailureKind::ExitCode, Some(1)));
        assert!(!retry.covers(FailureKind::Timeout, None));
        assert!(Retry::default().covers(FailureKind::Timeout, None));
    }
}
