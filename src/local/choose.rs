//! From a file to the runs that are to be submitted; everything wrong with it is told at once, and nothing runs.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Clock;
use crate::conductor::Submission;
use crate::crd::{self, Manifests, Overrides, RunName, WorkflowManifest};
use crate::local::{Asks, LocalError, Request, Source};
use crate::model::{
    ids::RunId,
    json::Text,
    run::RunRow,
    task::Task,
    workflow::{Workflow, limits},
};

/// What a file comes to; nothing, when a run of the store goes on.
#[derive(Debug, Default)]
pub struct Chosen {
    pub(super) submissions: Vec<Submission>,
    pub(super) notices: Vec<String>,
}

/// Reads the file and makes its runs: all its Runs, else its one Workflow, else the one that is named. Touches
/// nothing: whatever is wrong is told before a database is.
pub fn choose(request: &Request, clock: &Clock) -> Result<Chosen, LocalError> {
    let Source::File { path, workflow: named } = &request.source else { return Ok(Chosen::default()) };
    if request.params_file.as_deref() == Some(path) && path == Path::new("-") {
        let why = "FILE and --params cannot both be standard input".to_owned();
        return Err(LocalError::Refused(why));
    }
    let bytes = read(path)?;
    let params_file =
        request.params_file.as_deref().map(|p| Ok::<_, LocalError>((shown(p), read(p)?))).transpose()?;
    let params_file = params_file.as_ref().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let overrides = Overrides::read(&request.params, params_file).map_err(LocalError::Findings)?;
    let file = shown(path);
    let manifests = crd::load(&file, &bytes, &overrides).map_err(LocalError::Findings)?;
    let submissions = submissions(&file, named.as_deref(), &manifests, &overrides, clock.now())?;
    let of = |s: &'_ Submission| s.workflow.clone();
    let workflows: Vec<Arc<Workflow>> = submissions.iter().map(of).collect();
    let tasks = || workflows.iter().flat_map(|w| w.tasks.iter().map(|task| (w.name.as_str(), task)));
    refuse_unnamed(tasks().map(|(_, task)| task), request)?;
    refuse_unanswerable(tasks(), request)?;
    Ok(Chosen { submissions, notices: manifests.notices })
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, LocalError> {
    // One byte more than is allowed, so that the reader can tell.
    let most = limits::FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| {
            let length = file.metadata()?.len();
            if length > most {
                // Only its size matters any more, and `crd` words that.
                bytes = vec![b'#'; length.min(64 << 20) as usize];
                return Ok(0);
            }
            file.take(most).read_to_end(&mut bytes)
        }),
    };
    read.map_err(|why| LocalError::Unreadable { path: path.display().to_string(), why })?;
    Ok(bytes)
}

fn submissions(
    file: &str,
    named: Option<&str>,
    manifests: &Manifests,
    overrides: &Overrides,
    now: Timestamp,
) -> Result<Vec<Submission>, LocalError> {
    let names =
        || manifests.workflows.iter().map(|w| w.workflow.name.as_str()).collect::<Vec<_>>().join(", ");
    let workflow = match (named, manifests.workflows.as_slice()) {
        (None, _) if !manifests.runs.is_empty() => {
            let of_run = |run: &crd::RunManifest| {
                let params = Value::Object(run.params.clone().into_iter().collect());
                let name = match &run.name {
                    RunName::Given(name) => name.clone(),
                    RunName::Prefix(prefix) => format!("{prefix}{}", suffix()),
                };
                submission(&manifests.workflows[run.workflow], name, params, now)
            };
            return manifests.runs.iter().map(of_run).collect();
        }
        (None, [only]) => only,
        (None, []) => return Err(LocalError::Refused(format!("{file}: there is no Workflow in this file"))),
        (None, _) => {
            let why = format!(
                "{file}: there are several Workflows and no Run; choose one with --workflow: {}",
                names()
            );
            return Err(LocalError::Refused(why));
        }
        (Some(name), all) => all.iter().find(|w| w.workflow.name == name).ok_or_else(|| {
            LocalError::Refused(format!(
                "{file}: there is no Workflow `{name}` in this file; it has: {}",
                names()
            ))
        })?,
    };
    let params = crd::resolve(file, workflow, overrides).map_err(LocalError::Findings)?;
    let name = format!("{}-{}", workflow.workflow.name, suffix());
    Ok(vec![submission(workflow, name, Value::Object(params.into_iter().collect()), now)?])
}

/// Five characters that tell runs of one name apart.
fn suffix() -> String {
    let id = Uuid::now_v7().simple().to_string();
    id[id.len() - 5..].to_owned()
}

fn submission(
    manifest: &WorkflowManifest,
    name: String,
    params: Value,
    now: Timestamp,
) -> Result<Submission, LocalError> {
    let workflow: &Arc<Workflow> = &manifest.workflow;
    let id: RunId = Uuid::now_v7().to_string().parse().map_err(|e| LocalError::Refused(format!("{e}")))?;
    let run = RunRow::new(id, workflow.id.clone(), workflow.namespace.clone(), name, now);
    let run = RunRow { params: Text::from(&params), ..run };
    Ok(Submission { revision: crd::revision(manifest), workflow: workflow.clone(), run })
}

/// An approval given to a task that never asks is a mistake. `tasks` are all there are: one of a run that goes on may
/// have asked before.
pub(super) fn refuse_unnamed<'a>(
    tasks: impl Iterator<Item = &'a Task>,
    request: &Request,
) -> Result<(), LocalError> {
    let asking: BTreeSet<&str> = tasks.filter(|t| t.approval.is_some()).map(|t| t.name.as_str()).collect();
    let Some(name) = request.approve.tasks.iter().find(|name| !asking.contains(name.as_str())) else {
        return Ok(());
    };
    let known = match asking.len() {
        0 => "none does".to_owned(),
        _ => format!("those that do: {}", asking.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let why = format!("--approve={name}: no task of that name needs an approval; {known}");
    Err(LocalError::Refused(why))
}

/// An approval that nobody can give would make a run wait for ever. `tasks` are those that may still ask.
pub(super) fn refuse_unanswerable<'a>(
    mut tasks: impl Iterator<Item = (&'a str, &'a Task)>,
    request: &Request,
) -> Result<(), LocalError> {
    let open = tasks.find(|(_, t)| t.approval.is_some() && !request.approve.covers(&t.name));
    match open.map(|(workflow, t)| (workflow, &t.name)).filter(|_| request.asks == Asks::Nowhere) {
        None => Ok(()),
        Some((workflow, task)) => Err(LocalError::Refused(format!(
            "task `{task}` of Workflow {workflow} needs an approval, and there is no terminal to ask at; \
             give it beforehand with --approve={task}, or all with --approve"
        ))),
    }
}
