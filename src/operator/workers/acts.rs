//! What is done about a pool: its Secret, its Deployment, its users in Redis; each only when it is not so already.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};

use crate::operator::api::{ApiError, ObjectName, within};
use crate::operator::workers::{
    Kit,
    deployments::Live,
    desired::{self, POOL_LABEL, SELECTOR, Subject},
    pods::{self, Sight},
};
use crate::queue::{Member, QueueError};

/// Who owns what is applied.
const MANAGER: &str = "relay-pools";
/// Pods of one pool that are looked at: more than a pool may have, while two templates are about.
const PODS_MAX: u32 = 3_000;

/// The Secret of a pool.
pub(super) async fn secret(kit: &Kit, name: &ObjectName, of: Subject<'_>, url: &str) -> Result<(), ApiError> {
    let known = kit.memories().get(name).is_some_and(|memory| memory.secret.as_deref() == Some(url));
    if known {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let wanted = desired::secret(of, url);
    kit.cluster.may_write(&name.namespace)?;
    within(api.patch(&desired::secret_name(&name.name), &params(), &Patch::Apply(&wanted))).await?;
    if let Some(memory) = kit.memories().get_mut(name) {
        memory.secret = Some(url.to_owned());
    }
    Ok(())
}

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
pub(super) async fn deployment(
    kit: &Kit,
    name: &ObjectName,
    of: Subject<'_>,
    url: &str,
    replicas: u32,
) -> Result<Live, ApiError> {
    let wanted = desired::deployment(of, &kit.settings, url, replicas);
    let told = kit.deployments.get(name);
    if let Some((applied, own)) = kit.memories().get(name).and_then(|memory| memory.applied.clone()) {
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
    tracing::info!(pool = %name, replicas, "The Deployment of a pool was applied");
    if let Some(memory) = kit.memories().get_mut(name) {
        memory.applied = Some((wanted, live.clone()));
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

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}
