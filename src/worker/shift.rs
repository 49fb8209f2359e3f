//! The worker's loops: claim, run, beat. They share a table of what the worker holds, and nothing else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::model::{
    job::{Job, JobId},
    task::Retry,
};
use crate::queue::{Claim, Orders};
use crate::worker::{Limits, Links, Params, Shutdown, once::Once};

/// The wait before a call is listened for again grows so often: to some 800 ms.
const HEARS_AGAIN_MOST: u32 = 5;

/// A worker at work.
pub(super) struct Shift {
    pub(super) params: Params,
    pub(super) links: Links,
    held: Mutex<BTreeMap<JobId, Orderly>>,
    /// Which jobs that are made at most once were begun here.
    pub(super) once: Once,
    slots: Arc<Semaphore>,
    /// What was given and could not be taken on can be now: the queue gives it to whoever asks anew.
    anew: Notify,
    /// The queue has heard of this worker: only then may it hold jobs, for the jobs of an unknown worker are lost.
    known: CancellationToken,
    /// The queue said to claim nothing more, until it says otherwise.
    retired: watch::Sender<bool>,
    /// May others count on it? See `Worker::ready`.
    ready: watch::Sender<bool>,
}

/// How a job that is held is told what became of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Orderly {
    /// It should stop.
    pub(super) cancel: CancellationToken,
    /// It may begin, if it waits for that.
    pub(super) go: CancellationToken,
    /// Nobody waits for news of it.
    pub(super) abandoned: CancellationToken,
    /// It was given once more while it was still at hand.
    given_again: CancellationToken,
}

/// A job on its way from the claim to its attempt, with the slot that it takes up.
pub(super) struct Claimed {
    pub(super) job: Job,
    pub(super) orders: Orderly,
    _slot: OwnedSemaphorePermit,
}

impl Shift {
    pub(super) fn new(params: Params, links: Links, ready: watch::Sender<bool>) -> Shift {
        let slots = Arc::new(Semaphore::new(params.slots.min(Semaphore::MAX_PERMITS)));
        let known = CancellationToken::new();
        Shift {
            params,
            links,
            held: Mutex::default(),
            once: Once::default(),
            slots,
            anew: Notify::new(),
            known,
            retired: watch::Sender::new(false),
            ready,
        }
    }

    pub(super) async fn work(&self, shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.kill.cancelled() => {}
            () = self.until_drained(&shutdown.drain) => {}
        }
        let bye =
            tokio::time::timeout(self.params.limits.farewell, self.links.jobs.leave(&self.params.id)).await;
        if !matches!(bye, Ok(Ok(()))) {
            tracing::warn!(worker.id = %self.params.id, "The queue did not hear the worker's good-bye");
        }
    }

    async fn until_drained(&self, drain: &CancellationToken) {
        // Room for a job a slot: sending never waits, so no job is dropped between the claim and its attempt.
        let (found, jobs) = mpsc::channel(self.params.slots.max(1));
        let claims = async {
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = self.claims(&found) => {}
            }
            drop(found);
            self.give_back().await;
        };
        let too_long = async {
            drain.cancelled().await;
            self.links.clock.sleep(self.params.limits.drain).await;
        };
        tokio::select! {
            biased;
            () = async {
                tokio::join!(claims, self.attempts(jobs));
                self.until_acknowledged().await;
            } => {}
            () = self.beats() => {}
            () = too_long => {
                let open = self.held().len();
                tracing::warn!(worker.id = %self.params.id, jobs = open, "The time to drain is over: {open} jobs are killed");
            }
        }
    }

    /// Claims as many jobs as there are free slots, for ever.
    async fn claims(&self, found: &mpsc::Sender<Claimed>) {
        self.known.cancelled().await;
        let (mut failures, mut more) = (0, false);
        loop {
            let Ok(first) = self.slots.clone().acquire_owned().await else { return };
            if more {
                self.gather().await;
            }
            self.until_retired(false).await;
            let free = 1 + self.slots.available_permits();
            let Params { id, pools, .. } = &self.params;
            let claim =
                Claim { worker: id.clone(), pools: pools.clone(), slots: free, holding: self.holding() };
            let answer = tokio::select! {
                biased;
                answer = self.links.jobs.claim(&claim) => answer,
                () = self.until_retired(true) => continue,
                () = self.anew.notified() => continue,
            };
            let jobs = match answer {
                Ok(jobs) => jobs,
                Err(error) => {
                    drop(first);
                    failures += 1;
                    self.back_off("claim", failures, &error).await;
                    continue;
                }
            };
            failures = 0;
            more = free > 1 && jobs.len() >= free;
            let mut first = Some(first);
            for job in jobs {
                let slot = first.take().or_else(|| self.slots.clone().try_acquire_owned().ok());
                let Some(slot) = slot else { break };
                self.take_on(job, slot, found);
            }
        }
    }

    /// Several jobs were claimed, and all slots are taken: there is more, and a moment later more of it fits into one claim. (Who has one
    /// slot to give time and again, beside long jobs, does not wait.) One slot is free already.
    async fn gather(&self) {
        let quarter = u32::try_from(self.params.slots / 4).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            // Not kept: they are taken up when the claim has brought jobs.
            enough = self.slots.acquire_many(quarter.saturating_sub(1)) => drop(enough),
            () = self.links.clock.sleep(self.params.limits.gather) => {}
        }
    }

    /// The claim that was dropped may have brought jobs: others take them. What this does not bring about the sweep does,
    /// once this worker is gone.
    async fn give_back(&self) {
        let holding = self.holding();
        let given = self.links.jobs.give_back(&self.params.id, &holding);
        match tokio::time::timeout(self.params.limits.farewell, given).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(worker.id = %self.params.id, error.kind = error.label(), "give_back: {error}");
            }
            Err(_) => {
                tracing::warn!(worker.id = %self.params.id, "The queue was not told which jobs go back to it")
            }
        }
    }

    /// Waits until what was told is committed: until then this worker may have to tell it again.
    async fn until_acknowledged(&self) {
        let acknowledged = async {
            loop {
                let (worker, now) = (&self.params.id, self.links.clock.now());
                if let Ok(Orders { unsettled: 0, .. }) = self.links.jobs.beat(worker, &[], now).await {
                    return;
                }
                self.links.clock.sleep(self.params.limits.retry_first).await;
            }
        };
        tokio::select! {
            biased;
            () = acknowledged => {}
            () = self.links.clock.sleep(self.params.limits.acknowledge) => {
                tracing::warn!(worker.id = %self.params.id, "Results are told and not acknowledged yet; they lie in the queue");
            }
        }
    }

    fn take_on(&self, job: Job, slot: OwnedSemaphorePermit, found: &mpsc::Sender<Claimed>) {
        let orders = Orderly::default();
        let mut held = self.held();
        if let Some(old) = held.get(&job.id) {
            // The queue took it away, and gave it once more before its process was gone. It is taken on after that.
            old.given_again.cancel();
            return;
        }
        held.insert(job.id.clone(), orders.clone());
        if let Err(lost) = found.try_send(Claimed { job, orders, _slot: slot }) {
            // Cannot happen while there is a place a slot; if it did, the next claim would give the job again.
            let (mpsc::error::TrySendError::Full(claimed) | mpsc::error::TrySendError::Closed(claimed)) =
                lost;
            held.remove(&claimed.job.id);
        }
    }

    /// Runs what was claimed, until nothing more comes and everything has ended.
    async fn attempts(&self, mut jobs: mpsc::Receiver<Claimed>) {
        let mut running = FuturesUnordered::new();
        let mut open = true;
        while open || !running.is_empty() {
            tokio::select! {
                biased;
                Some(()) = running.next() => {}
                job = jobs.recv(), if open => match job {
                    Some(claimed) => running.push(self.attempt(claimed)),
                    None => open = false,
                },
            }
        }
    }

    /// Keeps its slot until its lines are taken: the memory of lines that wait has a bound by that.
    async fn attempt(&self, claimed: Claimed) {
        let log = self.make(&claimed.job, &claimed.orders).await;
        self.held().remove(&claimed.job.id);
        if claimed.orders.given_again.is_cancelled() {
            self.anew.notify_one();
        }
        if *self.retired.borrow() {
            self.tell_ready();
        }
        log.flush().await;
    }

    /// Says that the worker lives, every few seconds and when it is called, and does as it is told; for ever.
    async fn beats(&self) {
        let mut failures = 0;
        loop {
            let (worker, now) = (&self.params.id, self.links.clock.now());
            match self.links.jobs.beat(worker, &self.holding(), now).await {
                Ok(orders) => {
                    failures = 0;
                    self.known.cancel();
                    self.obey(orders);
                    let _ = tokio::time::timeout(self.params.limits.beat, self.called()).await;
                }
                Err(error) => {
                    failures += 1;
                    self.back_off("beat", failures, &error).await;
                }
            }
        }
    }

    /// Waits until it is called. A call that cannot be heard is as good as none, for the next beat comes anyway; but a queue that
    /// was away and is back may have to hear what is held before that.
    async fn called(&self) {
        let (worker, mut failures) = (&self.params.id, 0);
        while self.links.jobs.called(worker).await.is_err() {
            failures = HEARS_AGAIN_MOST.min(failures + 1);
            self.links.clock.sleep(wait(&self.params.limits, failures, worker)).await;
        }
    }

    fn obey(&self, orders: Orders) {
        self.retired.send_if_modified(|old| std::mem::replace(old, orders.retired) != orders.retired);
        self.tell_ready();
        let held = self.held();
        for order in orders.cancel.iter().filter_map(|job| held.get(job)) {
            order.cancel.cancel();
        }
        for order in orders.go.iter().filter_map(|job| held.get(job)) {
            order.go.cancel();
        }
        for order in orders.abandoned.iter().filter_map(|job| held.get(job)) {
            order.abandoned.cancel();
            order.cancel.cancel();
        }
    }

    /// Waits before the queue is asked again. Only the first failure of a row is worth a line in the log.
    pub(super) async fn back_off(&self, verb: &str, failures: u32, error: &crate::queue::QueueError) {
        let worker = &self.params.id;
        if failures == 1 {
            tracing::warn!(worker.id = %worker, error.kind = error.label(), "{verb}: {error}; trying again");
        }
        self.links.clock.sleep(wait(&self.params.limits, failures, worker)).await;
    }

    /// Waits until the queue wants the worker so.
    async fn until_retired(&self, wanted: bool) {
        // The sender is our own, so it is not gone.
        let _ = self.retired.subscribe().wait_for(|retired| *retired == wanted).await;
    }

    /// A worker that the queue knows is ready, unless it is retired and holds nothing: then its pod may go.
    fn tell_ready(&self) {
        let idle = self.held().is_empty();
        let ready = !(*self.retired.borrow() && idle);
        self.ready.send_if_modified(|old| std::mem::replace(old, ready) != ready);
    }

    /// Are there jobs at hand beside one?
    pub(super) fn has_several(&self) -> bool {
        self.held().len() > 1
    }

    fn holding(&self) -> Vec<JobId> {
        self.held().keys().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<JobId, Orderly>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grows with each failure, and is not the same for two workers.
fn wait(limits: &Limits, failures: u32, seed: &str) -> Duration {
    let growing = Retry {
        delay: limits.retry_first,
        factor: 2.0,
        max_delay: Some(limits.retry_longest),
        ..Retry::default()
    };
    growing.wait(failures, seed)
}
