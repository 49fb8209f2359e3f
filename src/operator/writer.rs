//! Writes statuses of Runs: each as it is when its turn comes, and none that says what the object says already.
//!
//! A write is a merge patch with the resourceVersion that it was made for: whoever wrote meanwhile, another operator or a
//! user, is seen before anything is overwritten, and what is not said any longer is taken out.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
};

use serde_json::{Map, Value as Json, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::crd::schema::Kind;
use crate::crd::status::RunStatus;
use crate::model::ids::RunId;
use crate::operator::api::{ApiError, Object};
use crate::operator::behind;
use crate::operator::book::{Known, Page};
use crate::operator::conditions::finished;
use crate::operator::desk::{Desk, Failed, Lane};
use crate::operator::events;
use crate::operator::kit::Kit;
use crate::operator::status::{self, Story, Telling};

/// Writes on their way at a time.
const AT_ONCE: usize = 16;

impl Kit {
    /// The status of this run is to be written.
    pub(super) fn mark(&self, id: &RunId, lane: Lane) {
        let now = self.clock.now();
        self.desk().mark(id, lane, now);
        self.desk_news.notify_one();
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        // Each verb leaves it whole.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is to be written until `stop`.
pub(super) async fn write(kit: &Arc<Kit>, stop: &CancellationToken) {
    let mut writing: JoinSet<()> = JoinSet::new();
    let mut of: HashMap<tokio::task::Id, RunId> = HashMap::new();
    loop {
        let news = kit.desk_news.notified();
        let now = kit.clock.now();
        if writing.len() < AT_ONCE
            && let Some((id, lane)) = { kit.desk().take(now) }
        {
            let (kit, run) = (kit.clone(), id.clone());
            of.insert(writing.spawn(async move { one(&kit, &run, lane).await }).id(), id);
            continue;
        }
        let due = kit.desk().next();
        let turn = async {
            match due {
                Some(at) => kit.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = writing.join_next_with_id() => match ended {
                Ok((task, ())) => drop(of.remove(&task)),
                Err(error) => {
                    tracing::error!(%error, "Writing a status broke; it is written when the run changes again");
                    if let Some(run) = of.remove(&error.id()) {
                        kit.served(&run);
                    }
                }
            },
            () = news => {}
            () = turn, if writing.len() < AT_ONCE => {}
        }
    }
    writing.shutdown().await;
}

async fn one(kit: &Arc<Kit>, id: &RunId, lane: Lane) {
    let why = match tell(kit, id).await {
        Ok(()) => return kit.served(id),
        Err(ApiError::Gone(_)) => {
            if let Some(page) = kit.book.page(id) {
                kit.run_work.push(page.at);
            }
            return kit.served(id);
        }
        Err(ApiError::Conflict(_)) => Failed::Outdated,
        Err(error) => {
            tracing::warn!(run.id = %id, %error, error.label = error.label(), "A Run's status could not be written");
            if matches!(error, ApiError::Refused(_)) { Failed::Refused } else { Failed::Unreachable }
        }
    };
    let now = kit.clock.now();
    kit.desk().again(id, lane, why, now);
    kit.desk_news.notify_one();
}

impl Kit {
    fn served(&self, id: &RunId) {
        let now = self.clock.now();
        self.desk().done(id, now);
        self.desk_news.notify_one();
    }

    /// The object as it was told last, by the watch or in answer to a write.
    fn newest(&self, page: &Page) -> Option<Arc<Object>> {
        let watched = self.runs.get(&page.at.name).filter(|object| object.uid == page.at.uid);
        match (watched, &page.patched) {
            (Some(watched), Some(patched)) if patched.is_newer_than(&watched) => Some(patched.clone()),
            (Some(watched), _) => Some(watched),
            // The watch has not told of it yet, or tells that it is gone: then there is nothing to write to.
            (None, _) => None,
        }
    }

    /// What a write was answered, unless the watch has told of it, or of more, before the answer came: one copy is enough.
    fn one_copy(&self, answer: Object) -> Arc<Object> {
        let watched = self.runs.get(&answer.name);
        let told = watched.filter(|told| told.uid == answer.uid && !answer.is_newer_than(told));
        told.unwrap_or_else(|| Arc::new(answer))
    }
}

/// Writes the status of a run, if it says something new.
async fn tell(kit: &Arc<Kit>, id: &RunId) -> Result<(), ApiError> {
    let Some(page) = kit.book.page(id) else { return Ok(()) };
    let Some(object) = kit.newest(&page) else { return Ok(()) };
    // Until its object was looked at to the end, nobody knows what of it was followed: that look has it told.
    let Some(generation) = page.generation else { return Ok(()) };
    let Some(story) = story(kit, id, &page).await else { return Ok(()) };
    let before: RunStatus = object.told();
    if finished(&before.conditions) && !behind::said(&before) {
        // Its end is told. A later generation is the next look's.
        kit.desk().forget(id);
        return Ok(());
    }
    let now = kit.clock.now();
    let new = status::of(&Telling {
        name: &page.at.name,
        generation,
        pools: &kit.stuck_pools(&page.at.name.namespace, &story),
        story: &story,
        desired: page.desired,
        notes: &page.notes,
        disregarded: &page.disregarded,
        before: &before,
        now,
    });
    // What has ended has ended, and what the store was set back to is told once that was said.
    let ended = page.known.as_ref().is_some_and(Known::is_final);
    if new.position < before.position && !ended && !behind::said(&before) {
        tracing::warn!(run.id = %id, said = before.position, found = new.position,
            "A Run's status tells more than the store knows, and stays");
        return Ok(());
    }
    if !status::same(&new, &before) {
        let slot = kit.desk().slot(id, now);
        kit.clock.sleep_until(slot).await;
        let patch = patch(&object, &new)?;
        match kit.cluster.patch_status(Kind::Run, &page.at.name, &patch).await {
            Ok(object) => {
                let reference = object.reference(Kind::Run);
                let patched = kit.one_copy(object);
                kit.book.change(id, |page| page.patched = Some(patched));
                for told in events::of_run(&before, &new) {
                    kit.herald.tell(&reference, told);
                }
            }
            Err(ApiError::Conflict(why)) => {
                let found = kit.cluster.get(Kind::Run, &page.at.name).await?;
                let found = found.filter(|object| object.uid == page.at.uid);
                let Some(found) = found else { return Err(ApiError::Gone(why)) };
                kit.book.change(id, |page| page.patched = Some(Arc::new(found)));
                return Err(ApiError::Conflict(why));
            }
            Err(error) => return Err(error),
        }
    }
    if finished(&new.conditions) {
        kit.desk().forget(id);
    }
    Ok(())
}

async fn story(kit: &Arc<Kit>, id: &RunId, page: &Page) -> Option<Story> {
    Some(match page.known.as_ref()? {
        Known::Waiting(waiting) => Story::Waiting(waiting.clone()),
        Known::Withdrawn(why) => Story::Withdrawn(why),
        Known::Last(view) => Story::Accepted(Box::new(view.as_ref().clone())),
        // Not live any longer: then its last mark is on its way.
        Known::Live => Story::Accepted(Box::new(kit.handle.view(id.clone()).await?)),
    })
}

/// What makes the object's status the new one.
fn patch(object: &Object, new: &RunStatus) -> Result<Json, ApiError> {
    let new = serde_json::to_value(new).map_err(|error| ApiError::Refused(error.to_string()))?;
    let status = merge_patch(&object.status(), &new);
    Ok(json!({"metadata": {"resourceVersion": object.version, "uid": object.uid}, "status": status}))
}

/// The JSON merge patch (RFC 7396) that makes `old` to `new`, both without null.
pub fn merge_patch(old: &Json, new: &Json) -> Json {
    let (Some(before), Some(after)) = (old.as_object(), new.as_object()) else { return new.clone() };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Json::Null));
    let mut patch: Map<String, Json> = gone.collect();
    for (key, value) in after {
        match before.get(key) {
            Some(known) if known == value => {}
            Some(known) => drop(patch.insert(key.clone(), merge_patch(known, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    Json::Object(patch)
}
