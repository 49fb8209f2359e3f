//! One attempt: run the job, and tell until the queue has heard it.

use std::time::Duration;

use futures::future::join;
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
            self.tell(&job.id, News::Ended(outcome), orders).await;
            return log;
        }
        let word = if job.at_most_once { Some(self.word(job, orders).await) } else { None };
        let work = self.links.executor.execute(job, orders.cancel.clone(), log.clone());
        let outcome = match word {
            None => join(self.tell(&job.id, News::Started, orders), work).await.1,
            Some(Word::Go) => work.await,
            Some(Word::Stop) => Outcome::Cancelled,
            Some(Word::Over) => return log,
        };
        // What is not taken in time is brought after the end was told.
        let _ = timeout(LINES_FIRST, log.flush()).await;
        self.tell(&job.id, News::Ended(outcome), orders).await;
        log
    }

    /// Says it until the queue takes it, or nobody waits for it any more.
    pub(super) async fn tell(&self, job: &JobId, news: News, orders: &Orderly) {
        let report = Report {
            version: PROTOCOL,
            job: job.clone(),
            worker: self.params.id.clone(),
            news,
            at: self.links.clock.now(),
        };
        let mut failures = 0;
        let saying = async {
            while let Err(error) = self.links.jobs.report(report.clone()).await {
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
