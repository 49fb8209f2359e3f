//! One commit: what the inputs come to, written whole or not at all, and what to do when it is not.

use std::{collections::BTreeMap, time::Duration};

use crate::conductor::{
    Conductor, ConductorError,
    cycle::Input,
    inbox::{DecideError, Message, SubmitError},
    live::pool_of,
    submit::Newcomers,
};
use crate::engine::{Effect, Event, Plan, Refused, Run};
use crate::model::{
    change::{Batch, Changes},
    ids::{RunId, ShardId},
    time::backoff,
};
use crate::queue::{Placed, Position};
use crate::store::{Leadership, StoreError};

/// What a message is answered once the draft is committed.
pub(super) enum Answer {
    None,
    Submit(Result<(), SubmitError>),
    Decide(Result<(), DecideError>),
}

/// A commit in the making.
#[derive(Default)]
pub(super) struct Draft {
    changes: BTreeMap<RunId, Changes>,
    effects: Vec<(RunId, Effect)>,
    pub(super) inputs: Vec<(Input, Answer)>,
    pub(super) read: Option<Position>,
    pub(super) ended_jobs: Vec<Placed>,
    /// Of the runs that are submitted: which are new.
    pub(super) newcomers: Newcomers,
}

impl Draft {
    /// An empty one, with what is known of submitted runs.
    pub(super) fn of(newcomers: Newcomers) -> Draft {
        Draft { newcomers, ..Draft::default() }
    }

    /// How many rows it writes.
    pub(super) fn size(&self) -> usize {
        self.changes.values().map(|c| c.tasks.len() + 1).sum()
    }
}

/// What became of a draft. Unless it was committed, its runs are as the store has them.
pub(super) enum Committed {
    Yes,
    /// Not in the store, and worth another try.
    NotYet(Vec<Input>),
    /// Not in the store, and the same again would not be either.
    Refused {
        inputs: Vec<Input>,
        runs: Vec<RunId>,
        why: String,
    },
}

/// A batch whose rows are not as expected is made again from the rows so many times.
const CONFLICTS_MAX: u32 = 3;

/// The batch's epoch of this shard is over.
fn over(batch: &Batch, shard: ShardId) -> StoreError {
    StoreError::Deposed { shard, epoch: batch.fences.get(&shard).map_or(0, |fence| fence.epoch) }
}

/// The wait before the second try of a call of the store, ...
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// ... and the longest.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Conductor {
    /// Lets a run take an event, and notes what it comes to.
    pub(super) fn apply(&mut self, draft: &mut Draft, id: &RunId, event: Event) -> Result<(), Refused> {
        let Some(run) = self.runs.get_mut(id) else { return Ok(()) };
        match run.apply(event, self.clock.now()) {
            Ok(plan) => {
                self.note(draft, id, plan);
                Ok(())
            }
            Err(refused) => {
                if matches!(refused, Refused::Illegal { .. }) {
                    tracing::error!(run.id = %id, error = %refused, "The engine took a step that its table does not have");
                    draft.changes.remove(id);
                    self.set_aside(id, refused.to_string());
                }
                Err(refused)
            }
        }
    }

    /// Adds a plan to the draft. What only concerns memory is done at once: a run that cannot be committed is
    /// loaded again, places and timers with it.
    pub(super) fn note(&mut self, draft: &mut Draft, id: &RunId, plan: Plan) {
        let Some(run) = self.runs.get(id) else { return };
        self.due.set(id, run.next_due());
        for effect in plan.effects {
            match effect {
                Effect::Offer(key) => {
                    let rank = run.ready_since(key).map_or(0, |at| at.as_millisecond());
                    self.ready.offer(pool_of(run, key.task), rank, id, key);
                }
                Effect::Withdraw(key) => self.ready.withdraw(id, key),
                effect => draft.effects.push((id.clone(), effect)),
            }
        }
        self.outbox.follow(run, &plan.changes);
        match draft.changes.get_mut(id) {
            Some(changes) => changes.merge(plan.changes),
            None => drop(draft.changes.insert(id.clone(), plan.changes)),
        }
    }

    /// A new run.
    pub(super) fn begin(&mut self, draft: &mut Draft, run: Run, plan: Plan) {
        let id = run.row().id.clone();
        self.runs.insert(id.clone(), run);
        self.note(draft, &id, plan);
    }

    /// Writes the draft, whole or not at all.
    pub(super) async fn commit(&mut self, mut draft: Draft, tries: u32) -> Result<Committed, ConductorError> {
        let mut batch = Batch::default();
        let touched: Vec<RunId> = draft.changes.keys().cloned().collect();
        for (id, changes) in std::mem::take(&mut draft.changes) {
            if let Some(fence) = self.fences.get(&changes.shard).filter(|_| !changes.is_empty()) {
                batch.fences.insert(changes.shard, *fence);
                batch.runs.insert(id, changes);
            }
        }
        let written = match batch.is_empty() {
            false => self.write(&batch).await,
            // What is taken for committed is told, and settled: only a leader may do that.
            true if self.sure().await => Ok(()),
            true => Err(StoreError::unreachable("told to stop")),
        };
        let error = match written {
            Ok(()) => {
                self.committed(draft, &batch);
                return Ok(Committed::Yes);
            }
            Err(StoreError::Deposed { shard, .. }) => return Err(ConductorError::Deposed(shard)),
            Err(error) => error,
        };
        let runs: Vec<RunId> = batch.runs.keys().cloned().collect();
        match &error {
            StoreError::Conflict { .. } if tries == 0 && draft.newcomers.len() == 1 => {
                tracing::debug!("A run that was taken for new may be there already: the store is asked");
            }
            error => {
                tracing::warn!(error = %error, error.label = error.label(), runs = runs.len(), "A commit did not go through");
            }
        }
        let inputs = self.again(draft, &touched).await?;
        Ok(match error {
            StoreError::Unavailable(_) | StoreError::Unknown(_) => Committed::NotYet(inputs),
            // The runs were just loaded again: now they should fit.
            StoreError::Conflict { .. } if tries < CONFLICTS_MAX => Committed::NotYet(inputs),
            refused => Committed::Refused { inputs, runs, why: refused.to_string() },
        })
    }

    /// Writes, and finds out what became of a commit whose answer was lost: a new epoch first, so that what is
    /// still on its way can no longer land, then the position tells.
    async fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let reads = !self.sweep.queue_rests;
        let outcome = tokio::select! {
            biased;
            outcome = self.store.commit(batch) => outcome,
            never = self.voice.beside(self.queue.as_ref(), reads) => match never {},
        };
        let outcome = match outcome {
            Err(StoreError::Unknown(why)) => {
                self.counters.unknown += 1;
                tracing::warn!(error = %why, "The outcome of a commit is unknown: asking for the position");
                self.ask_position(batch).await
            }
            other => other,
        };
        if outcome.is_ok() {
            self.counters.commits += 1;
            for fence in batch.fences.values() {
                if let Some(own) = self.fences.get_mut(&fence.shard) {
                    own.seq = batch.seq_after(fence);
                }
            }
        }
        outcome
    }

    async fn ask_position(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let shards: Vec<ShardId> = batch.fences.keys().copied().collect();
        let mut tries = 0;
        // What is on its way to the queue is said in the epoch that ends here.
        self.voice.end().await;
        self.tenure.change();
        let now = loop {
            match self.store.lead(&shards, &self.holder).await {
                Ok(Leadership::Won(now)) => break now,
                Ok(Leadership::Held { shard, .. }) => return Err(over(batch, shard)),
                Err(_) => tries += 1,
            }
            self.pause(tries).await.map_err(|_| StoreError::unreachable("told to stop"))?;
        };
        self.hold(now.clone(), None);
        let mut landed = None;
        for (shard, fence) in &batch.fences {
            // An epoch between ours and this one may have been another leader's, whose rows the position would count.
            let Some(now) = now.get(shard).filter(|now| now.epoch == fence.epoch + 1) else {
                return Err(over(batch, *shard));
            };
            // To go on from what it has could do twice what must be done once, so this leadership ends, and the next one
            // begins by asking how far everything had come.
            if now.seq < fence.seq {
                tracing::error!(
                    shard = shard.number(),
                    seen = fence.seq,
                    found = now.seq,
                    "The store is behind what was seen committed in it: was it restored, or a standby promoted that lagged?"
                );
                return Err(over(batch, *shard));
            }
            // A shard whose rows of history did not change tells nothing.
            if batch.seq_after(fence) != fence.seq {
                landed = Some(now.seq == batch.seq_after(fence));
            }
        }
        match landed {
            Some(true) => Ok(()),
            _ => Err(StoreError::unreachable("it was not committed")),
        }
    }

    /// The commit is in the store: tell everybody.
    fn committed(&mut self, draft: Draft, batch: &Batch) {
        self.announce(batch);
        self.mark_committed(batch);
        if let Some(read) = draft.read {
            self.outbox.read = self.outbox.read.max(read);
        }
        self.outbox.ended.extend(draft.ended_jobs);
        for (id, effect) in draft.effects {
            self.note_effect(&id, effect);
        }
        for (input, answer) in draft.inputs {
            // Whoever asked may have gone away meanwhile: then nobody waits for the answer.
            match (input, answer) {
                (Input::Message(Message::Submit(_, reply)), Answer::Submit(answer)) => {
                    drop(reply.send(answer))
                }
                (
                    Input::Message(Message::Steer { reply, .. } | Message::Decide(_, reply)),
                    Answer::Decide(answer),
                ) => {
                    drop(reply.send(answer));
                }
                (Input::Message(question), _) => drop(self.answer(question)),
                _ => {}
            }
        }
    }

    /// Answers a question; gives back what is none.
    pub(super) fn answer(&self, message: Message) -> Option<Message> {
        // Whoever asked may have gone away meanwhile.
        match message {
            Message::View(id, reply) => {
                drop(reply.send(self.runs.get(&id).map(|run| Box::new(self.outline(run)))));
            }
            Message::WhyAside(id, reply) => drop(reply.send(self.aside.get(&id).cloned())),
            Message::Live(reply) => drop(reply.send(self.all_live())),
            other => return Some(other),
        }
        None
    }

    /// The commit is not in the store: load its runs again and give the inputs back.
    async fn again(&mut self, draft: Draft, touched: &[RunId]) -> Result<Vec<Input>, ConductorError> {
        for id in touched {
            self.reload(id).await?;
        }
        // Loading a run finds again what it owes itself.
        let keep = |input: &Input| !matches!(input, Input::Mended(..) | Input::Tick(_) | Input::Expand(..));
        Ok(draft.inputs.into_iter().map(|(input, _)| input).filter(keep).collect())
    }

    /// The wait before the next try.
    pub(super) fn backoff(&self, tries: u32) -> Duration {
        backoff(&self.holder, tries, FIRST_WAIT, LONGEST_WAIT)
    }

    /// Waits before the store is asked again, unless it is time to stop.
    pub(super) async fn pause(&self, tries: u32) -> Result<(), ConductorError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(ConductorError::Stopped),
            () = self.clock.sleep(self.backoff(tries)) => Ok(()),
        }
    }
}
