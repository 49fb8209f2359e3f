//! The Secret of a pool. The operator may create and change Secrets and do nothing else with them, so whose a Secret is
//! that is there already follows from the answer to a change that changes nothing, of which only the metadata comes.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::operator::api::{ApiError, ObjectName, within};
use crate::operator::workers::{
    Kit,
    acts::{self, MANAGER},
    desired::{self, Subject},
    status::Verdict,
};

/// Brings the Secret about; says so when its name belongs to something else, and leaves that alone.
pub(super) async fn keep(
    kit: &Kit,
    name: &ObjectName,
    of: Subject<'_>,
    url: &str,
) -> Result<Option<Verdict>, ApiError> {
    let known = kit.memories().get(name).is_some_and(|memory| memory.secret.as_deref() == Some(url));
    if known {
        return Ok(None);
    }
    let api: Api<Secret> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    let called = desired::secret_name(&name.name);
    let mut wanted = desired::secret(of, url);
    match found(&api, &called).await? {
        Some(there) => {
            let owner = there.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
            let owner = owner.map(|owner| owner.uid.as_str());
            if owner != Some(of.uid) {
                return Ok(Some(Verdict::name_taken(&format!("Secret {called}"), owner)));
            }
            // Whatever has this name by then, it is changed only if it is the one that was looked at.
            wanted["metadata"]["uid"] = json!(there.uid);
            kit.cluster.may_write(&name.namespace)?;
            within(api.patch(&called, &acts::params(), &Patch::Apply(&wanted))).await?;
        }
        None => {
            let new: Secret =
                serde_json::from_value(wanted).map_err(|error| ApiError::Refused(error.to_string()))?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            kit.cluster.may_write(&name.namespace)?;
            within(api.create(&params, &new)).await?;
        }
    }
    if let Some(memory) = kit.memories().get_mut(name) {
        memory.secret = Some(url.to_owned());
    }
    Ok(None)
}

/// Looks for the Secret that somebody else makes for this pool; says so when it is not there.
pub(super) async fn expect(
    kit: &Kit,
    name: &ObjectName,
    of: Subject<'_>,
) -> Result<Option<Verdict>, ApiError> {
    let called = desired::external_secret_name(&name.name);
    let known = kit.memories().get(name).is_some_and(|memory| memory.secret.as_deref() == Some(&called));
    if known {
        return Ok(None);
    }
    let api: Api<Secret> = Api::namespaced(kit.cluster.client().clone(), &name.namespace);
    kit.cluster.may_write(&name.namespace)?;
    if found(&api, &called).await?.is_none() {
        return Ok(Some(Verdict::external_missing(&called, &kit.roster.user(&of.key()), &of.key())));
    }
    if let Some(memory) = kit.memories().get_mut(name) {
        // No URL has this text.
        memory.secret = Some(called);
    }
    Ok(None)
}

async fn found(api: &Api<Secret>, called: &str) -> Result<Option<ObjectMeta>, ApiError> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match within(api.patch_metadata(called, &params, &Patch::Merge(json!({})))).await {
        Ok(there) => Ok(Some(there.metadata)),
        Err(ApiError::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
