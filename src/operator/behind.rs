//! A store that was set back to an older state, or is another one, as seen from statuses: they tell more than the store knows.
//! The conductor stops each shard that is behind (`conductor/behind.rs`), and here it is said of its Runs. A run that had ended,
//! and is live in a store that is not behind by its position, is paused.

use std::sync::Arc;

use serde_json::json;

use crate::conductor::{DecideError, POSITION_MAX, Positions};
use crate::crd::schema::Kind;
use crate::crd::status::{Condition, ConditionStatus, Fitted as _, RunStatus};
use crate::model::{ids::RunId, ids::ShardId};
use crate::operator::Trouble;
use crate::operator::api::{Object, ObjectName};
use crate::operator::book::Known;
use crate::operator::desk::Lane;
use crate::operator::events::Told;
use crate::operator::kit::Kit;
use crate::operator::status::{STORE_BEHIND, Waiting};
use crate::operator::writer::merge_patch;

/// Said of every Run of a shard that stopped.
const STOPPED: &str = "Runs of this namespace, or of one that shares its shard, were told more than the store knows: the store was set \
                       back to an older state, or is another one; nothing of it starts or ends, so that nothing is done twice \
                       unasked: restore the store; or let all go on from where the store has it, by starting the operator once \
                       with --accept-older-state (acceptOlderState of the chart)";
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
    leads(kit, view.row.shard()).await?;
    agrees(kit, &object.name, before, view.position).await?;
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
        "status": merge_patch(&object.status(), &new),
    });
    kit.cluster.patch_status(Kind::Run, &object.name, &patch).await?;
    kit.herald.tell(&object.reference(Kind::Run), Told::warning(STORE_BEHIND, "", ENDED.to_owned()));
    Ok(())
}

/// How far the statuses of these Runs say that their shards have come.
pub(super) fn positions(objects: &[Arc<Object>]) -> Positions {
    let mut positions = Positions::new();
    for object in objects {
        if let Some(told) = object.position {
            let shard = ShardId::of_namespace(&object.name.namespace);
            let known = positions.entry(shard).or_insert(told);
            *known = told.max(*known);
        }
    }
    positions
}

/// Does this Run stand still, because its shard stopped? Then its status says so, and keeps what it said of its tasks.
pub(super) fn stopped(kit: &Kit, id: &RunId, object: &Object) -> bool {
    let stopped = kit.cluster.is_stopped(&object.name.namespace);
    if stopped {
        let waiting = Waiting { reason: STORE_BEHIND, message: STOPPED.to_owned(), stalled: true };
        kit.know(id, object, Known::Waiting(waiting), Lane::Final);
    }
    stopped
}

/// A status that tells a position which the store has not come to: its shard stops, or goes on beyond it.
pub(super) async fn agrees(
    kit: &Kit,
    name: &ObjectName,
    before: &RunStatus,
    position: i64,
) -> Result<(), Trouble> {
    match before.position.filter(|told| *told > position && *told <= POSITION_MAX) {
        None => Ok(()),
        Some(told) => {
            kit.handle.told(Positions::from([(ShardId::of_namespace(&name.namespace), told)])).await;
            // The next look finds what came of it.
            Err(Trouble::Unsettled)
        }
    }
}

/// Does this process lead still, as the store says?
async fn leads(kit: &Kit, shard: ShardId) -> Result<(), Trouble> {
    let now = kit.store.position(shard).await?;
    let own = kit.outlook.fence(shard).filter(|own| own.epoch == now.epoch);
    own.map(drop).ok_or(Trouble::NotLeading)
}

/// A run that is being stopped is not paused, and starts nothing new but its finally tasks.
fn stop(answer: Result<(), DecideError>) -> Result<(), Trouble> {
    match answer {
        Err(DecideError::Stopped) => Err(Trouble::NotLeading),
        _ => Ok(()),
    }
}
