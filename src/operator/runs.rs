//! A Run: its object against its run. What is new is accepted, what is live follows its user's wishes, what ended is told.

use std::sync::Arc;

use crate::conductor::{DecideError, SubmitError};
use crate::crd::run::DesiredState;
use crate::crd::schema::Kind;
use crate::crd::status::RunStatus;
use crate::model::ids::RunId;
use crate::operator::accept::{self, Acceptance, Found};
use crate::operator::api::{Object, ObjectName};
use crate::operator::behind::{self, Ended};
use crate::operator::book::{Definition, Known, RunRef, Version};
use crate::operator::conditions::finished;
use crate::operator::desk::Lane;
use crate::operator::kit::Kit;
use crate::operator::status::{self, Waiting};
use crate::operator::writer::merge_patch;
use crate::operator::{Trouble, aside, follow};
use crate::store::StoreError;

/// Brings a Run up to date.
pub(super) async fn look(kit: Arc<Kit>, at: RunRef) -> Result<(), Trouble> {
    let Ok(id) = at.uid.parse::<RunId>() else {
        tracing::error!(run.name = %at.name, run.uid = at.uid, "A Run has a uid that is none, and is left alone");
        return Ok(());
    };
    let Some(object) = kit.runs.get(&at.name).filter(|object| object.uid == at.uid) else {
        return gone(&kit, &id, &at).await;
    };
    let before: RunStatus = object.told();
    if finished(&before.conditions) {
        kit.definitions.leave(&at);
        match behind::ended(&kit, &id, &object, &before).await? {
            Ended::AsSaid => {
                kit.book.close(&id);
                return ended_before(&kit, &object, &before).await;
            }
            Ended::GoesOn => {
                kit.book.close(&id);
                return Ok(());
            }
            Ended::Again => {}
        }
    }
    kit.book.open(&id, &at, &before);
    kit.book.change(&id, |page| {
        // The watch has told what the write was answered: one copy is enough.
        if page.patched.as_ref().is_some_and(|patched| patched.version == object.version) {
            page.patched = Some(object.clone());
        }
    });
    let told = kit.book.page(&id).and_then(|page| page.known);
    if told.as_ref().is_some_and(Known::is_final) {
        // Its end is being written, and whatever its object says since then changes nothing.
        kit.observe(&id, &object, Lane::Final);
        return Ok(());
    }
    if behind::stopped(&kit, &id, &object) {
        return Ok(());
    }
    if let Some(view) = kit.handle.view(id.clone()).await {
        behind::agrees(&kit, &object.name, &before, view.position).await?;
        kit.lives_again(&id, told.as_ref());
        return follow::follow(&kit, &id, &object, view).await;
    }
    match kit.store.run(&id).await {
        Ok(Some(record)) => aside::not_live(&kit, &id, &at, &object, record).await,
        Ok(None) => new(&kit, &id, &at, &object).await,
        Err(error @ StoreError::Corrupt { .. }) => {
            aside::unreadable(&kit, &id, &at, &object, error.to_string()).await
        }
        Err(error) => Err(error.into()),
    }
}

/// A Run that ended stays as it is; only that a later generation of it was seen is said.
async fn ended_before(kit: &Kit, object: &Object, before: &RunStatus) -> Result<(), Trouble> {
    if before.observed_generation == Some(object.generation) {
        return Ok(());
    }
    let new = status::again(before, object.generation);
    let new = serde_json::to_value(&new).map_err(|error| Trouble::Broken(error.to_string()))?;
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": object.version, "uid": object.uid},
        "status": merge_patch(&object.status(), &new),
    });
    kit.cluster.patch_status(Kind::Run, &object.name, &patch).await?;
    Ok(())
}

async fn new(kit: &Kit, id: &RunId, at: &RunRef, object: &Object) -> Result<(), Trouble> {
    if object.deleting {
        return Ok(());
    }
    let run = match accept::read(object) {
        Ok(run) => run,
        Err(waiting) => {
            kit.definitions.leave(at);
            kit.know(id, object, Known::Waiting(waiting), Lane::Final);
            return Ok(());
        }
    };
    let workflow = ObjectName::new(&run.namespace, &run.workflow);
    // Before the look, so that no change falls between the two.
    kit.definitions.wait(&workflow, at);
    let (version, found) = kit.found(&workflow);
    let told = object.position.is_some();
    match accept::accept(id, &run, &found, told, kit.clock.now()) {
        Acceptance::Later => Ok(()),
        Acceptance::Wait(waiting) => {
            kit.know(id, object, Known::Waiting(waiting), Lane::First);
            Ok(())
        }
        Acceptance::Withdraw(why) => {
            kit.definitions.leave(at);
            kit.book.change(id, |page| page.desired = Some(run.desired));
            kit.know(id, object, Known::Withdrawn(why), Lane::Final);
            Ok(())
        }
        Acceptance::Submit(submission) => {
            if !kit.is_newest(&workflow, version).await? {
                // Its watch tells of it in a moment, and then this Run is looked at again.
                return Ok(());
            }
            // What is said before anything asks decides nothing.
            let unasked = follow::unasked(object, &submission.workflow);
            kit.book.change(id, |page| page.disregarded = unasked);
            submitted(kit, id, object, (kit.handle.submit(*submission).await, run.desired))?;
            kit.definitions.leave(at);
            // What its user wants beyond being run follows now.
            kit.run_work.push(at.clone());
            Ok(())
        }
    }
}

fn submitted(
    kit: &Kit,
    id: &RunId,
    object: &Object,
    (answer, desired): (Result<(), SubmitError>, DesiredState),
) -> Result<(), Trouble> {
    let (reason, stalled) = match &answer {
        Ok(()) => {
            kit.book.change(id, |page| {
                // Its last mark may have come sooner than the answer.
                if !page.known.as_ref().is_some_and(Known::is_final) {
                    page.known = Some(Known::Live);
                }
                // It was born paused, and the cancel is yet to come.
                if desired != DesiredState::CancelledRunFinally {
                    (page.desired, page.generation) = (Some(desired), Some(object.generation));
                }
            });
            kit.mark(id, Lane::First);
            return Ok(());
        }
        Err(SubmitError::TooMany(_)) => ("LimitReached", false),
        Err(SubmitError::Store(_)) => ("NotAccepted", true),
        // The next look says so.
        Err(SubmitError::Behind(_)) => return Err(Trouble::Unsettled),
        Err(SubmitError::NotLeader(_) | SubmitError::Stopped) => return Err(Trouble::NotLeading),
    };
    let Err(error) = answer else { return Ok(()) };
    let waiting = Waiting { reason, message: error.to_string(), stalled };
    kit.know(id, object, Known::Waiting(waiting), Lane::First);
    Err(Trouble::NotAccepted(error))
}

/// Its object is not where it was. Only when the API server says so of this very object is its run cancelled.
async fn gone(kit: &Arc<Kit>, id: &RunId, at: &RunRef) -> Result<(), Trouble> {
    if kit.cluster.get(Kind::Run, &at.name).await?.is_some_and(|object| object.uid == at.uid) {
        // The watch has not told of it yet, or will tell of its end.
        return Err(Trouble::Unsettled);
    }
    match kit.handle.cancel(id.clone(), false).await {
        Ok(()) => {
            tracing::info!(run.id = %id, run.name = %at.name, "A run is cancelled: its Run was deleted")
        }
        Err(DecideError::Stopped) => return Err(Trouble::NotLeading),
        Err(error @ DecideError::Aside { .. }) => {
            tracing::warn!(run.id = %id, run.name = %at.name, %error,
                "A run whose Run was deleted cannot be cancelled; once it can be loaded, the next start of the operator does it");
        }
        // It ended before, or was never accepted.
        Err(DecideError::NoSuchRun(_) | DecideError::NoSuchTask { .. } | DecideError::Refused(_)) => {}
    }
    kit.definitions.leave(at);
    kit.book.close(id);
    kit.desk().forget(id);
    Ok(())
}

impl Kit {
    /// So far a Run has come, as this object of it stands; its status is to say so.
    pub(super) fn know(&self, id: &RunId, object: &Object, known: Known, lane: Lane) {
        self.book.change(id, |page| {
            page.known = Some(known);
            page.notes.clear();
        });
        self.observe(id, object, lane);
    }

    /// What this object says was looked at; the status is to say so.
    pub(super) fn observe(&self, id: &RunId, object: &Object, lane: Lane) {
        self.book.change(id, |page| page.generation = Some(object.generation));
        self.mark(id, lane);
    }

    /// A run that was set aside, or behind, is live once more: what was known of it then is over.
    fn lives_again(&self, id: &RunId, told: Option<&Known>) {
        self.book.change(id, |page| {
            // Unless it was told anew meanwhile.
            if page.known.as_ref() == told {
                page.known = Some(Known::Live);
            }
        });
    }

    /// What a Workflow's name stands for, and which state of its object says so.
    fn found(&self, workflow: &ObjectName) -> (Option<Version>, Found) {
        let object = self.workflows.get(workflow);
        match (self.definitions.get(workflow), object) {
            (Some(Definition { version, found }), Some(object)) if version == Version::of(&object) => {
                (Some(version), found)
            }
            (None, None) if self.workflows.is_synced() => (None, Found::Missing),
            // A look at it is under way, or about to be.
            _ => (None, Found::Pending),
        }
    }

    /// Is this the state in which the API server has the Workflow now? A Run that comes right behind an edit may be seen
    /// before it, for each kind has a watch of its own.
    async fn is_newest(&self, workflow: &ObjectName, version: Option<Version>) -> Result<bool, Trouble> {
        let call = || async {
            let object = self.cluster.get(Kind::Workflow, workflow).await?;
            Ok(object.as_ref().map(Version::of))
        };
        Ok(self.fresh.ask(workflow, call).await? == version)
    }
}
