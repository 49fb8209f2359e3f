//! The loop: gather what came in, let the engine decide, commit, carry out.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use crate::conductor::{
    Conductor, ConductorError,
    commit::{Committed, Draft},
    inbox::{DecideError, Message, SubmitError},
};
use crate::engine::Plan;
use crate::model::{
    ids::{RunId, TaskKey},
    job::{JobId, News, Report},
    time::later,
};
use crate::queue::{Placed, QueueError, Told, Unfit};

/// Something to be taken into the next commit.
pub(super) enum Input {
    /// From the inbox.
    Message(Message),
    /// From a worker.
    Report(Told),
    /// A run's timer.
    Tick(RunId),
    /// The next chunk of a forEach.
    Expand(RunId, TaskKey),
    /// A job was taken back, and nobody has seen it.
    Removed(JobId),
    /// A job was taken back, or was to be, and a worker may have seen it.
    Forgotten(Placed),
    /// A job that nobody holds, or whose worker is gone.
    Lost(Placed),
    /// A job that the queue can never take.
    Unfit(Unfit),
    /// What restoring a run found to be mended.
    Mended(RunId, Box<Plan>),
}

impl Input {
    /// The job whose end it tells.
    fn ended_job(&self) -> Option<Placed> {
        match self {
            Input::Report(Told { pool, report: Report { job, news: News::Ended(_), .. }, .. }) => {
                Some(Placed { pool: pool.clone(), job: job.clone() })
            }
            _ => None,
        }
    }

    /// The run that it is about.
    pub(super) fn run(&self) -> Option<&RunId> {
        match self {
            Input::Message(Message::Submit(submission, _)) => Some(&submission.run.id),
            Input::Message(Message::Steer { run, .. }) => Some(run),
            Input::Message(Message::Decide(verdict, _)) => Some(&verdict.run),
            // A question changes nothing, so it is never the culprit.
            Input::Message(
                Message::View(..) | Message::WhyAside(..) | Message::Live(_) | Message::Told { .. },
            ) => None,
            Input::Report(told) => Some(&told.report.job.task_run.run),
            Input::Tick(run) | Input::Expand(run, _) | Input::Mended(run, _) => Some(run),
            Input::Removed(job) => Some(&job.task_run.run),
            Input::Forgotten(placed) | Input::Lost(placed) => Some(&placed.job.task_run.run),
            Input::Unfit(unfit) => Some(&unfit.job.task_run.run),
        }
    }

    /// The run that a user wants otherwise.
    pub(super) fn steers(&self) -> Option<&RunId> {
        match self {
            Input::Message(Message::Steer { run, .. }) => Some(run),
            _ => None,
        }
    }

    /// Its run cannot be written: whoever waits for an answer is told why.
    fn refuse(self, why: &str) {
        let aside = |run: RunId| Err(DecideError::Aside { run, why: why.to_owned() });
        // Whoever asked may have gone away meanwhile.
        match self {
            Input::Message(Message::Submit(_, reply)) => {
                drop(reply.send(Err(SubmitError::Store(why.to_owned()))));
            }
            Input::Message(Message::Steer { run, reply, .. }) => drop(reply.send(aside(run))),
            Input::Message(Message::Decide(verdict, reply)) => drop(reply.send(aside(verdict.run))),
            _ => {}
        }
    }
}

enum Attempt {
    Done,
    Stopped,
    Refused { inputs: Vec<Input>, runs: Vec<RunId>, why: String },
}

enum Woken {
    Stop,
    Said,
    Reports(Vec<Told>),
    Message(Option<Message>),
    Time,
    QueueDown(QueueError),
}

impl Conductor {
    /// Works until `stop` or until leadership is lost.
    pub(super) async fn work(&mut self, stop: &CancellationToken) -> Result<(), ConductorError> {
        self.carry_out().await?;
        loop {
            self.tell_demands();
            let Some(inputs) = self.gather(stop).await? else {
                return self.hear_out().await.map(drop);
            };
            let inputs = self.heed(inputs).await?;
            if !self.settle_inputs(inputs, stop).await? {
                return self.hear_out().await.map(drop);
            }
            self.carry_out().await?;
        }
    }

    /// Commits what the inputs come to. A batch that the store refuses is halved until the culprit stands alone,
    /// and its run is set aside. False when it was stopped meanwhile.
    async fn settle_inputs(
        &mut self,
        inputs: Vec<Input>,
        stop: &CancellationToken,
    ) -> Result<bool, ConductorError> {
        let mut work = vec![(inputs, None)];
        while let Some((inputs, only)) = work.pop() {
            match self.attempt(inputs, only.as_ref(), stop).await? {
                Attempt::Done => {}
                Attempt::Stopped => return Ok(false),
                Attempt::Refused { inputs, mut runs, why } => {
                    if let [culprit] = runs.as_slice() {
                        let (his, others): (Vec<Input>, Vec<Input>) =
                            inputs.into_iter().partition(|i| i.run() == Some(culprit));
                        // Its results cannot be kept, and later ones let the queue forget them: so must the leases
                        // go, or whoever loads the run again waits for ever for a worker that is through.
                        self.outbox.ended.extend(his.iter().filter_map(Input::ended_job));
                        his.into_iter().for_each(|input| input.refuse(&why));
                        self.set_aside(culprit, why);
                        work.push((others, only));
                        continue;
                    }
                    let half: BTreeSet<RunId> = runs.split_off(runs.len() / 2).into_iter().collect();
                    let (second, first) =
                        inputs.into_iter().partition(|i| i.run().is_some_and(|r| half.contains(r)));
                    work.push((second, Some(half)));
                    work.push((first, Some(runs.into_iter().collect())));
                }
            }
        }
        Ok(true)
    }

    /// Tries until the inputs are committed or refused for good. `only`: dispatch nothing of other runs.
    async fn attempt(
        &mut self,
        mut inputs: Vec<Input>,
        only: Option<&BTreeSet<RunId>>,
        stop: &CancellationToken,
    ) -> Result<Attempt, ConductorError> {
        let mut tries = 0;
        loop {
            self.recall(&inputs).await?;
            let mut draft = Draft::of(self.look_up(&inputs, tries > 0).await?);
            for input in self.found_again(&inputs, only).into_iter().chain(inputs) {
                self.take(&mut draft, input);
            }
            self.dispatch(&mut draft, only);
            match self.commit(draft, tries).await? {
                Committed::Yes => return Ok(Attempt::Done),
                Committed::Refused { inputs, runs, why } => {
                    return Ok(Attempt::Refused { inputs, runs, why });
                }
                Committed::NotYet(back) => inputs = back,
            }
            tries += 1;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Attempt::Stopped),
                () = self.clock.sleep(self.backoff(tries)) => {}
            }
        }
    }

    /// What loading runs again left to do and what must go with these inputs: what a restored run is in memory must be
    /// in the store before anything builds on it. With `only`, everything of these runs, so that the half of a refused
    /// batch is as large as it was and the culprit shows itself.
    fn found_again(&mut self, inputs: &[Input], only: Option<&BTreeSet<RunId>>) -> Vec<Input> {
        let named: BTreeSet<RunId> = inputs.iter().filter_map(Input::run).cloned().collect();
        let goes = |input: &Input| match (only, input.run()) {
            (None, _) => matches!(input, Input::Mended(..)),
            (Some(only), Some(run)) => only.contains(run) || named.contains(run),
            (Some(_), None) => false,
        };
        let (mut found, rest): (Vec<Input>, Vec<Input>) =
            std::mem::take(&mut self.todo).into_iter().partition(goes);
        self.todo = rest;
        let now = self.clock.now();
        let due = only.into_iter().flatten().filter(|run| self.due.take_one(run, now));
        let ticks: Vec<Input> = due.cloned().map(Input::Tick).collect();
        found.extend(ticks);
        found
    }

    /// Waits until there is something to do; None when it is time to stop.
    async fn gather(&mut self, stop: &CancellationToken) -> Result<Option<Vec<Input>>, ConductorError> {
        let mut inputs: Vec<Input> = std::mem::take(&mut self.todo);
        let more = self.outbox.has_more() && !self.sweep.queue_rests;
        let busy = !inputs.is_empty() || self.can_dispatch() || more;
        match self.wait(busy, stop).await {
            Woken::Stop => return Ok(None),
            Woken::Said => {
                self.hear_out().await?;
            }
            Woken::Reports(reports) => inputs.extend(reports.into_iter().map(Input::Report)),
            Woken::Message(Some(message)) => inputs.push(Input::Message(message)),
            // Every handle is gone: what is live goes on all the same.
            Woken::Message(None) | Woken::Time => {}
            Woken::QueueDown(error) => self.queue_refused(error).await?,
        }
        // Messages have a share of their own: however many reports there are, a cancel is heard.
        for _ in 0..self.limits.batch {
            let Ok(message) = self.inbox.try_recv() else { break };
            inputs.push(Input::Message(message));
        }
        let now = self.clock.now();
        inputs.extend(self.due.take(now).into_iter().map(Input::Tick));
        self.keep_time().await?;
        inputs.append(&mut self.todo);
        Ok(Some(inputs))
    }

    async fn wait(&mut self, busy: bool, stop: &CancellationToken) -> Woken {
        let now = self.clock.now();
        let wake = if busy { now } else { self.next_wake() };
        let closed = self.inbox.is_closed() && self.inbox.is_empty();
        let resting = self.sweep.queue_rests;
        tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stop,
            () = self.voice.end(), if self.voice.speaks() => Woken::Said,
            reports = self.queue.reports(self.outbox.read, self.limits.batch), if !resting => match reports {
                Ok(reports) => Woken::Reports(reports),
                Err(e) => {
                    tracing::warn!(error = %e, error.label = e.label(), "The queue gives no reports");
                    Woken::QueueDown(e)
                }
            },
            message = self.inbox.recv(), if !closed => Woken::Message(message),
            () = self.clock.sleep_until(wake) => Woken::Time,
        }
    }

    fn next_wake(&self) -> jiff::Timestamp {
        let wake = self.sweep.due;
        self.due.first().map_or(wake, |due| due.min(wake))
    }

    /// Sweeps, when it is time for that.
    async fn keep_time(&mut self) -> Result<(), ConductorError> {
        let now = self.clock.now();
        if now >= self.sweep.due && self.sure().await {
            self.sweep.due = later(now, self.limits.sweep_every);
            // What was said is in the books. After a refusal the queue rests before it is looked through.
            if self.hear_out().await? {
                self.look_round(now).await?;
            }
        }
        self.end_sweep();
        Ok(())
    }

    async fn look_round(&mut self, now: jiff::Timestamp) -> Result<(), ConductorError> {
        match self.queue.census(now).await {
            Ok(census) => self.begin_sweep(census).await,
            Err(e) => {
                tracing::warn!(error = %e, error.label = e.label(), "The queue could not be looked through");
                self.queue_refused(e).await?;
            }
        }
        Ok(())
    }

    /// Waits until it is certain that this process leads; false when it is told to stop meanwhile. Whoever was replaced ends
    /// while it waits.
    pub(super) async fn sure(&self) -> bool {
        if self.tenure.trusted() {
            return true;
        }
        tracing::warn!(
            "It is not certain that this process still leads; it says nothing until the store has answered"
        );
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.tenure.confirmed() => true,
        }
    }

    /// The queue did not do what it was asked to. If it has heard a newer leader, the store knows whether there is one.
    pub(super) async fn queue_refused(&mut self, error: QueueError) -> Result<(), ConductorError> {
        if let QueueError::Deposed { pool, epoch } = &error
            && self.tenure.ask().await?
        {
            tracing::error!(%pool, epoch, "The queue knows a newer leader, and the database does not: was it restored, or does \
                another installation use this Redis under the same prefix? The database decides");
            if self.queue.overrule(pool, *epoch).await.is_ok() {
                self.sweep.due = self.clock.now();
                return Ok(());
            }
        }
        self.queue_failed();
        Ok(())
    }
}
