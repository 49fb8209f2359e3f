//! Pools that are no more. Their pods go with them, each when its worker has drained; until then its worker must reach
//! Redis, or what it runs would be lost and run again.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::model::time::{between, later};
use crate::operator::Trouble;
use crate::operator::api::ObjectName;
use crate::operator::watch::is_of;
use crate::operator::workers::{Kit, acts, look::QUEUE_AGAIN, password::Users};
use crate::queue::{Member, QueueError};

/// Between two looks at a pool that goes: at first so long, ...
const LOOK_FIRST: Duration = Duration::from_secs(2);
/// ... and never longer than this.
const LOOK_LATEST: Duration = Duration::from_secs(30);
/// A worker without a pod is borne with for so long: the grace that a pod has unless its template says otherwise.
const WITHOUT_POD: Duration = Duration::from_secs(3_600);
/// The longest wait before Redis is asked again who is let in.
const ASK_LATEST: Duration = Duration::from_secs(300);

/// What is remembered of a pool that goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    since: Timestamp,
    /// Since when it has no pod.
    podless: Option<Timestamp>,
}

/// A pool that is no more: its Deployment goes with it, and once its workers are gone nobody is let in any longer.
pub(super) async fn gone(kit: &Kit, name: &ObjectName) -> Result<(), Trouble> {
    kit.alarms.set(name, None);
    kit.outlook.keep_slots(&name.to_string(), 0);
    let now = kit.clock.now();
    // Tasks may wait for a pool that was not told of yet, or never was: then nobody was let in, or is to be shut out.
    if !kit.leaves(name, now) {
        return Ok(());
    }
    let pods = acts::has_pods(kit, name).await?;
    let Some(left) = kit.still_leaves(name, pods, now) else { return Ok(()) };
    match empty_or_dismissed(kit, name, (pods, left, now)).await {
        Ok(true) => {
            kit.memories().remove(name);
        }
        Ok(false) => {
            let wait = (between(left.since, now) / 4).clamp(LOOK_FIRST, LOOK_LATEST);
            kit.alarms.set(name, Some(later(now, wait)));
        }
        Err(error) => {
            tracing::warn!(pool = %name, error.label = error.label(), "The workers of a deleted pool cannot be shut out yet: {error}");
            kit.alarms.set(name, Some(later(now, QUEUE_AGAIN)));
        }
    }
    Ok(())
}

/// Shuts the pool if nobody is there who should be; true if it is shut.
async fn empty_or_dismissed(
    kit: &Kit,
    name: &ObjectName,
    (pods, left, now): (bool, Leaving, Timestamp),
) -> Result<bool, QueueError> {
    if pods {
        return Ok(false);
    }
    let pool = name.to_string();
    let members: Vec<Member> = kit.roster.members(&pool).await?;
    if !members.is_empty() {
        let strange = left.podless.is_some_and(|since| between(since, now) >= WITHOUT_POD);
        if !strange {
            return Ok(false);
        }
        tracing::warn!(pool = %name, members = members.len(), "Workers of a deleted pool that have no pod are shut out");
    }
    kit.roster.dismiss(&pool).await?;
    match kit.access.users {
        Users::Managed => {
            tracing::info!(pool = %name, "The workers of a deleted pool are gone, and nobody is let into Redis for it any longer");
        }
        // The user, if there is one, is whoever's who made it.
        Users::External | Users::Off => {
            tracing::info!(pool = %name, "The workers of a deleted pool are gone")
        }
    }
    Ok(true)
}

/// Pools that were deleted while nobody watched are found by their users in Redis, once all pools were told.
pub(super) async fn find_former(kit: &Kit, stop: &CancellationToken) {
    let mut synced = kit.mirror.synced();
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        _ = synced.wait_for(|synced| *synced) => {}
    }
    let mut wait = QUEUE_AGAIN;
    loop {
        match kit.roster.admitted().await {
            Ok(pools) => return kit.former(&pools),
            Err(error) => {
                tracing::warn!(
                    error.label = error.label(),
                    "Redis does not tell whose workers are let in: {error}"
                );
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = kit.clock.sleep(wait) => wait = (wait * 2).min(ASK_LATEST),
        }
    }
}

impl Kit {
    /// Looks at those of the pools that are no more.
    fn former(&self, pools: &[String]) {
        let names = pools.iter().filter_map(|pool| pool.split_once('/'));
        for name in names.map(|(namespace, name)| ObjectName::new(namespace, name)) {
            // The users of all pools are there: those of other shards are another process' to look after.
            if is_of(Some(&name.namespace), &self.shards) && self.mirror.get(&name).is_none() {
                self.memories().entry(name.clone()).or_default();
                self.work.push(name);
            }
        }
    }

    /// Is it known that there was such a pool?
    fn leaves(&self, name: &ObjectName, now: Timestamp) -> bool {
        let mut memories = self.memories();
        let Some(memory) = memories.get_mut(name) else { return false };
        memory.leaving.get_or_insert(Leaving { since: now, podless: None });
        true
    }

    /// The same, with what was seen of its pods.
    fn still_leaves(&self, name: &ObjectName, pods: bool, now: Timestamp) -> Option<Leaving> {
        let mut memories = self.memories();
        let leaving = memories.get_mut(name)?.leaving.as_mut()?;
        leaving.podless = if pods { None } else { leaving.podless.or(Some(now)) };
        Some(*leaving)
    }
}
