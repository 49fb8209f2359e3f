//! A store that was set back to an older state, or is another one: somebody was told of positions that it has not come to.
//!
//! What was done since then is not in it, so to go on could do twice what must be done once. Shards that are behind stop:
//! their runs leave memory, nothing is said of them to the queue and nothing is heard from it, nothing new is accepted. They
//! stay led, so that no other process begins with them. Once a person accepted the older state, the shard's position is moved
//! beyond all that may have been told, and everything goes on from the rows that are there.

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::conductor::{Conductor, ConductorError, cycle::Input, inbox::Message};
use crate::model::{
    ids::{RunId, ShardId},
    time::later,
};
use crate::store::StoreError;

/// What to make of positions that others were told (`Handle::told`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// Nobody tells any: there is no world outside that could know more.
    Untold,
    /// All of them are waited for before anything is done, while the next comes within `TOLD_WITHIN`; a shard that is
    /// behind stops.
    Stops,
    /// They are waited for; a shard that is behind goes on from what the store has.
    Accepted,
}

/// Longest wait for the next word about what was told. Whoever could tell it may be away, and no run waits for that for long.
pub const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// A position beyond this is none of ours, whoever says so: a shard gets there in no lifetime.
pub const POSITION_MAX: i64 = 1 << 53;
/// Statuses lag behind commits; so many transitions more may have been read by somebody.
const MARGIN: i64 = 1_000_000;

/// Positions that were told, by shard: the highest of each.
pub type Positions = BTreeMap<ShardId, i64>;

impl Conductor {
    /// Waits for what was told, and compares. Questions are answered meanwhile; whatever else is asked waits.
    pub(super) async fn hear_what_was_told(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), ConductorError> {
        if self.older == Older::Untold {
            return Ok(());
        }
        let mut until = later(self.clock.now(), TOLD_WITHIN);
        loop {
            // What waits here is as bounded as the inbox itself.
            let room = self.todo.len() < self.limits.inbox;
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(message) = self.inbox.recv(), if room => message,
                () = self.clock.sleep_until(until) => {
                    tracing::warn!("Nobody has said how far the runs had come; what the store has counts");
                    return Ok(());
                }
            };
            match message {
                Message::Told { positions, all, reply } => {
                    self.compare(positions).await?;
                    // Whoever told it may have gone away meanwhile.
                    reply.send(()).unwrap_or(());
                    if all {
                        return Ok(());
                    }
                    // There is more to come.
                    until = later(self.clock.now(), TOLD_WITHIN);
                }
                message => {
                    if let Some(later) = self.answer(message) {
                        self.todo.push(Input::Message(later));
                    }
                }
            }
        }
    }

    /// Takes what was told out of the inputs, and what belongs to shards that stop for it.
    pub(super) async fn heed(&mut self, inputs: Vec<Input>) -> Result<Vec<Input>, ConductorError> {
        let is_told = |input: &Input| matches!(input, Input::Message(Message::Told { .. }));
        if !inputs.iter().any(is_told) {
            return Ok(inputs);
        }
        // Nothing is on its way to a shard that stops.
        self.hear_out().await?;
        let (told, mut others): (Vec<Input>, Vec<Input>) = inputs.into_iter().partition(is_told);
        for input in told {
            if let Input::Message(Message::Told { positions, reply, .. }) = input {
                self.compare(positions).await?;
                reply.send(()).unwrap_or(());
            }
        }
        others.retain(|input| !self.is_stopped(input));
        Ok(others)
    }

    /// Stops each shard that is behind what was told of it, or moves it beyond.
    async fn compare(&mut self, told: Positions) -> Result<(), ConductorError> {
        if self.older == Older::Untold {
            return Ok(());
        }
        let behind = |(shard, told): &(ShardId, i64)| {
            *told <= POSITION_MAX
                && !self.stopped.contains_key(shard)
                && self.fences.get(shard).is_some_and(|fence| fence.seq < *told)
        };
        let behind: Vec<(ShardId, i64)> = told.into_iter().filter(behind).collect();
        if behind.is_empty() {
            return Ok(());
        }
        // Otherwise it was told by whoever leads by now.
        let mut tries = 0;
        while !self.tenure.ask().await? {
            tries += 1;
            self.pause(tries).await?;
        }
        for (shard, told) in behind {
            match self.older {
                Older::Accepted => self.move_beyond(shard, told).await?,
                Older::Stops | Older::Untold => self.stop_shard(shard, told),
            }
        }
        Ok(())
    }

    async fn move_beyond(&mut self, shard: ShardId, told: i64) -> Result<(), ConductorError> {
        let Some(fence) = self.fences.get(&shard).copied() else { return Ok(()) };
        let mut tries = 0;
        let now = loop {
            match self.store.raise(&fence, told + MARGIN).await {
                Ok(now) => break now,
                Err(StoreError::Deposed { shard, .. }) => return Err(ConductorError::Deposed(shard)),
                // Done twice it is done once.
                Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => tries += 1,
                Err(error) => return Err(error.into()),
            }
            self.pause(tries).await?;
        };
        tracing::warn!(
            shard = shard.number(),
            told,
            found = fence.seq,
            position = now.seq,
            "An older state of the store is accepted: what was done since is not in it, and may be done again"
        );
        self.fences.insert(shard, now);
        Ok(())
    }

    fn stop_shard(&mut self, shard: ShardId, told: i64) {
        let found = self.fences.get(&shard).map_or(0, |fence| fence.seq);
        tracing::error!(
            shard = shard.number(),
            told,
            found,
            "The store is behind what was told of it, so this shard stops: restore the store, or start once with \
             --accept-older-state to go on from what it has"
        );
        self.stopped.insert(shard, told);
        let its: Vec<RunId> = self
            .runs
            .values()
            .map(|run| run.row())
            .filter(|row| row.shard() == shard)
            .map(|row| row.id.clone())
            .collect();
        for id in &its {
            self.mark_stopped(id);
            self.forget(id);
        }
        self.outbox.ended.retain(|placed| ShardId::of_pool(&placed.pool) != shard);
        let todo = std::mem::take(&mut self.todo);
        self.todo = todo.into_iter().filter(|input| !self.is_stopped(input)).collect();
        // What was counted before counts no longer.
        self.sweep.begin_anew(self.clock.now());
        self.lead_queue();
        self.tell_stopped();
    }

    /// Is it about a shard that stopped? People are answered that their run is not live here.
    fn is_stopped(&self, input: &Input) -> bool {
        match input {
            Input::Message(_) => false,
            Input::Report(told) => self.stopped.contains_key(&ShardId::of_pool(&told.pool)),
            Input::Forgotten(placed) | Input::Lost(placed) => {
                self.stopped.contains_key(&ShardId::of_pool(&placed.pool))
            }
            _ => !self.stopped.is_empty() && input.run().is_some_and(|run| !self.runs.contains_key(run)),
        }
    }
}
