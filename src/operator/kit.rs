//! What every look needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::conductor::{Compile, Handle, Outlook};
use crate::model::{
    ids::{ShardId, WorkflowId},
    workflow::Workflow,
};
use crate::operator::api::{ApiError, Cluster, ObjectName};
use crate::operator::book::{Book, Definitions, RunRef, Version};
use crate::operator::desk::Desk;
use crate::operator::events::Herald;
use crate::operator::fresh::Fresh;
use crate::operator::pulse::Pulses;
use crate::operator::status::Story;
use crate::operator::watch::Mirror;
use crate::operator::work::Work;
use crate::operator::{Params, PoolState, Pools};
use crate::store::{Store, StoreError};

/// Compiled revisions at hand.
const COMPILED_MAX: usize = 200;

/// The parts of an operator, shared by all looks.
pub(super) struct Kit {
    pub(super) cluster: Cluster,
    pub(super) pulses: Arc<Pulses>,
    pub(super) store: Arc<dyn Store>,
    pub(super) handle: Handle,
    pub(super) outlook: Arc<Outlook>,
    pub(super) clock: Clock,
    pub(super) compile: Compile,
    pub(super) pools: Pools,
    /// Whose namespaces are looked at.
    pub(super) shards: Arc<BTreeSet<ShardId>>,
    pub(super) runs: Mirror,
    pub(super) workflows: Mirror,
    pub(super) run_work: Work<RunRef>,
    pub(super) workflow_work: Work<ObjectName>,
    pub(super) definitions: Definitions,
    /// Workflows as the API server has them at the moment.
    pub(super) fresh: Fresh<ObjectName, Result<Option<Version>, ApiError>>,
    pub(super) book: Book,
    pub(super) desk: Mutex<Desk>,
    pub(super) desk_news: Notify,
    pub(super) herald: Herald,
    compiled: Mutex<BTreeMap<WorkflowId, Arc<Workflow>>>,
}

impl Kit {
    pub(super) fn new(params: Params, herald: Herald) -> Kit {
        Kit {
            cluster: Cluster::new(params.client).led_by(params.outlook.clone()),
            pulses: params.pulses,
            store: params.store,
            handle: params.handle,
            outlook: params.outlook,
            run_work: Work::new(params.clock.clone()),
            workflow_work: Work::new(params.clock.clone()),
            clock: params.clock,
            compile: params.compile,
            pools: params.pools,
            runs: Mirror::new(params.shards.clone()),
            workflows: Mirror::new(params.shards.clone()),
            shards: params.shards,
            definitions: Definitions::default(),
            fresh: Fresh::default(),
            book: Book::default(),
            desk: Mutex::default(),
            desk_news: Notify::new(),
            herald,
            compiled: Mutex::default(),
        }
    }

    /// A stored revision, ready to be looked at; none when it is not there or cannot be read any more.
    pub(super) async fn compiled(&self, id: &WorkflowId) -> Result<Option<Arc<Workflow>>, StoreError> {
        let kept = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workflow) = kept().get(id) {
            return Ok(Some(workflow.clone()));
        }
        let Some(revision) = self.store.revision(id).await? else { return Ok(None) };
        let Ok(workflow) = (self.compile)(&revision) else { return Ok(None) };
        let workflow = Arc::new(workflow);
        let mut kept = kept();
        if kept.len() >= COMPILED_MAX {
            kept.pop_first();
        }
        kept.insert(id.clone(), workflow.clone());
        Ok(Some(workflow))
    }

    /// The pools that a run's tasks wait for and that cannot take them.
    pub(super) fn stuck_pools(&self, namespace: &str, story: &Story) -> Vec<(String, PoolState)> {
        let Story::Accepted(view) = story else { return Vec::new() };
        let stands = |pool: &String| (pool.clone(), self.pools.state(&ObjectName::new(namespace, pool)));
        view.waits_for.iter().map(stands).filter(|(_, state)| *state != PoolState::Works).collect()
    }
}
