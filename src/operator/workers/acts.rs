//! What is done about a pool: its Deployment, its users in Redis; each only when it is not so already.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value as Json, json};

use crate::operator::api::{ApiError, ObjectName, within};
use crate::operator::workers::{
    Kit,
    deployments::Live,
    desired::{self, POOL_LABEL, SELECTOR, Subject},
    pods::{self, Sight},
};
use crate::queue::{Member, QueueError};

/// Who owns what is applied.
pub(super) const MANAGER: &str = "relay-pools";
/// Pods of one pool that are looked at: more than a pool may have, while two templates are about.
const PODS_MAX: u32 = 3_000;

/// The user of a pool's workers in Redis. Why not, if it could not be made; said once in the log.
pub(super) async fn admit(
    kit: &Kit,
    name: &ObjectName,
    of: Subject<'_>,
    password: &str,
) -> Result<(), QueueError> {
    let known = kit.memories().get(name).is_some_and(|memory| memory.admitted.as_deref() == Some(password));
    if known {
        return Ok(());
    }
    let admitted = kit.roster.admit(&of.key(), password).await;
    if let Err(error) = &admitted {
        tracing::warn!(pool = %name, error.label = error.label(), "Workers of a pool cannot be let into Redis yet: {error}");
    }
    if let Some(memory) = kit.memories().get_mut(name) {
        memory.admitted = admitted.is_ok().then(|| password.to_owned());
    }
    admitted
}

/// The Deployment of a pool's name, whoever made it.
pub(super) async fn find(kit: &Kit, name: &ObjectName) -> Result<Option<Live>, ApiError> {
    let api: Api<Deployment> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let found = within(api.get_opt(&desired::deployment_name(&name.name))).await?;
    Ok(found.as_ref().map(Live::of))
}

/// The Deployment of a pool; gives it as it is then.
pub(super) async fn deployment(kit: &Kit, name: &ObjectName, wanted: Json) -> Result<Live, ApiError> {
    let told = kit.deployments.get(name);
    let before = kit.memories().get(name).map(|memory| (memory.applied.clone(), memory.own.clone()));
    if let Some((Some(applied), Some(own))) = before {
        let same = applied == wanted;
        match told {
            // Somebody else has changed it when its generation is newer than ours.
            Some(told) if same && told.uid == own.uid && told.generation == own.generation => {
                return Ok(told);
            }
            Some(told) if same && told.uid == own.uid && told.generation < own.generation => return Ok(own),
            None if same => return Ok(own),
            _ => {}
        }
    }
    let api: Api<Deployment> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let called = desired::deployment_name(&name.name);
    kit.cluster.may_write(&name.namespace)?;
    let made = within(api.patch(&called, &params(), &Patch::Apply(&wanted))).await.map_err(of_template)?;
    let live = Live::of(&made);
    tracing::info!(pool = %name, replicas = live.asked, "The Deployment of a pool was applied");
    if let Some(memory) = kit.memories().get_mut(name) {
        (memory.applied, memory.own) = (Some(wanted), Some(live.clone()));
    }
    Ok(live)
}

/// Changes how many replicas a Deployment is asked for, and nothing else; gives it as it is then.
pub(super) async fn resize(
    kit: &Kit,
    name: &ObjectName,
    live: Live,
    replicas: u32,
) -> Result<Live, ApiError> {
    if live.asked == replicas {
        return Ok(live);
    }
    let api: Api<Deployment> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    // Of another Deployment of this name nothing is known: the API server refuses it by the uid.
    kit.cluster.may_write(&name.namespace)?;
    let change = json!({"metadata": {"uid": live.uid}, "spec": {"replicas": replicas}});
    kit.cluster.may_write(&name.namespace)?;
    let made =
        within(api.patch(&desired::deployment_name(&name.name), &params, &Patch::Merge(&change))).await?;
    let live = Live::of(&made);
    tracing::info!(pool = %name, replicas, "The Deployment of a pool was resized, with its template as it is");
    if let Some(memory) = kit.memories().get_mut(name) {
        (memory.applied, memory.own) = (None, Some(live.clone()));
    }
    Ok(live)
}

/// What cannot be read as a Deployment is answered like a failure of the server (500), and is the template's fault.
fn of_template(error: ApiError) -> ApiError {
    const OPENINGS: [&str; 2] = ["failed to create typed patch object", "failed to convert new object"];
    match error {
        ApiError::Unavailable(said) if OPENINGS.iter().any(|opening| said.starts_with(opening)) => {
            // What comes before the first ": " names the Deployment, not what is wrong.
            ApiError::Refused(said.split_once("): ").map_or(said.clone(), |(_, why)| why.to_owned()))
        }
        other => other,
    }
}

/// A look at the pods of a pool.
pub(super) async fn pods(kit: &Kit, name: &ObjectName, members: &[Member]) -> Result<Sight, ApiError> {
    let api: Api<Pod> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let ours = format!("{SELECTOR},{POOL_LABEL}={}", name.name);
    let listed = within(api.list(&ListParams::default().labels(&ours).limit(PODS_MAX))).await?;
    Ok(pods::look(&listed.items, members))
}

/// Is there a pod of the pool that has not come to its end?
pub(super) async fn has_pods(kit: &Kit, name: &ObjectName) -> Result<bool, ApiError> {
    let api: Api<Pod> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let ours = format!("{SELECTOR},{POOL_LABEL}={}", name.name);
    let live = ListParams::default().labels(&ours).fields("status.phase!=Succeeded,status.phase!=Failed");
    Ok(!within(api.list_metadata(&live.limit(1))).await?.items.is_empty())
}

pub(super) fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}
