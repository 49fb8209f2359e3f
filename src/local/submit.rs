//! The runs that are to be submitted: one at a time, in the order of the file, while everything else goes on.

use std::{collections::VecDeque, future::pending};

use tokio::task::JoinSet;

use crate::conductor::{Handle, Submission, SubmitError};
use crate::model::ids::RunId;

/// What is to be submitted still.
pub(super) struct Submitting {
    handle: Handle,
    waiting: VecDeque<Submission>,
    /// The run that is on its way, and its answer.
    current: Option<RunId>,
    answer: JoinSet<Result<(), SubmitError>>,
}

impl Submitting {
    /// Nothing is on its way until `next`.
    pub(super) fn new(handle: Handle, submissions: Vec<Submission>) -> Submitting {
        Submitting { handle, waiting: submissions.into(), current: None, answer: JoinSet::new() }
    }

    /// Submits the next run, once the one before is answered.
    pub(super) fn next(&mut self) {
        if self.current.is_none()
            && let Some(submission) = self.waiting.pop_front()
        {
            self.current = Some(submission.run.id.clone());
            let handle = self.handle.clone();
            self.answer.spawn(async move { handle.submit(submission).await });
        }
    }

    /// The run whose answer is not there yet: it may have been accepted.
    pub(super) fn on_its_way(&self) -> Option<&RunId> {
        self.current.as_ref()
    }

    /// Submits nothing more; gives the runs that are left.
    pub(super) fn stop(&mut self) -> Vec<RunId> {
        self.waiting.drain(..).map(|submission| submission.run.id).collect()
    }

    /// Waits for the answer to the run on its way; for ever without one. Dropping the future loses nothing.
    pub(super) async fn answered(&mut self) -> (RunId, Result<(), SubmitError>) {
        let Some(answer) = self.answer.join_next().await else { return pending().await };
        let Some(run) = self.current.take() else { return pending().await };
        (run, answer.unwrap_or(Err(SubmitError::Stopped)))
    }
}
