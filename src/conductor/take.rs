//! Inputs, one by one, into the draft of the next commit.

use crate::conductor::{
    Conductor,
    commit::{Answer, Draft},
    cycle::Input,
    inbox::{DecideError, Message, Verdict},
    live::is_pool_of,
};
use crate::engine::{Event, Refused};
use crate::model::{
    ids::RunId,
    job::{JobId, News, Outcome},
    task::FailureKind,
};
use crate::queue::{Placed, Told, Unfit};

/// Who ended a job that no worker ever had.
const NO_WORKER: &str = "none";

impl Conductor {
    /// Takes an input. Whatever it changes is in the draft, and in memory until the draft fails.
    pub(super) fn take(&mut self, draft: &mut Draft, input: Input) {
        let answer = match &input {
            Input::Message(Message::Submit(submission, _)) => Answer::Submit(self.submit(draft, submission)),
            Input::Message(Message::Steer { run, event, .. }) => {
                Answer::Decide(self.ask(draft, run, event.clone()))
            }
            Input::Message(Message::Decide(verdict, _)) => Answer::Decide(self.decide(draft, verdict)),
            Input::Message(
                Message::View(..) | Message::WhyAside(..) | Message::Live(_) | Message::Told { .. },
            ) => Answer::None,
            Input::Report(told) => {
                draft.read = draft.read.max(Some(told.at));
                self.report(draft, told);
                Answer::None
            }
            Input::Tick(run) => {
                self.told(draft, run, Event::Tick);
                Answer::None
            }
            Input::Expand(run, key) => {
                self.told(draft, run, Event::Expand(*key));
                Answer::None
            }
            Input::Removed(job) => {
                let event = Event::Removed { key: job.task_run.key, attempt: job.attempt };
                self.told(draft, &job.task_run.run, event);
                Answer::None
            }
            // It was nowhere to be seen, and its worker has told since that it has begun: a look round will tell whether it is gone.
            Input::Forgotten(placed) if self.runs_now(placed) => Answer::None,
            // Should a worker have it all the same, it is to stop.
            Input::Forgotten(placed) => {
                let JobId { task_run, attempt } = &placed.job;
                self.over(draft, placed, Event::Forgotten { key: task_run.key, attempt: *attempt })
            }
            Input::Lost(placed) => {
                let JobId { task_run, attempt } = &placed.job;
                self.over(draft, placed, Event::Lost { key: task_run.key, attempt: *attempt })
            }
            Input::Unfit(Unfit { job: JobId { task_run, attempt }, why }) => {
                let outcome = Outcome::Failed {
                    kind: FailureKind::Error,
                    output_invalid: false,
                    exit_code: None,
                    message: why.clone(),
                };
                let (key, worker) = (task_run.key, NO_WORKER.to_owned());
                self.told(draft, &task_run.run, Event::Ended { key, attempt: *attempt, worker, outcome });
                Answer::None
            }
            Input::Mended(run, plan) => {
                self.note(draft, run, plan.as_ref().clone());
                Answer::None
            }
        };
        draft.inputs.push((input, answer));
    }

    /// An attempt is over without a word of its worker: whatever the queue has of it goes.
    fn over(&mut self, draft: &mut Draft, placed: &Placed, event: Event) -> Answer {
        self.told(draft, &placed.job.task_run.run, event);
        draft.ended_jobs.push(placed.clone());
        Answer::None
    }

    /// An event that nobody waits for an answer to.
    fn told(&mut self, draft: &mut Draft, run: &RunId, event: Event) {
        match self.apply(draft, run, event) {
            // The row has moved on meanwhile: that is what the fence is for.
            Ok(()) | Err(Refused::Stale { .. } | Refused::Ended(_) | Refused::Illegal { .. }) => {}
            Err(refused) => tracing::warn!(run.id = %run, error = %refused, "An event did not fit its run"),
        }
    }

    fn report(&mut self, draft: &mut Draft, Told { pool, report, .. }: &Told) {
        if !self.runs_in(&report.job, pool) {
            self.counters.foreign += 1;
            tracing::warn!(%pool, job = %report.job, worker.id = %report.worker, "A worker reported on a task that does not run in its pool: dropped");
            return;
        }
        let JobId { task_run, attempt } = report.job.clone();
        let (key, worker) = (task_run.key, report.worker.clone());
        let event = match &report.news {
            News::Started => {
                // Of a run that is set aside nothing begins: whoever waits for the word to begin would hold its slot for ever,
                // and what else it might do would count for nothing.
                if self.aside.contains_key(&task_run.run) {
                    draft.ended_jobs.push(Placed { pool: pool.clone(), job: report.job.clone() });
                }
                Event::Started { key, attempt, worker }
            }
            News::Ended(outcome) => {
                draft.ended_jobs.push(Placed { pool: pool.clone(), job: report.job.clone() });
                Event::Ended { key, attempt, worker, outcome: outcome.clone() }
            }
        };
        let known = self.runs.contains_key(&task_run.run);
        let taken = self.apply(draft, &task_run.run, event);
        if !known || taken.is_err() {
            self.counters.stale += 1;
            tracing::debug!(job = %report.job, worker.id = %report.worker, "A report came too late and is dropped");
        }
    }

    /// Does its task run in this pool? Of a run that is not live nobody needs to know.
    fn runs_in(&self, job: &JobId, pool: &str) -> bool {
        let Some(run) = self.runs.get(&job.task_run.run) else { return true };
        // Only a task run that is there says which task it is.
        run.task_run(job.task_run.key).is_none_or(|row| is_pool_of(run, row.key.task, pool))
    }

    fn ask(&mut self, draft: &mut Draft, run: &RunId, event: Event) -> Result<(), DecideError> {
        if !self.runs.contains_key(run) {
            return Err(self.not_live(run));
        }
        Ok(self.apply(draft, run, event)?)
    }

    fn not_live(&self, run: &RunId) -> DecideError {
        match self.aside.get(run) {
            Some(why) => DecideError::Aside { run: run.clone(), why: why.clone() },
            None => DecideError::NoSuchRun(run.clone()),
        }
    }

    fn decide(&mut self, draft: &mut Draft, verdict: &Verdict) -> Result<(), DecideError> {
        let run = self.runs.get(&verdict.run).ok_or_else(|| self.not_live(&verdict.run))?;
        let task = run.workflow().task_named(&verdict.task).map(|t| t.no);
        let task = task.ok_or_else(|| DecideError::NoSuchTask {
            run: verdict.run.clone(),
            task: verdict.task.clone(),
        })?;
        let round = run.newest(task).map_or(1, |row| row.key.round);
        let event = Event::Decided {
            task,
            asking: verdict.asking.unwrap_or(round),
            user: verdict.user.clone(),
            decision: verdict.decision,
            note: verdict.note.clone(),
            verified: verdict.verified,
        };
        self.ask(draft, &verdict.run, event)
    }
}
