//! A Workflow: its object is read, its revision stored, its name pointed at it, and its status says what came of it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value as Json, json};

use crate::crd;
use crate::crd::schema::Kind;
use crate::crd::status::{Fitted as _, WorkflowStatus};
use crate::model::{head::Head, ids::ShardId, workflow::Workflow};
use crate::operator::Trouble;
use crate::operator::accept::{Found, Pinnable, said};
use crate::operator::api::{Object, ObjectName};
use crate::operator::book::{Definition, Version};
use crate::operator::conditions::{self, Standing};
use crate::operator::events;
use crate::operator::kit::Kit;
use crate::operator::writer::merge_patch;
use crate::store::StoreError;

/// Why no Run can be made of a Workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// In one word.
    pub reason: &'static str,
    /// In words, with what would help.
    pub message: String,
}

/// Brings a Workflow up to date.
pub(super) async fn look(kit: Arc<Kit>, name: ObjectName) -> Result<(), Trouble> {
    let Some(object) = kit.workflows.get(&name) else { return gone(&kit, &name).await };
    let read = object.read(crd::workflow_of).map(|manifest| {
        let revision = crd::revision(&manifest);
        Pinnable { manifest, revision }
    });
    let read = read.map_err(|findings| said(&findings));
    let kept = keep(&kit, &name, &object, &read).await;
    let refused = match &kept {
        Ok(()) => None,
        Err(Trouble::Store(error @ (StoreError::Refused(_) | StoreError::Corrupt { .. }))) => {
            Some(not_stored(error))
        }
        Err(_) => return kept,
    };
    let (found, said) = match (read, refused) {
        (Err(findings), _) => {
            (Found::Invalid(findings.clone()), Err(Unfit { reason: "Invalid", message: findings }))
        }
        (Ok(_), Some(message)) => {
            (Found::Unstored(message.clone()), Err(Unfit { reason: "NotStored", message }))
        }
        (Ok(pinnable), None) => {
            let revision = pinnable.revision.id.to_string();
            (Found::Valid(Arc::new(pinnable)), Ok(revision))
        }
    };
    let found_valid = match &found {
        Found::Valid(pinnable) => Some(pinnable.manifest.workflow.clone()),
        _ => None,
    };
    for run in kit.definitions.set(&name, Some(Definition { version: Version::of(&object), found })) {
        kit.run_work.push(run);
    }
    let warning = match &found_valid {
        Some(workflow) => {
            beyond_drain(workflow, |pool| kit.pools.drain(&ObjectName::new(&name.namespace, pool)))
        }
        None => None,
    };
    say(&kit, &object, &said, warning.as_deref()).await?;
    kept
}

/// Whose timeout is longer than workers of its pool have to end what they run, where they must go: what to do about it.
pub fn beyond_drain(workflow: &Workflow, drain: impl Fn(&str) -> Option<Duration>) -> Option<String> {
    let long = workflow.tasks.iter().find_map(|task| {
        let (timeout, drain) = (task.timeout?, drain(&task.pool)?);
        (timeout > drain).then_some((task, timeout, drain))
    });
    let (task, timeout, drain) = long?;
    Some(format!(
        "the task {} may run for {} s, and workers of its pool {} have {} s to end what they run when their node or their image \
         is changed: what takes longer is cut off and run again; raise template.spec.terminationGracePeriodSeconds of the \
         WorkerPool, or lower the timeout",
        task.name,
        timeout.as_secs(),
        task.pool,
        drain.as_secs()
    ))
}

fn not_stored(error: &StoreError) -> String {
    format!(
        "it cannot be stored: {error}; change what is named here (a smaller Workflow may help), or mend the database: it \
         is tried again every few minutes"
    )
}

/// The store first: a Run is accepted only for what is stored.
async fn keep(
    kit: &Kit,
    name: &ObjectName,
    object: &Object,
    read: &Result<Pinnable, String>,
) -> Result<(), Trouble> {
    let shard = ShardId::of_namespace(&name.namespace);
    let fence = kit.outlook.fence(shard).ok_or(Trouble::NotLeading)?;
    if let Ok(pinnable) = read {
        kit.store.put_revision(&pinnable.revision).await?;
    }
    let json = object.json();
    let labels = json["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let head = Head {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        revision: read.as_ref().map(|pinnable| pinnable.revision.id.clone()).map_err(String::clone),
        labels: labels.collect(),
        unhashed: unhashed(&json),
    };
    Ok(kit.store.put_head(&head, &fence).await?)
}

/// The fields of a spec that no revision holds and that are there, as written.
fn unhashed(object: &Json) -> Json {
    let spec = object.get("spec").and_then(Json::as_object);
    let fields = spec.into_iter().flatten().filter(|(key, _)| crd::UNHASHED.contains(&key.as_str()));
    Json::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Its name stands for nothing any longer. Runs that were accepted have their revision; others wait.
async fn gone(kit: &Kit, name: &ObjectName) -> Result<(), Trouble> {
    let fence = kit.outlook.fence(ShardId::of_namespace(&name.namespace)).ok_or(Trouble::NotLeading)?;
    kit.store.drop_head(&name.namespace, &name.name, &fence).await?;
    for run in kit.definitions.set(name, None) {
        kit.run_work.push(run);
    }
    Ok(())
}

async fn say(
    kit: &Kit,
    object: &Object,
    found: &Result<String, Unfit>,
    warning: Option<&str>,
) -> Result<(), Trouble> {
    let before: WorkflowStatus = object.told();
    let new = status(object.generation, (found, warning), &before, kit.clock.now());
    if new == before {
        return Ok(());
    }
    let written = serde_json::to_value(&new).map_err(|error| Trouble::Broken(error.to_string()))?;
    let patch = json!({
        "metadata": {"resourceVersion": object.version, "uid": object.uid},
        "status": merge_patch(&object.status(), &written),
    });
    kit.cluster.patch_status(Kind::Workflow, &object.name, &patch).await?;
    let reference = object.reference(Kind::Workflow);
    events::of_workflow(&before, &new).into_iter().for_each(|told| kit.herald.tell(&reference, told));
    Ok(())
}

/// What is said of a Workflow: the revision that its Runs get, or why there is none.
pub fn status(
    generation: i64,
    (found, warning): (&Result<String, Unfit>, Option<&str>),
    before: &WorkflowStatus,
    now: jiff::Timestamp,
) -> WorkflowStatus {
    let (reason, message) = match found {
        Ok(revision) => {
            let warning = warning.map(|warning| format!("; {warning}")).unwrap_or_default();
            ("Valid".to_owned(), format!("Runs get revision {revision}{warning}"))
        }
        Err(unfit) => (unfit.reason.to_owned(), unfit.message.clone()),
    };
    let standing = Standing { reason, message, reconciling: false, stalled: found.is_err() };
    let conditions = conditions::of_workflow(found.is_ok(), &standing, generation, &before.conditions, now);
    let revision = found.as_ref().ok().cloned();
    WorkflowStatus { observed_generation: Some(generation), revision, conditions }.fitted()
}
