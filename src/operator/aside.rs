//! A run that the store has and that is not live: it ended, or it was set aside. What its user wants of one that was set
//! aside has it loaded again.

use std::sync::Arc;

use crate::conductor::{DecideError, outline};
use crate::crd::run::DesiredState;
use crate::model::{ids::RunId, view::RunView};
use crate::operator::Trouble;
use crate::operator::accept;
use crate::operator::api::Object;
use crate::operator::book::{Known, RunRef};
use crate::operator::desire::{Act, desire};
use crate::operator::desk::Lane;
use crate::operator::kit::Kit;
use crate::operator::status::{SET_ASIDE, Waiting, aside};
use crate::store::RunRecord;

/// Tells the end of a run, or why it does not go on.
pub(super) async fn not_live(
    kit: &Kit,
    id: &RunId,
    at: &RunRef,
    object: &Object,
    record: RunRecord,
) -> Result<(), Trouble> {
    let mut view = seen(kit, id, record).await?;
    let mut notes = Vec::new();
    if !view.row.status.is_final() {
        match wish(kit, id, object, Some(&view)).await? {
            Wished::Nothing => {}
            // It is live again.
            Wished::Done => {
                kit.run_work.push(at.clone());
                return Ok(());
            }
            Wished::InVain(why) => {
                notes.push(in_vain(object));
                view.aside = Some(why);
            }
        }
    }
    kit.know(id, object, Known::Last(Arc::new(view)), Lane::Final);
    kit.book.change(id, |page| page.notes = notes);
    Ok(())
}

/// A run whose rows cannot be read: what was said of it before stays, and why it does not go on is added.
pub(super) async fn unreadable(
    kit: &Kit,
    id: &RunId,
    at: &RunRef,
    object: &Object,
    error: String,
) -> Result<(), Trouble> {
    let (why, notes) = match wish(kit, id, object, None).await? {
        Wished::Nothing => (kit.handle.why_aside(id.clone()).await.unwrap_or(error), Vec::new()),
        Wished::Done => {
            kit.run_work.push(at.clone());
            return Ok(());
        }
        Wished::InVain(why) => (why, vec![in_vain(object)]),
    };
    let waiting = Waiting { reason: SET_ASIDE, message: aside(&why), stalled: true };
    kit.know(id, object, Known::Waiting(waiting), Lane::Final);
    kit.book.change(id, |page| page.notes = notes);
    Ok(())
}

/// What is known of it.
async fn seen(kit: &Kit, id: &RunId, record: RunRecord) -> Result<RunView, Trouble> {
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

/// What came of a user's wish for a run that was set aside.
enum Wished {
    /// There is none.
    Nothing,
    /// The run was loaded again, and did it.
    Done,
    /// It could not be loaded, and why.
    InVain(String),
}

async fn wish(kit: &Kit, id: &RunId, object: &Object, view: Option<&RunView>) -> Result<Wished, Trouble> {
    let act = match (accept::read(object), view) {
        _ if object.deleting => Some(Act::Cancel { finally: false }),
        // What it says cannot be read any more.
        (Err(_), _) => None,
        (Ok(run), Some(view)) => desire(run.desired, view).act,
        // Of a run that cannot be read nobody knows what it does: only an end is asked for.
        (Ok(run), None) => match run.desired {
            DesiredState::Cancelled => Some(Act::Cancel { finally: false }),
            DesiredState::CancelledRunFinally => Some(Act::Cancel { finally: true }),
            DesiredState::Running | DesiredState::Paused => None,
        },
    };
    let Some(act) = act else { return Ok(Wished::Nothing) };
    match kit.ask_for(id, act).await {
        Ok(()) => Ok(Wished::Done),
        Err(DecideError::Aside { why, .. }) => Ok(Wished::InVain(why)),
        Err(DecideError::Stopped) => Err(Trouble::NotLeading),
        // It ended meanwhile, or is on its way from one to the other.
        Err(DecideError::NoSuchRun(_) | DecideError::NoSuchTask { .. } | DecideError::Refused(_)) => {
            Err(Trouble::Unsettled)
        }
    }
}

fn in_vain(object: &Object) -> String {
    let wanted = if object.deleting { "its deletion" } else { "desiredState" };
    format!(
        "{wanted} could not be followed, for the run cannot be loaded; it is tried again when the Run changes"
    )
}
