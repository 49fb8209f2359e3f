//! Whether a Run is accepted: a table of what its object says and what its Workflow is.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::conductor::Submission;
use crate::crd::{
    Findings, RunObject, WorkflowManifest, params_of, run::DesiredState, run_of, status::shortened,
};
use crate::model::{
    ids::RunId, json::Text, reason::Reason, revision::Revision, run::RunRow, status::RunStatus,
};
use crate::operator::api::Object;
use crate::operator::status::{STORE_BEHIND, Waiting};

/// Characters of findings that are repeated in a status, an Event or a row.
pub const FINDINGS_CHARS: usize = 4_000;

/// A Workflow that new Runs may pin: its revision is stored.
#[derive(Clone, Debug)]
pub struct Pinnable {
    /// As its object says.
    pub manifest: WorkflowManifest,
    /// As it is stored.
    pub revision: Revision,
}

/// What is known of a Workflow's name.
#[derive(Clone, Debug)]
pub enum Found {
    /// There is no such Workflow.
    Missing,
    /// There is one, and it was not looked at yet.
    Pending,
    /// There is one that cannot run, and why.
    Invalid(String),
    /// There is one that the store does not take, and why.
    Unstored(String),
    /// It can run.
    Valid(Arc<Pinnable>),
}

/// Said of a Run that was cancelled while it waited.
const WITHDRAWN: &str = "it was cancelled before its Workflow could run";
/// Said of a Run that was cancelled and that the store has forgotten.
const FORGOTTEN: &str = "it was cancelled; the store does not know it any longer, and what is said here of its tasks is what \
                         was known last";

/// What becomes of a Run that is not known yet.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// It waits, and says for what.
    Wait(Waiting),
    /// It waits for a look at its Workflow, which is under way.
    Later,
    /// It was cancelled while there was nothing to run, and what is said of that.
    Withdraw(&'static str),
    /// It becomes a row: one that begins, or one that is final at once.
    Submit(Box<Submission>),
}

/// Reads the object of a Run; what is wrong with it must be mended by its user.
pub fn read(object: &Object) -> Result<RunObject, Waiting> {
    object.read(run_of).map_err(|findings| Waiting {
        reason: "Invalid",
        message: said(&findings),
        stalled: true,
    })
}

/// Decides. `told`: its status says that it was accepted before, though the store does not know it.
pub fn accept(id: &RunId, run: &RunObject, found: &Found, told: bool, now: Timestamp) -> Acceptance {
    let waits = |reason, stalled, message| Acceptance::Wait(Waiting { reason, message, stalled });
    let (name, namespace) = (&run.workflow, &run.namespace);
    let cancelled = matches!(run.desired, DesiredState::Cancelled | DesiredState::CancelledRunFinally);
    if told {
        // To run it again might do twice what must be done once: that is for a person to decide.
        let why = "it was accepted before, and the store does not know it: the store is another one, or was set back to \
                   an older state; nothing is run twice unasked: restore the store, or delete this Run and create it anew";
        return match cancelled {
            true => Acceptance::Withdraw(FORGOTTEN),
            false => waits(STORE_BEHIND, true, why.to_owned()),
        };
    }
    let definition = match found {
        Found::Pending => return Acceptance::Later,
        Found::Missing | Found::Invalid(_) | Found::Unstored(_) if cancelled => {
            return Acceptance::Withdraw(WITHDRAWN);
        }
        Found::Missing => {
            let fix = format!("create Workflow {name} in namespace {namespace}, or delete this Run");
            return waits("WorkflowMissing", false, format!("there is no Workflow {name}; {fix}"));
        }
        Found::Invalid(why) => {
            return waits("WorkflowInvalid", true, format!("Workflow {name} is not valid; mend it: {why}"));
        }
        Found::Unstored(why) => {
            return waits("WorkflowPending", true, format!("Workflow {name} has no revision to run: {why}"));
        }
        Found::Valid(definition) => definition,
    };
    let mut row = born(id, run, definition, now);
    match params_of(run, &definition.manifest) {
        Ok(params) => row.params = Text::from(&Json::Object(params.into_iter().collect())),
        Err(findings) => {
            row.status = RunStatus::Failed;
            row.reason = Some(Reason::InvalidParams);
            row.error = Some(said(&findings));
        }
    }
    match run.desired {
        _ if row.status.is_final() => {}
        DesiredState::Running => {}
        // Paused, nothing starts before the cancel with its finally tasks is said.
        DesiredState::Paused | DesiredState::CancelledRunFinally => row.paused_at = Some(now),
        DesiredState::Cancelled => {
            row.status = RunStatus::Cancelled;
            row.reason = Some(Reason::Cancelled);
        }
    }
    if row.status.is_final() {
        row.finished_at = Some(now);
    }
    let workflow = definition.manifest.workflow.clone();
    Acceptance::Submit(Box::new(Submission { revision: definition.revision.clone(), workflow, run: row }))
}

fn born(id: &RunId, run: &RunObject, definition: &Pinnable, now: Timestamp) -> RunRow {
    let (workflow, namespace) = (definition.revision.id.clone(), run.namespace.clone());
    let params = Text::from(&Json::Object(run.params.clone().into_iter().collect()));
    RunRow { params, ..RunRow::new(id.clone(), workflow, namespace, run.name.clone(), now) }
}

/// Does the object still ask for what was accepted? `declared`: the params of the pinned Workflow with their defaults.
pub fn asks_the_same(run: &RunObject, row: &RunRow, declared: &BTreeMap<String, Option<Json>>) -> bool {
    let pinned = row.workflow.as_str().split_once('/').and_then(|(_, rest)| rest.split_once('@'));
    let params: Map<String, Json> = row.params.read().unwrap_or_default();
    let strangers = run.params.keys().any(|name| !declared.contains_key(name));
    let same = |(name, default): (&String, &Option<Json>)| {
        let asked = run.params.get(name).or(default.as_ref());
        equal(asked.unwrap_or(&Json::Null), params.get(name).unwrap_or(&Json::Null))
    };
    pinned.is_some_and(|(name, _)| name == run.workflow) && !strangers && declared.iter().all(same)
}

/// Equal as params are: 1.0 for an integer is 1.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let same = |(key, value): (&String, &Json)| other.get(key).is_some_and(|of| equal(value, of));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// Findings as `relay run` prints them, as many as fit.
pub fn said(findings: &Findings) -> String {
    shortened(&findings.to_string(), FINDINGS_CHARS)
}
