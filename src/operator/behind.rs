//! A store that was set back to an older state, seen at one Run: its status tells more than the store knows. What is live
//! there is paused, for to go on could do twice what must be done once.

use serde_json::json;

use crate::conductor::DecideError;
use crate::crd::run::DesiredState;
use crate::crd::schema::Kind;
use crate::crd::status::{Condition, ConditionStatus, Fitted as _, RunStatus};
use crate::model::{ids::RunId, ids::ShardId, view::RunView};
use crate::operator::Trouble;
use crate::operator::accept;
use crate::operator::api::Object;
use crate::operator::book::Known;
use crate::operator::desk::Lane;
use crate::operator::events::Told;
use crate::operator::kit::Kit;
use crate::operator::status::{STORE_BEHIND, Waiting};
use crate::operator::writer::merge_patch;

/// Said of a live run.
const LIVE: &str = "its status tells more than the store knows: the store was set back to an older state, or is another one; the \
                    run is paused, so that nothing is done twice unasked: restore the store; or let the run go on from where \
                    the store has it, by setting desiredState to Paused and then to Running; or delete this Run";
/// Said of a run that had ended.
const ENDED: &str = "it had ended, and in the store it has not: the store was set back to an older state, or is another one; \
                     the run is paused, so that nothing is done twice unasked: restore the store, or delete this Run, which \
                     cancels what the store has of it";

/// How a Run stands whose status says that it ended.
pub(super) enum Ended {
    /// It ended.
    AsSaid,
    /// The store has it live; it is paused, and its status says so.
    GoesOn,
    /// It was said to go on, and has ended: that is to be told once more.
    Again,
}

/// Does this status say that the store is behind?
pub(super) fn said(before: &RunStatus) -> bool {
    before.conditions.iter().any(|known| known.reason == STORE_BEHIND)
}

/// A Run that ended, as its status says: has it?
pub(super) async fn ended(
    kit: &Kit,
    id: &RunId,
    object: &Object,
    before: &RunStatus,
) -> Result<Ended, Trouble> {
    let view = kit.handle.view(id.clone()).await.filter(|view| !view.row.status.is_final());
    let Some(view) = view else {
        if !said(before) {
            return Ok(Ended::AsSaid);
        }
        let row = kit.store.run_row(id).await?;
        return Ok(if row.is_some_and(|row| row.status.is_final()) { Ended::Again } else { Ended::AsSaid });
    };
    // Another operator may have ended it: then this one leads no longer.
    if kit.store.run_row(id).await?.is_none_or(|row| row.status.is_final()) {
        return Err(Trouble::Unsettled);
    }
    position(kit, view.row.shard()).await?;
    match object.deleting {
        true => stop(kit.handle.cancel(id.clone(), false).await)?,
        false => stop(kit.handle.pause(id.clone()).await)?,
    }
    if !said(before) {
        tracing::error!(run.id = %id, run.name = %object.name,
            "The store is behind: a run that had ended is live in it, and was paused");
        tell_of_ended(kit, object, before).await?;
    }
    Ok(Ended::GoesOn)
}

/// What was said of its end stays; that it goes on is added.
async fn tell_of_ended(kit: &Kit, object: &Object, before: &RunStatus) -> Result<(), Trouble> {
    let stays = |known: &&Condition| known.kind == "Finished" || known.kind == "Succeeded";
    let mut conditions: Vec<Condition> = before.conditions.iter().filter(stays).cloned().collect();
    conditions.push(Condition {
        kind: "Stalled".to_owned(),
        status: ConditionStatus::True,
        observed_generation: Some(object.generation),
        last_transition_time: kit.clock.now(),
        reason: STORE_BEHIND.to_owned(),
        message: ENDED.to_owned(),
    });
    let (state, message) = (Some(STORE_BEHIND.to_owned()), Some(ENDED.to_owned()));
    let new = RunStatus {
        observed_generation: Some(object.generation),
        state,
        message,
        conditions,
        ..before.clone()
    };
    let new = serde_json::to_value(new.fitted()).map_err(|error| Trouble::Broken(error.to_string()))?;
    let patch = json!({
        "metadata": {"resourceVersion": object.version, "uid": object.uid},
        "status": merge_patch(object.status(), &new),
    });
    kit.cluster.patch_status(Kind::Run, &object.name, &patch).await?;
    kit.herald.tell(&object.reference(Kind::Run), Told::warning(STORE_BEHIND, "", ENDED.to_owned()));
    Ok(())
}

/// A live run whose status tells a position that the store has not come to: it is paused, and says so. False: there is
/// nothing of that kind.
pub(super) async fn live(
    kit: &Kit,
    id: &RunId,
    object: &Object,
    (before, view): (&RunStatus, &RunView),
) -> Result<bool, Trouble> {
    let ahead = before.position > Some(view.position);
    let desired = accept::read(object).ok().map(|run| run.desired);
    let answered = !matches!(desired, None | Some(DesiredState::Running));
    let behind = match said(before) {
        _ if object.deleting => false,
        // Its user has read it and decided.
        true if answered => false,
        true => ahead || view.row.paused_at.is_some(),
        false => ahead,
    };
    if !behind {
        return Ok(false);
    }
    if ahead && before.position <= Some(position(kit, view.row.shard()).await?) {
        // What was told came from another operator, which led later than this one.
        return Err(Trouble::Unsettled);
    }
    stop(kit.handle.pause(id.clone()).await)?;
    let known = kit.book.page(id).and_then(|page| page.known);
    if !said(before) && !matches!(known, Some(Known::Behind(_))) {
        tracing::error!(run.id = %id, run.name = %object.name, said = before.position, found = view.position,
            "The store is behind: a run's status tells more than the store knows, and the run was paused");
    }
    let waiting = Waiting { reason: STORE_BEHIND, message: LIVE.to_owned(), stalled: true };
    kit.know(id, object, Known::Behind(waiting), Lane::Final);
    Ok(true)
}

/// The store's position, if this process leads still.
async fn position(kit: &Kit, shard: ShardId) -> Result<i64, Trouble> {
    let now = kit.store.position(shard).await?;
    let leads = kit.outlook.fence(shard).is_some_and(|own| own.epoch == now.epoch);
    leads.then_some(now.seq).ok_or(Trouble::NotLeading)
}

/// A run that is being stopped is not paused, and starts nothing new but its finally tasks.
fn stop(answer: Result<(), DecideError>) -> Result<(), Trouble> {
    match answer {
        Err(DecideError::Stopped) => Err(Trouble::NotLeading),
        _ => Ok(()),
    }
}
