//! The queue as a conductor and as a worker see it: calls fail, messages are lost and doubled, all of it may be gone.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::{
    model::job::{Job, JobId, Report},
    queue::{
        Census, Claim, Epochs, Go, Jobs, Orders, Placed, Position, Queue, QueueError, Removal, Told, Unfit,
        memory::MemoryQueue,
    },
};
use tokio::sync::Notify;

use super::{
    faults::{Fault, Faults},
    world::{Mutation, pass},
};

/// A server: its content can go, and positions rise all the same.
#[derive(Default)]
pub struct Server {
    content: Mutex<Content>,
    emptied: Notify,
}

#[derive(Clone, Default)]
struct Content {
    queue: Arc<MemoryQueue>,
    base: u64,
}

impl Content {
    /// As a leader of these epochs speaks to it.
    fn side(&self, epochs: &Epochs) -> MemoryQueue {
        let side = self.queue.beside();
        side.lead(epochs);
        side
    }
}

fn gone() -> QueueError {
    QueueError::Unavailable("the simulation says so".to_owned())
}

impl Server {
    fn content(&self) -> Content {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// FLUSHALL, and every connection breaks.
    pub fn empty(&self) {
        let base = self.content().base + 1_000_000;
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) =
            Content { queue: Arc::default(), base };
        self.emptied.notify_waiters();
    }

    /// Waits with a call for as long as the content it is made to is there.
    async fn held<T, F>(&self, call: impl FnOnce(Content) -> F) -> Result<T, QueueError>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        let emptied = self.emptied.notified();
        tokio::select! {
            biased;
            done = call(self.content()) => done,
            () = emptied => Err(gone()),
        }
    }

    /// What a leader of these epochs sees.
    pub async fn census(&self, epochs: &Epochs, now: Timestamp) -> Result<Census, QueueError> {
        let content = self.content();
        let mut census = content.side(epochs).census(now).await?;
        if census.reported > Position::START {
            census.reported.0 += content.base;
        }
        Ok(census)
    }
}

/// The conductor's side.
pub struct FaultyQueue {
    faults: Faults,
    server: Arc<Server>,
    epochs: Mutex<Epochs>,
}

impl FaultyQueue {
    pub fn new(faults: Faults, server: Arc<Server>) -> FaultyQueue {
        FaultyQueue { faults, server, epochs: Mutex::default() }
    }

    async fn up(&self) -> Result<(), QueueError> {
        match self.faults.reaches(&self.faults.shared.queue_outage).await {
            true => Ok(()),
            false => Err(gone()),
        }
    }

    /// The epochs in which it leads.
    fn epochs(&self) -> Epochs {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The epochs in which it speaks.
    fn said_in(&self) -> Epochs {
        match self.faults.shared.settings.mutation {
            Some(Mutation::NoQueueFence) => self.faults.shared.newest_epochs(),
            _ => self.epochs(),
        }
    }

    /// Calls that only say something: they may be lost, or come twice.
    async fn tell<F>(&self, verb: &'static str, call: impl Fn() -> F) -> Result<(), QueueError>
    where
        F: Future<Output = Result<(), QueueError>> + Send + 'static,
    {
        self.up().await?;
        match self.faults.roll(verb) {
            Fault::None => call().await,
            Fault::Lost => Ok(()),
            Fault::Again(wait) => {
                let (first, again) = (call(), call());
                self.faults.shared.later(async move {
                    pass(wait).await;
                    drop(again.await);
                });
                first.await
            }
            Fault::Slow(wait) => {
                pass(wait).await;
                self.up().await?;
                call().await
            }
            Fault::Freezes(wait) => {
                self.faults.freeze(wait).await;
                self.up().await?;
                call().await
            }
            Fault::Before => Err(gone()),
            Fault::After | Fault::Late(_) => {
                call().await?;
                Err(gone())
            }
            Fault::DiesBefore => self.faults.life.die().await,
            Fault::DiesAfter => {
                drop(call().await);
                self.faults.life.die().await
            }
        }
    }
}

#[async_trait]
impl Queue for FaultyQueue {
    fn lead(&self, epochs: &Epochs) {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone_from(epochs);
    }

    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        self.faults.shared.trace.wrong(format!("{pool} heard epoch {heard}, and the store never gave it"));
        self.server.content().side(&self.epochs()).overrule(pool, heard).await
    }

    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        let (server, shared) = (self.server.clone(), self.faults.shared.clone());
        let life = self.faults.life.clone();
        let first = Mutex::new(true);
        self.tell("publish", || {
            let (server, shared, jobs) = (server.clone(), shared.clone(), jobs.to_vec());
            let (epochs, said_in) = (self.epochs(), self.said_in());
            // A copy that the network makes later is not something the conductor said.
            let said = std::mem::take(&mut *first.lock().unwrap_or_else(PoisonError::into_inner));
            let life = said.then(|| life.clone());
            async move {
                let content = server.content();
                content.side(&said_in).publish(&jobs).await?;
                match life {
                    Some(life) => shared.published(&life, content.base, &epochs, &jobs),
                    None => shared.handed().echo(&jobs),
                }
                Ok(())
            }
        })
        .await
        .map(|()| Vec::new())
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        self.up().await?;
        if self.faults.shared.settings.mutation == Some(Mutation::RemovesNothing) {
            return Ok(Removal::Removed);
        }
        let call = async { self.server.content().side(&self.said_in()).remove(job).await };
        self.faults.through("remove", call, |_| gone()).await
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        self.tell("cancel", || {
            let (server, job, said_in) = (self.server.clone(), job.clone(), self.said_in());
            async move { server.content().side(&said_in).cancel(&job).await }
        })
        .await
    }

    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        self.tell("go", || {
            let (server, begun, said_in) = (self.server.clone(), begun.to_vec(), self.said_in());
            async move { server.content().side(&said_in).go(&begun).await }
        })
        .await
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        self.up().await?;
        let reading = async {
            let epochs = self.epochs();
            let read = |content: Content| async move {
                let after = Position(after.0.saturating_sub(content.base));
                let found = content.side(&epochs).reports(after, max).await?;
                let place = |told: Told| Told { at: Position(told.at.0 + content.base), ..told };
                Ok(found.into_iter().map(place).collect::<Vec<_>>())
            };
            let found = self.server.held(read).await?;
            // The connection may break between the answer and whoever waits for it.
            self.up().await?;
            Ok(found)
        };
        let found = self.faults.through("reports", reading, |_| gone()).await?;
        let shared = &self.faults.shared;
        Ok(found.into_iter().map(|told| Told { report: shared.tampered(told.report), ..told }).collect())
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        self.tell("settle", || {
            let (server, ended, said_in) = (self.server.clone(), ended.to_vec(), self.said_in());
            async move {
                let content = server.content();
                content.side(&said_in).settle(Position(up_to.0.saturating_sub(content.base)), &ended).await
            }
        })
        .await
    }

    async fn census(&self, _now: Timestamp) -> Result<Census, QueueError> {
        self.up().await?;
        let look = async {
            let now = self.faults.shared.clock.now();
            let (base, mut census) =
                (self.server.content().base, self.server.census(&self.said_in(), now).await?);
            if self.faults.shared.settings.mutation != Some(Mutation::OneLife) {
                census.life = base.to_string();
            }
            self.faults.shared.looked(base, &self.epochs(), &census);
            Ok(census)
        };
        self.faults.through("census", look, |_| gone()).await
    }
}

/// The worker's side.
pub struct FaultyJobs {
    pub faults: Faults,
    pub server: Arc<Server>,
}

impl FaultyJobs {
    async fn through<T, F>(
        &self,
        verb: &'static str,
        call: impl FnOnce(Arc<MemoryQueue>) -> F + Send,
    ) -> Result<T, QueueError>
    where
        F: Future<Output = Result<T, QueueError>> + Send,
        T: Send,
    {
        let shared = &self.faults.shared;
        if shared.queue_outage.lasts(shared.clock.now()) {
            return Err(gone());
        }
        // A call that was slow finds the content of the moment in which it comes.
        let made = async { self.server.held(|content| call(content.queue)).await };
        self.faults.through(verb, made, |_| gone()).await
    }
}

#[async_trait]
impl Jobs for FaultyJobs {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        let (shared, server) = (&self.faults.shared, self.server.clone());
        self.through("claim", |queue| async move {
            let mut jobs = queue.claim(claim).await?;
            if shared.settings.mutation == Some(Mutation::BeginsAtOnce) {
                jobs.iter_mut().for_each(|job| job.at_most_once = false);
            }
            // Out of books that are lost by now it was claimed before, and the worker hears of it late.
            if Arc::ptr_eq(&queue, &server.content().queue) {
                shared.given(&jobs);
            }
            Ok(jobs)
        })
        .await
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        // Said a second time, as a client does whose first answer came too late.
        let twice = self.faults.shared.faults_on() && self.faults.shared.dice.chance(20);
        if twice {
            self.faults.shared.count("a report said twice");
        }
        self.through("report", |queue| async move {
            if twice {
                queue.report(report.clone()).await?;
            }
            queue.report(report).await
        })
        .await
    }

    async fn beat(&self, worker: &str, holding: &[JobId], _now: Timestamp) -> Result<Orders, QueueError> {
        // The queue counts by its own clock.
        let now = self.faults.shared.clock.now();
        self.through("beat", |queue| async move { queue.beat(worker, holding, now).await }).await
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        self.through("called", |queue| async move { queue.called(worker).await }).await
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        self.through("give_back", |queue| async move { queue.give_back(worker, holding).await }).await
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        self.through("leave", |queue| async move { queue.leave(worker).await }).await
    }
}
