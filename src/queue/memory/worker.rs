//! The worker's side of a queue in memory.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::job::{Job, JobId, News, Report};
use crate::queue::{
    Claim, Jobs, Orders, QueueError,
    memory::{MemoryQueue, books::Held},
};

#[async_trait]
impl Jobs for MemoryQueue {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        loop {
            let offer = self.server.published.notified();
            let jobs = self.books().claim(claim);
            if !jobs.is_empty() || claim.slots == 0 {
                return Ok(jobs);
            }
            offer.await;
        }
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        {
            let mut books = self.books();
            let full = books.reports.len() >= self.server.limits.reports;
            let held = books.leases.get(&report.job).filter(|held| held.worker == report.worker);
            let Some(pool) = held.map(|held| Arc::from(held.job.pool.as_str())) else { return Ok(()) };
            if full {
                return Err(QueueError::Full("reports that are not settled"));
            }
            if matches!(report.news, News::Ended(_)) {
                books.end(&report.job);
            }
            books.reported.0 += 1;
            let position = books.reported;
            books.reports.insert(position, (pool, report));
        }
        self.server.reported.notify_waiters();
        Ok(())
    }

    async fn beat(&self, worker: &str, holding: &[JobId], now: Timestamp) -> Result<Orders, QueueError> {
        let mut books = self.books();
        if !books.workers.contains_key(worker) && books.workers.len() >= self.server.limits.workers {
            return Err(QueueError::Full("workers"));
        }
        let known = books.workers.entry(worker.to_owned()).or_default();
        known.beat = Some(now);
        known.called = false;
        let retired = known.retired;
        let (held, abandoned): (Vec<&JobId>, Vec<&JobId>) = holding.iter().partition(|j| known.holds(j));
        let of = |order: fn(&Held) -> bool| {
            let ordered = held.iter().filter(|j| books.leases.get(**j).is_some_and(|h| order(h) && !h.ended));
            ordered.map(|job| (*job).clone()).collect()
        };
        Ok(Orders {
            cancel: of(|held| held.cancel),
            go: of(|held| held.go),
            abandoned: abandoned.into_iter().cloned().collect(),
            retired,
            // What was told is lost with this process alone.
            unsettled: 0,
        })
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.books().give_back(worker, holding);
        self.server.published.notify_waiters();
        Ok(())
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        loop {
            let order = self.server.ordered.notified();
            if self.books().workers.get(worker).is_some_and(|w| w.called) {
                return Ok(());
            }
            order.await;
        }
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        let mut books = self.books();
        if let Some(known) = books.workers.get_mut(worker) {
            known.beat = None;
            if !known.holds_some() {
                books.workers.remove(worker);
            }
        }
        Ok(())
    }
}
