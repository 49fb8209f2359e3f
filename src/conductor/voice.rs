//! What is said to the queue beside the next commit: jobs that go out, and what is settled.
//!
//! Each turn says what it has to say in one breath of words, and the next one begins only when that has ended: a job is
//! never forgotten before it was offered. They are said while the conductor gathers, decides and commits on, for none of
//! that depends on them. What does (a job that is taken back, a word to begin, a census, the end) waits until they are
//! said. Killed meanwhile, words are lost as they would be between a commit and its words: the next leader's sweep says
//! them again.

use std::{convert::Infallible, future::pending, panic::resume_unwind, sync::Arc};

use futures::future::join;
use tokio::task::{JoinError, JoinSet};

use crate::conductor::{Conductor, ConductorError, cycle::Input};
use crate::model::job::Job;
use crate::queue::{Placed, Position, Queue, QueueError, Unfit};

/// What one turn has to say; all of it is committed.
pub(super) struct Words {
    /// To be offered.
    pub jobs: Vec<Job>,
    /// Reports up to here are settled, ...
    pub read: Position,
    /// ... and these jobs; none when nothing is new.
    pub ended: Option<Vec<Placed>>,
}

/// What became of them.
pub(super) struct Said {
    offered: Result<Vec<Unfit>, QueueError>,
    settled: Result<(), QueueError>,
    read: Position,
    ended: Option<Vec<Placed>>,
}

/// Words on their way.
#[derive(Default)]
pub(super) struct Voice {
    /// At most one.
    words: JoinSet<Said>,
    said: Option<Said>,
}

impl Voice {
    /// Are words on their way, or is it to be heard yet what became of them?
    pub(super) fn speaks(&self) -> bool {
        !self.words.is_empty() || self.said.is_some()
    }

    /// Begins; whatever was said before has been heard.
    fn say(&mut self, queue: Arc<dyn Queue>, words: Words) {
        let Words { jobs, read, ended } = words;
        self.words.spawn(async move {
            let offer = async { if jobs.is_empty() { Ok(Vec::new()) } else { queue.publish(&jobs).await } };
            let settle = async {
                match &ended {
                    Some(ended) => queue.settle(read, ended).await,
                    None => Ok(()),
                }
            };
            // Both at once: what is settled is committed, whatever becomes of the jobs.
            let (offered, settled) = join(offer, settle).await;
            Said { offered, settled, read, ended }
        });
    }

    /// Waits until everything is said. Dropping the future loses nothing.
    pub(super) async fn end(&mut self) {
        if let Some(said) = self.words.join_next().await {
            match said.map_err(JoinError::try_into_panic) {
                Ok(said) => self.said = Some(said),
                Err(Ok(panic)) => resume_unwind(panic),
                // The process ends, and all its tasks.
                Err(Err(_)) => pending().await,
            }
        }
    }

    /// Speaks on, and reads ahead what workers tell, for as long as something else takes.
    pub(super) async fn beside(&mut self, queue: &dyn Queue, reads: bool) -> Infallible {
        let read_ahead = async {
            if reads {
                queue.read_ahead().await
            }
        };
        join(self.end(), read_ahead).await;
        pending().await
    }
}

impl Conductor {
    /// Says to the queue what is to be said. What fails is found again by the sweep; while the queue rests it waits.
    pub(super) async fn carry_out(&mut self) -> Result<(), ConductorError> {
        self.hear_out().await?;
        // Before each word it must be certain that this process leads: the one before may have taken long.
        if self.sweep.queue_rests || !self.sure().await {
            return Ok(());
        }
        if let Some(words) = self.words() {
            self.voice.say(self.queue.clone(), words);
        }
        if self.outbox.acts() {
            self.voice.end().await;
            // Whatever became of those words: a job that cannot be offered keeps no other one from being stopped.
            let acted = self.act().await;
            let said = self.heard();
            self.took(said.and(acted)).await?;
        } else if !self.voice.speaks() {
            self.queue_took_all();
        }
        Ok(())
    }

    /// Waits until the words before are said, and makes up its mind about what became of them; true when the queue took all of
    /// them.
    pub(super) async fn hear_out(&mut self) -> Result<bool, ConductorError> {
        self.voice.end().await;
        if self.voice.said.is_none() {
            return Ok(true);
        }
        let said = self.heard();
        self.took(said).await
    }

    /// What became of words that are said.
    fn heard(&mut self) -> Result<(), QueueError> {
        let Some(Said { offered, settled, read, ended }) = self.voice.said.take() else { return Ok(()) };
        match (&settled, ended) {
            (Ok(()), Some(_)) => self.outbox.settled(read),
            (Err(_), Some(ended)) => self.outbox.ended.extend(ended),
            (_, None) => {}
        }
        let offered = match offered {
            // It is there, and what is settled makes room in it.
            Err(QueueError::Full(what)) => {
                tracing::warn!(full = what, "The queue is full: jobs wait for the next sweep");
                Ok(())
            }
            offered => offered.map(|unfit| self.todo.extend(unfit.into_iter().map(Input::Unfit))),
        };
        offered.and(settled)
    }

    async fn took(&mut self, said: Result<(), QueueError>) -> Result<bool, ConductorError> {
        let Err(e) = said else {
            self.queue_took_all();
            return Ok(true);
        };
        tracing::warn!(error = %e, error.label = e.label(), "The queue was not told everything; the sweep makes up for it");
        self.queue_refused(e).await?;
        Ok(false)
    }
}
