//! One attempt: run the job, and tell until the queue has heard it.

use std::{pin::pin, task::Poll, time::Duration};

use futures::{future::join, poll};
use tokio::time::timeout;

use crate::model::{
    job::{Job, JobId, News, Outcome, PROTOCOL, Report},
    task::FailureKind,
};
use crate::worker::{
    log::LogSink,
    once::Word,
    shift::{Orderly, Shift},
};

/// The end of a task waits for its last lines so long: a log that takes nothing must not keep results from being told,
/// for what they free may be what the log waits for.
const LINES_FIRST: Duration = Duration::from_secs(1);

impl Shift {
    /// Runs a job and tells its start and its end. The process does not wait until its start was heard, unless the job is
    /// to be made at most once. Gives the log, which may not have been taken yet.
    pub(super) async fn make(&self, job: &Job, orders: &Orderly) -> LogSink {
        let log = LogSink::new(
            job.id.clone(),
            self.links.feed.clone(),
            self.links.clock.clone(),
            self.params.limits.log,
        );
        if let Some(refusal) = refused(job) {
            tracing::warn!(worker.id = %self.params.id, job.id = %job.id, job.version, "A job is refused: {refusal}");
            let kind = FailureKind::Error;
            let outcome = Outcome::Failed { kind, output_invalid: false, exit_code: None, message: refusal };
            self.tell(vec![self.report(&job.id, News::Ended(outcome))], orders).await;
            return log;
        }
        let word = if job.at_most_once { Some(self.word(job, orders).await) } else { None };
        match word {
            None => self.make_at_once(job, orders, &log).await,
            Some(Word::Go) => {
                let outcome = self.outcome(job, orders, &log).await;
                self.tell(vec![self.report(&job.id, News::Ended(outcome))], orders).await;
            }
            Some(Word::Stop) => {
                self.tell(vec![self.report(&job.id, News::Ended(Outcome::Cancelled))], orders).await;
            }
            Some(Word::Over) => {}
        }
        log
    }

    /// Begins, and tells that beside it. The end of what ends soon is told together with its start: at once where it ends in that
    /// very moment, and of a worker that has more to do within a few milliseconds.
    async fn make_at_once(&self, job: &Job, orders: &Orderly, log: &LogSink) {
        let start = self.report(&job.id, News::Started);
        let mut outcome = pin!(self.outcome(job, orders, log));
        let mut news = Vec::with_capacity(2);
        let outcome = match poll!(&mut outcome) {
            Poll::Ready(outcome) => {
                news.push(start);
                outcome
            }
            Poll::Pending => match self.soon(&mut outcome).await {
                Some(outcome) => {
                    news.push(start);
                    outcome
                }
                None => join(self.tell(vec![start], orders), outcome).await.1,
            },
        };
        news.push(self.report(&job.id, News::Ended(outcome)));
        self.tell(news, orders).await;
    }

    /// How the job ended, if that is before its start has to be told.
    async fn soon(&self, outcome: &mut (impl Future<Output = Outcome> + Unpin)) -> Option<Outcome> {
        if !self.has_several() {
            return None;
        }
        tokio::select! {
            biased;
            outcome = outcome => Some(outcome),
            () = self.links.clock.sleep(self.params.limits.start_told) => None,
        }
    }

    /// Runs the job, and brings its lines to where they go. Lines that are not taken in time are brought after the end was told.
    async fn outcome(&self, job: &Job, orders: &Orderly, log: &LogSink) -> Outcome {
        let outcome = self.links.executor.execute(job, orders.cancel.clone(), log.clone()).await;
        let _ = timeout(LINES_FIRST, log.flush()).await;
        outcome
    }

    /// What there is to be told now.
    pub(super) fn report(&self, job: &JobId, news: News) -> Report {
        let (worker, at) = (self.params.id.clone(), self.links.clock.now());
        Report { version: PROTOCOL, job: job.clone(), worker, news, at }
    }

    /// Says it until the queue takes it, or nobody waits for news of the job any more.
    pub(super) async fn tell(&self, news: Vec<Report>, orders: &Orderly) {
        let mut failures = 0;
        let saying = async {
            while let Err(error) = self.links.jobs.report_all(news.clone()).await {
                failures += 1;
                self.back_off("report", failures, &error).await;
            }
        };
        // Without this a report that never gets through would hold its slot for ever.
        orders.abandoned.run_until_cancelled(saying).await;
    }
}

/// Why this worker cannot run a job of this version, if it cannot.
fn refused(job: &Job) -> Option<String> {
    // A busy worker stays what it is while the operator is upgraded, or put back.
    (job.version.abs_diff(PROTOCOL) > 1).then(|| {
        format!(
            "the worker does not know jobs of version {} (it knows {PROTOCOL}, and one version to either side): give the \
             pool's workers the relay that the operator has",
            job.version
        )
    })
}
