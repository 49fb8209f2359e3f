//! One attempt: run the job, and tell until the queue has heard it.

use futures::future::join;

use crate::model::job::{Job, JobId, News, PROTOCOL, Report};
use crate::worker::{
    log::LogSink,
    shift::{Orderly, Shift},
};

impl Shift {
    /// Runs a job and tells its start and its end. The process does not wait until its start was heard.
    pub(super) async fn make(&self, job: &Job, orders: &Orderly) {
        let log = LogSink::new(
            job.id.clone(),
            self.links.feed.clone(),
            self.links.clock.clone(),
            self.params.limits.log,
        );
        let started = self.tell(&job.id, News::Started, orders);
        let work = self.links.executor.execute(job, orders.cancel.clone(), log);
        let ((), outcome) = join(started, work).await;
        self.tell(&job.id, News::Ended(outcome), orders).await;
    }

    /// Says it until the queue takes it, or nobody waits for it any more.
    async fn tell(&self, job: &JobId, news: News, orders: &Orderly) {
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
