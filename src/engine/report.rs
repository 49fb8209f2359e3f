//! What workers, and the lack of them, tell of an attempt.

use crate::engine::{Effect, LOSSES_MAX, Refused, Run};
use crate::model::{
    ids::TaskKey,
    job::Outcome,
    reason::Reason,
    status::TaskStatus,
    task::{FailureKind, OnWorkerLost},
    time::later,
};

impl Run {
    /// The status of the row, if `attempt` is its present one and has not ended.
    fn current(&self, key: TaskKey, attempt: u32) -> Result<TaskStatus, Refused> {
        let row = self.row_of(key).ok_or(Refused::Unknown(key))?;
        let live = matches!(row.status, TaskStatus::Queued | TaskStatus::Running);
        // A group is RUNNING as well, but has no attempt: nobody can report of it.
        if !live || row.attempt != attempt || attempt == 0 {
            return Err(Refused::Stale { key, attempt, status: row.status, current: row.attempt });
        }
        Ok(row.status)
    }

    /// QUEUED -> RUNNING. Of a task that is made at most once, the worker says it until it hears that it may begin.
    pub(super) fn started(&mut self, key: TaskKey, attempt: u32, worker: String) -> Result<(), Refused> {
        let status = self.current(key, attempt)?;
        if status == TaskStatus::Queued {
            self.run_by(key, &worker);
        } else if !self.at_most_once(key) {
            return Err(Refused::Stale { key, attempt, status, current: attempt });
        } else if self.is_anothers(key, &worker) {
            return self.lost(key, attempt);
        }
        // What is to be stopped is told so instead.
        if self.at_most_once(key) && self.unwanted(key).is_none() {
            self.sheet.effect(Effect::Go { key, attempt });
        }
        Ok(())
    }

    fn at_most_once(&self, key: TaskKey) -> bool {
        self.workflow.at(key.task).on_worker_lost == OnWorkerLost::Fail
    }

    /// Does the row name another worker? The queue has given the job away since, so that one is lost, and may have begun.
    fn is_anothers(&self, key: TaskKey, worker: &str) -> bool {
        self.row_of(key).is_some_and(|row| row.worker.as_deref() != Some(worker))
    }

    /// The first end that is told of an attempt counts.
    pub(super) fn attempt_ended(
        &mut self,
        key: TaskKey,
        attempt: u32,
        worker: String,
        outcome: Outcome,
    ) -> Result<(), Refused> {
        if self.current(key, attempt)? == TaskStatus::Queued {
            self.run_by(key, &worker);
        } else if self.at_most_once(key) && self.is_anothers(key, &worker) {
            return self.lost(key, attempt);
        }
        match outcome {
            Outcome::Success { outputs } => {
                self.vacate(key);
                let row = self.touch(key);
                row.set_output(outputs.into_iter().collect());
                row.set_exit_code(Some(0));
                row.set_error(None);
                self.attempt_over(key, None, Some(0));
                self.end(key, TaskStatus::Success, None);
            }
            Outcome::Failed { kind, output_invalid, exit_code, message } => {
                let reason = match kind {
                    _ if output_invalid => Reason::OutputInvalid,
                    FailureKind::Error => Reason::Error,
                    FailureKind::Timeout => Reason::Timeout,
                    FailureKind::ExitCode => Reason::ExitCode,
                };
                self.vacate(key);
                let row = self.touch(key);
                row.count_failure();
                row.set_exit_code(exit_code);
                row.set_error(Some(super::advance::bounded(&message)));
                self.attempt_over(key, Some(reason), exit_code);
                self.attempt_failed(key, kind, reason);
            }
            // Nobody asked for it: the worker went away in order, and took its job along.
            Outcome::Cancelled => self.lost(key, attempt)?,
        }
        Ok(())
    }

    /// Again, as `retry` says, or FAILED for good.
    fn attempt_failed(&mut self, key: TaskKey, kind: FailureKind, reason: Reason) {
        let workflow = self.workflow.clone();
        let task = workflow.at(key.task);
        let stopped = self.stopped(key).is_some();
        let seed = format!("{}.{}.{:?}", self.row.id, key.task, key.item);
        let row = self.touch(key);
        let (failures, exit_code) = (row.failures(), row.exit_code());
        if stopped || failures > task.retry.limit || !task.retry.covers(kind, exit_code) {
            return self.end(key, TaskStatus::Failed, Some(reason));
        }
        self.step(key, TaskStatus::Retrying, Some(reason));
        let wait = task.retry.wait(failures, &seed);
        if wait.is_zero() {
            self.step(key, TaskStatus::Ready, None);
            self.ready(key);
        } else {
            self.wake_at(key, later(self.sheet.now, wait));
        }
    }

    /// The worker is gone, or the queue lost the job: again, within the bound, without delay.
    pub(super) fn lost(&mut self, key: TaskKey, attempt: u32) -> Result<(), Refused> {
        let status = self.current(key, attempt)?;
        self.vacate(key);
        let stopped = self.stopped(key);
        self.attempt_over(key, stopped.or(Some(Reason::WorkerLost)), None);
        if let Some(reason) = stopped {
            self.end(key, TaskStatus::Cancelled, Some(reason));
            return Ok(());
        }
        let row = self.touch(key);
        let (losses, worker) = (row.count_loss(), row.worker.clone());
        // QUEUED: nobody was told to begin, so it may go to another worker.
        let begun = status == TaskStatus::Running && self.at_most_once(key);
        if begun || losses > LOSSES_MAX {
            let who = worker.as_deref().unwrap_or_default();
            let why = match (begun, who.is_empty()) {
                (true, _) => {
                    format!("its worker {who} was lost, and with onWorkerLost: Fail it is not run again")
                }
                (_, true) => format!("{losses} workers were lost while they had it"),
                (_, false) => format!("{losses} workers were lost while they had it, the last was {who}"),
            };
            self.touch(key).set_error(Some(why));
            self.end(key, TaskStatus::Failed, Some(Reason::WorkerLost));
            return Ok(());
        }
        if status == TaskStatus::Running {
            self.step(key, TaskStatus::Retrying, Some(Reason::WorkerLost));
        }
        self.step(key, TaskStatus::Ready, Some(Reason::WorkerLost));
        self.ready(key);
        Ok(())
    }

    /// The queue took the job back before a worker saw it.
    pub(super) fn removed(&mut self, key: TaskKey, attempt: u32) -> Result<(), Refused> {
        let status = self.current(key, attempt)?;
        if status != TaskStatus::Queued {
            return Err(Refused::Stale { key, attempt, status, current: attempt });
        }
        self.vacate(key);
        match self.stopped(key) {
            Some(reason) => self.end(key, TaskStatus::Cancelled, Some(reason)),
            None => {
                // Nobody has seen this attempt: its number is used again.
                self.step(key, TaskStatus::Ready, None).attempt = attempt - 1;
                self.ready(key);
            }
        }
        Ok(())
    }

    /// The job is taken back, and a worker may have seen it, or may run it even now: its number is not used again. No
    /// worker is known to be lost, so it does not count as such.
    pub(super) fn forgotten(&mut self, key: TaskKey, attempt: u32) -> Result<(), Refused> {
        if self.current(key, attempt)? == TaskStatus::Running {
            return self.lost(key, attempt);
        }
        self.vacate(key);
        match self.stopped(key) {
            Some(reason) => self.end(key, TaskStatus::Cancelled, Some(reason)),
            None => {
                self.step(key, TaskStatus::Ready, None);
                self.ready(key);
            }
        }
        Ok(())
    }

    /// Why this row may not start (again), if so.
    pub(super) fn stopped(&self, key: TaskKey) -> Option<Reason> {
        let sealed = key.item.is_some() && self.sealed(self.workflow.at(key.task));
        self.halted(key.task).or(sealed.then_some(Reason::FailFast))
    }
}
