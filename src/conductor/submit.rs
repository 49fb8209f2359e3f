//! Runs that are submitted: which of them are new, and their birth.
//!
//! The store is asked about all of them at once, before the batch is taken: a hundred Runs that are created together cost a
//! round trip and not hundreds. One that comes alone is taken for new, for the question would take a tenth of the time of a
//! run of one task: the commit itself tells when it is not, and then the store is asked.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::conductor::{
    Conductor, ConductorError,
    commit::Draft,
    cycle::Input,
    inbox::{Message, Submission, SubmitError},
};
use crate::engine::Run;
use crate::model::{
    ids::{RunId, WorkflowId},
    run::RunRow,
};
use crate::store::StoreError;

/// Revisions that are kept at a time; each has a connection to itself.
const AT_ONCE: usize = 16;

/// What the store says of submitted runs: is it new, and its revision kept?
pub(super) type Newcomers = BTreeMap<RunId, Result<bool, SubmitError>>;

/// Why the store said nothing of a run, and whether it is worth asking again.
#[derive(Clone)]
struct Silence {
    again: bool,
    why: String,
}

impl From<StoreError> for Silence {
    fn from(e: StoreError) -> Silence {
        let again = matches!(e, StoreError::Unavailable(_) | StoreError::Unknown(_));
        Silence { again, why: e.to_string() }
    }
}

impl Conductor {
    /// Looks up every submission among the inputs. Waits for the store as long as it must, as a commit does. `again`: what
    /// was taken for granted may not be so.
    pub(super) async fn look_up(
        &mut self,
        inputs: &[Input],
        again: bool,
    ) -> Result<Newcomers, ConductorError> {
        let submitted = inputs.iter().filter_map(|input| match input {
            Input::Message(Message::Submit(submission, _)) => Some(submission.as_ref()),
            _ => None,
        });
        let mut open: Vec<&Submission> = submitted.filter(|s| self.turned_away(&s.run).is_none()).collect();
        let mut found = Newcomers::new();
        if let [alone] = open.as_slice()
            && !again
            && self.workflows.contains_key(&alone.revision.id)
        {
            found.insert(alone.run.id.clone(), Ok(true));
            return Ok(found);
        }
        let mut tries = 0;
        while !open.is_empty() {
            let answers = self.ask_about(&open).await?;
            let mut silent = None;
            open.retain(|submission| {
                let id = &submission.run.id;
                let answer = match answers.get(id) {
                    Some(Err(Silence { again: true, why })) => {
                        silent = Some(why.clone());
                        return true;
                    }
                    Some(Err(silence)) => Err(SubmitError::Store(silence.why.clone())),
                    Some(Ok(new)) => Ok(*new),
                    None => return true,
                };
                found.insert(id.clone(), answer);
                false
            });
            let Some(error) = silent else { continue };
            tracing::warn!(runs = open.len(), error, tries, "Runs could not be accepted yet");
            tries += 1;
            if self.pause(tries).await.is_err() {
                found.extend(open.drain(..).map(|s| (s.run.id.clone(), Err(SubmitError::Stopped))));
            }
        }
        Ok(found)
    }

    /// Asks once which runs are there, and keeps the revisions of those that are not.
    async fn ask_about(
        &mut self,
        open: &[&Submission],
    ) -> Result<BTreeMap<RunId, Result<bool, Silence>>, ConductorError> {
        let ids: Vec<RunId> = open.iter().map(|s| s.run.id.clone()).collect();
        let there = self.store.which_are_there(&ids).await.map_err(Silence::from);
        let answer = |id: RunId| {
            let new = there.as_ref().map(|there| !there.contains(&id)).map_err(Silence::clone);
            (id, new)
        };
        let mut answers: BTreeMap<RunId, Result<bool, Silence>> = ids.into_iter().map(answer).collect();
        let is_new = |s: &Submission| matches!(answers.get(&s.run.id), Some(Ok(true)));
        let mut seen: BTreeSet<&WorkflowId> = BTreeSet::new();
        let unknown = open.iter().copied().filter(|s| {
            is_new(s) && !self.workflows.contains_key(&s.revision.id) && seen.insert(&s.revision.id)
        });
        let unknown: Vec<&Submission> = unknown.collect();
        let mut failed: BTreeMap<&WorkflowId, Silence> = BTreeMap::new();
        for some in unknown.chunks(AT_ONCE) {
            let kept = join_all(some.iter().map(|s| self.store.put_revision(&s.revision))).await;
            for (submission, kept) in some.iter().zip(kept) {
                match kept {
                    Ok(()) => self.keep(submission.revision.id.clone(), submission.workflow.clone()),
                    Err(e) => drop(failed.insert(&submission.revision.id, e.into())),
                }
            }
        }
        for submission in open {
            if let (Some(answer @ Ok(true)), Some(silence)) =
                (answers.get_mut(&submission.run.id), failed.get(&submission.revision.id))
            {
                *answer = Err(silence.clone());
            }
        }
        Ok(answers)
    }

    /// The answer to a submission that can be given without the store.
    fn turned_away(&self, run: &RunRow) -> Option<Result<(), SubmitError>> {
        if self.runs.contains_key(&run.id) {
            return Some(Ok(()));
        }
        if let Some(why) = self.aside.get(&run.id) {
            return Some(Err(SubmitError::Store(why.clone())));
        }
        if self.stopped.contains_key(&run.shard()) {
            return Some(Err(SubmitError::Behind(run.namespace.clone())));
        }
        let led = self.fences.contains_key(&run.shard());
        (!led).then(|| Err(SubmitError::NotLeader(run.namespace.clone())))
    }

    /// Lets a run begin, if it is new.
    pub(super) fn submit(&mut self, draft: &mut Draft, submission: &Submission) -> Result<(), SubmitError> {
        let Submission { workflow, run, .. } = submission;
        if let Some(answer) = self.turned_away(run) {
            return answer;
        }
        if self.runs.len() >= self.limits.live_runs {
            return Err(SubmitError::TooMany(self.runs.len()));
        }
        match draft.newcomers.get(&run.id) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => return Ok(()),
            Some(Err(why)) => return Err(why.clone()),
            // It was live a moment ago.
            None => return Err(SubmitError::Store("it has just left memory; submit it again".to_owned())),
        }
        // It begins now, however long it took to come so far.
        let now = self.clock.now();
        let paused_at = run.paused_at.map(|_| now);
        let run = RunRow { created_at: now, started_at: now, paused_at, ..run.clone() };
        match Run::begin(workflow.clone(), run, now) {
            Ok((run, plan)) => self.begin(draft, run, plan),
            Err(refused) => return Err(SubmitError::Store(refused.to_string())),
        }
        Ok(())
    }
}
