//! A Run: its object against its run. What is new is accepted, what is live follows its user's wishes, what ended is told.

use std::sync::Arc;

use crate::conductor::{DecideError, SubmitError, outline};
use crate::crd::schema::Kind;
use crate::crd::status::{RunStatus, status_of};
use crate::model::{ids::RunId, view::RunView};
use crate::operator::accept::{self, Acceptance, Found};
use crate::operator::api::{Object, ObjectName};
use crate::operator::book::{Known, RunRef};
use crate::operator::conditions::finished;
use crate::operator::desk::Lane;
use crate::operator::kit::Kit;
use crate::operator::status::{self, Waiting};
use crate::operator::writer::merge_patch;
use crate::operator::{Trouble, follow};
use crate::store::RunRecord;

/// Brings a Run up to date.
pub(super) async fn look(kit: Arc<Kit>, at: RunRef) -> Result<(), Trouble> {
    let Ok(id) = at.uid.parse::<RunId>() else {
        tracing::error!(run.name = %at.name, run.uid = at.uid, "A Run has a uid that is none, and is left alone");
        return Ok(());
    };
    let Some(object) = kit.runs.get(&at.name).filter(|object| object.uid == at.uid) else {
        return gone(&kit, &id, &at).await;
    };
    let before: RunStatus = status_of(&object.json);
    if finished(&before.conditions) {
        kit.book.close(&id);
        return ended_before(&kit, &object, &before).await;
    }
    kit.book.open(&id, &at, || before.disregarded.clone());
    let told = kit.book.page(&id).and_then(|page| page.known);
    if let Some(Known::Last(_) | Known::Withdrawn) = told {
        // Its end is being written.
        return Ok(());
    }
    if let Some(view) = kit.handle.view(id.clone()).await {
        return follow::follow(&kit, &id, &object, view).await;
    }
    match kit.store.run(&id).await? {
        Some(record) => {
            let view = not_live(&kit, &id, record).await?;
            kit.know(&id, Known::Last(Arc::new(view)), Lane::Final);
            Ok(())
        }
        None => new(&kit, &id, &at, &object).await,
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
        "status": merge_patch(object.status(), &new),
    });
    kit.cluster.patch_status(Kind::Run, &object.name, &patch).await?;
    Ok(())
}

/// A run that the store has and the conductor does not: it ended, or it was set aside.
async fn not_live(kit: &Kit, id: &RunId, record: RunRecord) -> Result<RunView, Trouble> {
    let position = kit.store.position(record.run.shard()).await?.seq;
    let revision = kit.store.revision(&record.run.workflow).await?;
    let workflow = match &revision {
        Some(revision) => (kit.compile)(revision),
        None => Err(format!("its revision {} is not there", record.run.workflow)),
    };
    let mut view = match &workflow {
        Ok(workflow) => outline(workflow, &record.run, &record.tasks, &record.approvals, position),
        Err(_) => RunView::bare(record.run.clone(), position),
    };
    if !record.run.status.is_final() {
        let why = match kit.handle.why_aside(id.clone()).await {
            Some(why) => why,
            // It may be on its way from one to the other.
            None => workflow.err().ok_or(Trouble::Unsettled)?,
        };
        view.aside = Some(why);
    }
    Ok(view)
}

async fn new(kit: &Kit, id: &RunId, at: &RunRef, object: &Object) -> Result<(), Trouble> {
    if object.deleting {
        return Ok(());
    }
    let run = match accept::read(object) {
        Ok(run) => run,
        Err(waiting) => {
            kit.know(id, Known::Waiting(waiting), Lane::Final);
            return Ok(());
        }
    };
    let workflow = ObjectName::new(&run.namespace, &run.workflow);
    // Before the look, so that no change falls between the two.
    kit.definitions.wait(&workflow, at);
    let found = kit.found(&workflow);
    let desired = run.desired;
    match accept::accept(id, &run, &found, kit.clock.now()) {
        Acceptance::Later => Ok(()),
        Acceptance::Wait(waiting) => {
            kit.know(id, Known::Waiting(waiting), Lane::First);
            Ok(())
        }
        Acceptance::Withdraw => {
            kit.book.change(id, |page| page.desired = Some(desired));
            kit.know(id, Known::Withdrawn, Lane::Final);
            kit.definitions.leave(&workflow, at);
            Ok(())
        }
        Acceptance::Submit(submission) => {
            // What is said before anything asks decides nothing.
            let unasked = follow::unasked(object, &submission.workflow);
            kit.book.change(id, |page| {
                page.desired = Some(desired);
                page.disregarded = unasked;
            });
            submitted(kit, id, kit.handle.submit(*submission).await)?;
            kit.definitions.leave(&workflow, at);
            // What its user wants beyond being run follows now.
            kit.run_work.push(at.clone());
            Ok(())
        }
    }
}

fn submitted(kit: &Kit, id: &RunId, answer: Result<(), SubmitError>) -> Result<(), Trouble> {
    let (reason, stalled) = match &answer {
        Ok(()) => {
            // Its last mark may have come sooner than the answer.
            kit.book.change(id, |page| {
                if !matches!(page.known, Some(Known::Last(_))) {
                    page.known = Some(Known::Live);
                }
            });
            kit.mark(id, Lane::First);
            return Ok(());
        }
        Err(SubmitError::TooMany(_)) => ("LimitReached", false),
        Err(SubmitError::Store(_)) => ("NotAccepted", true),
        Err(SubmitError::NotLeader(_) | SubmitError::Stopped) => return Err(Trouble::NotLeading),
    };
    let Err(error) = answer else { return Ok(()) };
    let waiting = Waiting { reason, message: error.to_string(), stalled };
    kit.know(id, Known::Waiting(waiting), Lane::First);
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
        // It ended before, or was never accepted.
        Err(DecideError::NoSuchRun(_) | DecideError::NoSuchTask { .. } | DecideError::Refused(_)) => {}
    }
    kit.book.close(id);
    Ok(())
}

impl Kit {
    /// So far a Run has come; its status is to say so.
    pub(super) fn know(&self, id: &RunId, known: Known, lane: Lane) {
        self.book.change(id, |page| page.known = Some(known));
        self.mark(id, lane);
    }

    /// What a Workflow's name stands for.
    fn found(&self, workflow: &ObjectName) -> Found {
        match self.definitions.get(workflow) {
            Some(Ok(definition)) => Found::Valid(definition),
            Some(Err(why)) => Found::Invalid(why),
            None if self.workflows.is_synced() && self.workflows.get(workflow).is_none() => Found::Missing,
            None => Found::Pending,
        }
    }
}
