//! A Workflow: its object is read, its revision stored, its name pointed at it, and its status says what came of it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::crd::schema::Kind;
use crate::crd::status::{Fitted as _, WorkflowStatus, status_of};
use crate::crd::{self, Findings, WorkflowManifest};
use crate::model::{head::Head, ids::ShardId};
use crate::operator::Trouble;
use crate::operator::accept::{Definition, said};
use crate::operator::api::{Object, ObjectName};
use crate::operator::conditions::{self, Standing};
use crate::operator::events;
use crate::operator::kit::Kit;
use crate::operator::writer::merge_patch;

/// Brings a Workflow up to date.
pub(super) async fn look(kit: Arc<Kit>, name: ObjectName) -> Result<(), Trouble> {
    let Some(object) = kit.workflows.get(&name) else { return gone(&kit, &name).await };
    let read = object.read(crd::workflow_of);
    let known = match &read {
        Ok(manifest) => {
            let definition = Definition { manifest: manifest.clone(), revision: crd::revision(manifest) };
            Ok(Arc::new(definition))
        }
        Err(findings) => Err(said(findings)),
    };
    keep(&kit, &name, &object, &known).await?;
    for run in kit.definitions.set(&name, Some(known)) {
        kit.run_work.push(run);
    }
    say(&kit, &object, read).await
}

/// The store first: a Run is accepted only for what is stored.
async fn keep(
    kit: &Kit,
    name: &ObjectName,
    object: &Object,
    known: &Result<Arc<Definition>, String>,
) -> Result<(), Trouble> {
    let shard = ShardId::of_namespace(&name.namespace);
    let fence = kit.outlook.fence(shard).ok_or(Trouble::NotLeading)?;
    if let Ok(definition) = known {
        kit.store.put_revision(&definition.revision).await?;
    }
    let labels = object.json["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let head = Head {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        revision: known.as_ref().map(|definition| definition.revision.id.clone()).map_err(String::clone),
        labels: labels.collect(),
        unhashed: unhashed(&object.json),
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

async fn say(kit: &Kit, object: &Object, read: Result<WorkflowManifest, Findings>) -> Result<(), Trouble> {
    let before: WorkflowStatus = status_of(&object.json);
    let new = status(object.generation, &read, &before, kit.clock.now());
    if new == before {
        return Ok(());
    }
    let written = serde_json::to_value(&new).map_err(|error| Trouble::Broken(error.to_string()))?;
    let patch = json!({
        "metadata": {"resourceVersion": object.version, "uid": object.uid},
        "status": merge_patch(object.status(), &written),
    });
    kit.cluster.patch_status(Kind::Workflow, &object.name, &patch).await?;
    let reference = object.reference(Kind::Workflow);
    events::of_workflow(&before, &new).into_iter().for_each(|told| kit.herald.tell(&reference, told));
    Ok(())
}

/// What is said of a Workflow.
pub fn status(
    generation: i64,
    read: &Result<WorkflowManifest, Findings>,
    before: &WorkflowStatus,
    now: jiff::Timestamp,
) -> WorkflowStatus {
    let (reason, message) = match read {
        Ok(manifest) => ("Valid".to_owned(), format!("Runs get revision {}", manifest.workflow.id)),
        Err(findings) => ("Invalid".to_owned(), said(findings)),
    };
    let standing = Standing { reason, message, reconciling: false, stalled: read.is_err() };
    let conditions = conditions::of_workflow(read.is_ok(), &standing, generation, &before.conditions, now);
    let revision = read.as_ref().ok().map(|manifest| manifest.workflow.id.to_string());
    WorkflowStatus { observed_generation: Some(generation), revision, conditions }.fitted()
}
