//! From the choice to a session: leadership, the runs to watch, conductor and worker.

use std::collections::{BTreeMap, BTreeSet};
use std::{io::Write, sync::Arc};

use crate::conductor::Compile;
use crate::feed::Reader;
use crate::local::{
    Exit, LocalError, Parts, Request, Source,
    choose::{Chosen, refuse_unanswerable, refuse_unnamed},
    crew::{Crew, Orders},
    lead,
    screen::Screen,
    session::{Session, Watched},
    signals::Signals,
    submit::Submitting,
    summary::summarize,
};
use crate::model::{
    ids::{RunId, ShardId},
    run::RunRow,
    status::TaskStatus,
    task_run::TaskRow,
    workflow::Workflow,
};
use crate::store::RunRecord;

/// Runs what was chosen, or goes on with what the request names, and shows it on `out`.
pub async fn run(
    request: Request,
    chosen: Chosen,
    parts: Parts,
    compile: Compile,
    out: Box<dyn Write + Send>,
) -> Result<Exit, LocalError> {
    let mut screen = Screen::new(out, request.colour);
    let mut signals =
        Signals::new().map_err(|why| LocalError::Machine { what: "listening for signals", why })?;
    chosen.notices.iter().for_each(|notice| screen.say(&format!("note: {notice}")));
    let mut resumed = match &request.source {
        Source::File { .. } => None,
        Source::Resume(id) => match tokio::select! {
            biased;
            () = signals.next() => return Ok(Exit::Cancelled),
            found = reopen(&parts, &compile, &request, id) => found?,
        } {
            (workflow, record) if record.run.status.is_final() => {
                screen.say(&format!("run {} ({id}) has ended before", record.run.name));
                summarize(&mut screen, &workflow, &record);
                return Ok(Exit::of(record.run.status));
            }
            live => Some(live),
        },
    };
    let (runs, shards) = watch(&mut screen, &chosen, resumed.as_ref());
    // The process for people, the rest against a namesake on another machine.
    let holder =
        format!("relay-run-{}-{}", std::process::id(), &uuid::Uuid::now_v7().simple().to_string()[20..]);
    if !lead::take(&parts, (&holder, &shards), &mut screen, &mut signals).await? {
        return Ok(Exit::Cancelled);
    }
    if let Some((_, record)) = &mut resumed {
        // As it is now that nobody else changes it.
        let id = record.run.id.clone();
        *record = parts.store.run(&id).await?.ok_or(LocalError::NoSuchRun(id))?;
    }
    // Before anything can happen: a run that goes on may end at once.
    let feed = parts.feed.subscribe(None, Reader::Every);
    let resume = resumed.as_ref().map(|(_, record)| record.run.id.clone());
    let crew = Crew::start(&request, &parts, compile, Orders { holder, shards, resume })?;
    let submitting = Submitting::new(crew.handle.clone(), chosen.submissions);
    let session = Session::new((request, parts), screen, runs, submitting, crew.handle.clone());
    session.go(crew, feed, resumed.map(|(_, record)| record), &mut signals).await
}

/// The runs to be shown, and the shards that they are in.
fn watch(
    screen: &mut Screen,
    chosen: &Chosen,
    resumed: Option<&(Arc<Workflow>, RunRecord)>,
) -> (BTreeMap<RunId, Watched>, Vec<ShardId>) {
    let new = chosen.submissions.iter().map(|s| (&s.run, &s.workflow));
    let all: Vec<(&RunRow, &Arc<Workflow>)> =
        new.chain(resumed.map(|(workflow, record)| (&record.run, workflow))).collect();
    let mut runs = BTreeMap::new();
    for (row, workflow) in &all {
        screen.add(&row.id, &row.name, Arc::clone(workflow), row.started_at);
        let (name, workflow) = (row.name.clone(), Arc::clone(workflow));
        let accepted = resumed.is_some_and(|(_, record)| record.run.id == row.id);
        let run = Watched { name, workflow, accepted, ended: false, refused: None, aside: None };
        runs.insert(row.id.clone(), run);
    }
    let shards: BTreeSet<ShardId> = all.iter().map(|(row, _)| row.shard()).collect();
    (runs, shards.into_iter().collect())
}

/// A stored run and what it runs.
async fn reopen(
    parts: &Parts,
    compile: &Compile,
    request: &Request,
    id: &RunId,
) -> Result<(Arc<Workflow>, RunRecord), LocalError> {
    let record = parts.store.run(id).await?.ok_or_else(|| LocalError::NoSuchRun(id.clone()))?;
    let broken = |why: String| LocalError::SetAside { run: id.clone(), why };
    let revision = parts.store.revision(&record.run.workflow).await?;
    let revision =
        revision.ok_or_else(|| broken(format!("its revision {} is not there", record.run.workflow)))?;
    let workflow = compile(&revision).map(Arc::new).map_err(broken)?;
    if !record.run.status.is_final() {
        refuse_unnamed(workflow.tasks.iter(), request)?;
        let before = |row: &&TaskRow| {
            row.key.item.is_none() && matches!(row.status, TaskStatus::Pending | TaskStatus::Blocked)
        };
        let open = record.tasks.iter().filter(before).map(|row| workflow.at(row.key.task));
        refuse_unanswerable(open.map(|task| (workflow.name.as_str(), task)), request)?;
    }
    Ok((workflow, record))
}
