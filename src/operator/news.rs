//! What the operator hears and where it looks then: changes of objects, of runs, of pools; and what it may have missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::conductor::Mark;
use crate::model::ids::RunId;
use crate::operator::api::ObjectName;
use crate::operator::behind;
use crate::operator::book::{Known, RunRef};
use crate::operator::desk::Lane;
use crate::operator::kit::Kit;
use crate::operator::watch::{Change, is_of};

/// How often is told how far a list has come.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Names of Workflows that are asked for at a time.
const NAMES_PAGE: u32 = 1_000;

impl Kit {
    pub(super) fn workflow(&self, change: Change) {
        match change {
            Change::Seen(name, _) | Change::Gone(name, _) => self.workflow_work.push(name),
            Change::Synced => {
                // Runs may have waited for a Workflow that is not there.
                for id in self.book.open_pages() {
                    if let Some(page) = self.book.page(&id) {
                        self.run_work.push(page.at);
                    }
                }
            }
        }
    }

    pub(super) fn run(&self, change: Change) {
        if let Change::Seen(name, uid) | Change::Gone(name, uid) = change {
            self.run_work.push(RunRef { name, uid });
        }
    }
}

/// What the conductor tells of runs goes onto the desk.
pub(super) async fn marks(kit: &Kit, stop: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = kit.outlook.changed() => {}
        }
        for (id, mark) in kit.outlook.take() {
            let (known, ended) = match mark {
                Mark::Changed => (Known::Live, false),
                Mark::Last(view) => (Known::Last(view), true),
                // Its rows, or its object, say more.
                Mark::Aside => {
                    if let Some(page) = kit.book.page(&id) {
                        kit.run_work.push(page.at);
                    }
                    continue;
                }
            };
            // Without a page, its object was not looked at yet, or is gone.
            let first = kit.book.change(&id, |page| {
                page.known = Some(known);
                page.patched.is_none()
            });
            match (first, ended) {
                (None, _) => {}
                (Some(_), true) => kit.mark(&id, Lane::Final),
                (Some(true), false) => kit.mark(&id, Lane::First),
                (Some(false), false) => kit.mark(&id, Lane::Further),
            }
        }
    }
}

/// What statuses tell of how far the runs have come: so far, while they are listed, and all of it after each list. The
/// conductor begins once it knows that.
pub(super) async fn told(kit: &Kit, stop: &CancellationToken) {
    let mut synced = kit.runs.synced();
    let mut heard = 0;
    loop {
        let listed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Ok(()) = synced.changed() => true,
            () = kit.clock.sleep(TELL_EVERY), if !kit.runs.is_synced() => false,
        };
        let objects = kit.runs.objects();
        let further = objects.len() > std::mem::replace(&mut heard, objects.len());
        let positions = behind::positions(&objects);
        let telling = async {
            match listed {
                true => kit.handle.told_all(positions).await,
                false if further => kit.handle.told(positions).await,
                false => {}
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = telling => {}
        }
    }
}

/// Live runs whose objects were not told of, once all were: their objects may have been deleted while nobody watched.
pub(super) async fn orphans(kit: &Kit, stop: &CancellationToken) {
    let mut synced = kit.runs.synced();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Ok(()) = synced.changed() => {}
        }
        for live in kit.handle.live().await.unwrap_or_default() {
            let name = ObjectName::new(&live.namespace, &live.name);
            let uid = live.id.to_string();
            if live.id.is_of_an_object() && !kit.runs.holds(&name, &uid) {
                kit.run_work.push(RunRef { name, uid });
            }
        }
    }
}

/// Names that the store knows and no Workflow has, once all were told: they were deleted while nobody watched.
pub(super) async fn lost_workflows(kit: &Kit, stop: &CancellationToken) {
    let mut synced = kit.workflows.synced();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Ok(()) = synced.changed() => {}
        }
        let mut after = None;
        loop {
            let page = match kit.store.head_names(after, NAMES_PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, error.label = error.label(),
                        "Workflows that were deleted meanwhile are looked for after the next list");
                    break;
                }
            };
            after = page.last().cloned();
            if after.is_none() {
                break;
            }
            for (namespace, name) in page {
                let name = ObjectName { namespace, name };
                if is_of(Some(&name.namespace), &kit.shards) && kit.workflows.get(&name).is_none() {
                    kit.workflow_work.push(name);
                }
            }
        }
    }
}

/// Which pools do not work is said again when pools come, go or stand otherwise.
pub(super) async fn pools_changed(kit: &Kit, stop: &CancellationToken) {
    let mut pools = kit.pools.changes();
    let mut drains = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = pools.changed() => match changed {
                Ok(()) => kit.book.open_pages().iter().for_each(|id: &RunId| kit.mark(id, Lane::Further)),
                Err(_) => return,
            },
        }
        // What a Workflow says of its timeouts hangs on how long the workers of its pools may drain.
        let now = kit.pools.all_drains();
        let differs = |pool: &&ObjectName| drains.get(*pool) != now.get(*pool);
        let namespaces: BTreeSet<&String> =
            now.keys().chain(drains.keys()).filter(differs).map(|pool| &pool.namespace).collect();
        let concerned = kit.workflows.names().into_iter().filter(|name| namespaces.contains(&name.namespace));
        concerned.for_each(|name| kit.workflow_work.push(name));
        drains = now;
    }
}

pub(super) async fn synced(kit: &Kit, ready: &watch::Sender<bool>, stop: &CancellationToken) {
    for mirror in [&kit.workflows, &kit.runs] {
        let mut synced = mirror.synced();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = synced.wait_for(|synced| *synced) => {}
        }
    }
    ready.send_replace(true);
}
