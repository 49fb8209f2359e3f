//! A live Run and its user's wishes: desiredState, approvals, deletion; and what of its spec is read only once.

use std::collections::BTreeMap;

use crate::conductor::{DecideError, Verdict};
use crate::crd::schema::Kind;
use crate::crd::status::{Disregarded, RunStatus};
use crate::model::{
    ids::RunId,
    task_run::{ApprovalRow, Decision},
    view::RunView,
    workflow::Workflow,
};
use crate::operator::Trouble;
use crate::operator::accept::{self, asks_the_same};
use crate::operator::api::Object;
use crate::operator::approvals::{self, Heard, Judgement, Line, Word};
use crate::operator::book::Known;
use crate::operator::desire::{Act, Desire, desire};
use crate::operator::desk::Lane;
use crate::operator::events::Told;
use crate::operator::kit::Kit;
use crate::operator::status::said_by;

/// Said of a spec that changed after the Run was accepted.
const IGNORED: &str = "workflowRef and params are read once: what was changed after the Run was accepted is ignored; create a new Run";

/// Brings a live run to what its object says.
pub(super) async fn follow(kit: &Kit, id: &RunId, object: &Object, view: RunView) -> Result<(), Trouble> {
    if object.deleting {
        act_on(kit, id, Act::Cancel { finally: false }).await?;
        kit.observe(id, object, Lane::Further);
        return Ok(());
    }
    let mut notes = Vec::new();
    let mut acted_on = None;
    let run = accept::read(object);
    match &run {
        // What it says cannot be read any more; what was accepted goes on.
        Err(waiting) => notes.push(format!("its spec is ignored: {}", waiting.message)),
        Ok(run) => {
            let Desire { act, note } = desire(run.desired, &view);
            notes.extend(note.map(str::to_owned));
            let acted = match act {
                Some(act) => act_on(kit, id, act).await?,
                // It is as it should be, unless there is something to say of it.
                None => note.is_none(),
            };
            acted_on = acted.then_some(run.desired);
            if !same_spec(kit, run, &view).await? {
                notes.push(IGNORED.to_owned());
                tell_ignored(kit, id, object);
            }
        }
    }
    let disregarded = listen(kit, id, object, &view).await?;
    kit.book.change(id, |page| {
        // Its last mark may have come meanwhile.
        if !matches!(page.known, Some(Known::Last(_))) {
            page.known = Some(Known::Live);
        }
        page.desired = acted_on.or(page.desired);
        page.notes = notes;
        page.disregarded = disregarded;
    });
    kit.observe(id, object, Lane::Further);
    Ok(())
}

impl Kit {
    /// Asks the conductor for this.
    pub(super) async fn ask_for(&self, id: &RunId, act: Act) -> Result<(), DecideError> {
        match act {
            Act::Cancel { finally } => self.handle.cancel(id.clone(), finally).await,
            Act::Pause => self.handle.pause(id.clone()).await,
            Act::Resume => self.handle.resume(id.clone()).await,
        }
    }
}

/// Was it done? That a run has ended meanwhile, or said no, is no failure: its status tells.
async fn act_on(kit: &Kit, id: &RunId, act: Act) -> Result<bool, Trouble> {
    match kit.ask_for(id, act).await {
        Ok(()) => Ok(true),
        Err(DecideError::Stopped) => Err(Trouble::NotLeading),
        Err(
            DecideError::NoSuchRun(_)
            | DecideError::NoSuchTask { .. }
            | DecideError::Refused(_)
            | DecideError::Aside { .. },
        ) => Ok(false),
    }
}

async fn same_spec(kit: &Kit, run: &crate::crd::RunObject, view: &RunView) -> Result<bool, Trouble> {
    let Some(workflow) = kit.compiled(&view.row.workflow).await? else { return Ok(true) };
    let declared = workflow.params.iter().map(|param| (param.name.clone(), param.default.clone()));
    Ok(asks_the_same(run, &view.row, &declared.collect::<BTreeMap<_, _>>()))
}

/// Once a generation: the last look, or before it the status, tells which one was seen.
fn tell_ignored(kit: &Kit, id: &RunId, object: &Object) {
    let before: RunStatus = object.told();
    let looked_at = kit.book.page(id).and_then(|page| page.generation);
    if looked_at.or(before.observed_generation).is_some_and(|seen| seen < object.generation) {
        let told = Told::warning("SpecIgnored", "", IGNORED.to_owned());
        kit.herald.tell(&object.reference(Kind::Run), told);
    }
}

/// Hears what people say in annotations; gives what of it decided nothing.
async fn listen(kit: &Kit, id: &RunId, object: &Object, view: &RunView) -> Result<Vec<Disregarded>, Trouble> {
    let lines = approvals::lines(object.annotations.iter().map(|(key, value)| (key, value)));
    let page = kit.book.page(id);
    let (decided, before) = page.map(|page| (page.decided, page.disregarded)).unwrap_or_default();
    // What was taken away may be said again.
    let still = |(task, text): &(String, String)| lines.iter().any(|l| l.task == *task && l.text == *text);
    kit.book.change(id, |page| page.decided.retain(still));
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    // Without its definition nothing of it can be judged, and what was said stays as it is.
    let Some(workflow) = kit.compiled(&view.row.workflow).await? else { return Ok(before) };
    let mut disregarded = Vec::new();
    for line in lines.iter().filter(|line| !decided.contains(&(line.task.clone(), line.text.clone()))) {
        let task = workflow.task_named(&line.task).map(|task| task.no);
        let heard =
            Heard { askings: &view.askings, is_task: task.is_some(), said: None, disregarded: &before };
        let mut judgement = approvals::judge(line, &heard);
        if judgement == Judgement::Ask {
            let said = said_so_far(kit, id, task).await?;
            judgement = approvals::judge(line, &Heard { said: Some(&said), ..heard });
        }
        let why = match judgement {
            Judgement::Ask => continue,
            Judgement::Known => None,
            Judgement::Disregard(why) => Some(why),
            Judgement::Decide(word, asking) => decide(kit, id, object, (line, word, asking)).await?,
        };
        match why {
            Some(reason) => {
                disregarded.push(Disregarded { task: line.task.clone(), value: line.text.clone(), reason });
            }
            None => {
                let known = (line.task.clone(), line.text.clone());
                kit.book.change(id, |page| page.decided.insert(known));
            }
        }
    }
    // What could decide comes first, so that a bounded status remembers it over a restart.
    let sound = |told: &Disregarded| {
        lines.iter().any(|l| l.word.is_ok() && l.task == told.task && l.text == told.value)
    };
    disregarded.sort_by_key(|told| !sound(told));
    tell_disregarded(kit, object, &before, &disregarded);
    Ok(disregarded)
}

/// Approvals that stand on a Run when it is accepted, before any task asks.
pub(super) fn unasked(object: &Object, workflow: &Workflow) -> Vec<Disregarded> {
    let why = |line: &Line| {
        let is_task = workflow.task_named(&line.task).is_some();
        let heard = Heard { askings: &[], is_task, said: Some(&[]), disregarded: &[] };
        match approvals::judge(line, &heard) {
            Judgement::Disregard(reason) => Some(reason),
            Judgement::Decide(..) | Judgement::Known | Judgement::Ask => None,
        }
    };
    let lines = approvals::lines(object.annotations.iter().map(|(key, value)| (key, value)));
    let disregarded = lines.iter().filter_map(|line| {
        let reason = why(line)?;
        Some(Disregarded { task: line.task.clone(), value: line.text.clone(), reason })
    });
    disregarded.collect()
}

/// What people said of a task in all its askings.
async fn said_so_far(kit: &Kit, id: &RunId, task: Option<u32>) -> Result<Vec<ApprovalRow>, Trouble> {
    let record = kit.store.run(id).await?;
    let all = record.map(|record| record.approvals).unwrap_or_default();
    Ok(all.into_iter().filter(|row| Some(row.key.task) == task).collect())
}

/// Passes a word on; gives why it decided nothing, if so.
async fn decide(
    kit: &Kit,
    id: &RunId,
    object: &Object,
    (line, word, asking): (&Line, Word, u32),
) -> Result<Option<String>, Trouble> {
    let verdict = Verdict {
        run: id.clone(),
        task: line.task.clone(),
        asking: Some(asking),
        user: word.user.clone(),
        decision: word.decision,
        note: word.note.clone(),
        verified: false,
    };
    match kit.handle.decide(verdict).await {
        Ok(()) => {
            let who = said_by(&word.user, false);
            let note = word.note.map(|note| format!(": {note}")).unwrap_or_default();
            let told = match word.decision {
                Decision::Approved => Told::normal(
                    "Approved",
                    &line.task,
                    format!("task {} was approved by {who}{note}", line.task),
                ),
                Decision::Rejected => Told::warning(
                    "Rejected",
                    &line.task,
                    format!("task {} was rejected by {who}{note}", line.task),
                ),
            };
            kit.herald.tell(&object.reference(Kind::Run), told);
            Ok(None)
        }
        Err(DecideError::Stopped) => Err(Trouble::NotLeading),
        // The run ended, or the asking closed, while the word was on its way.
        Err(error) => Ok(Some(format!("{error}; remove the annotation"))),
    }
}

fn tell_disregarded(kit: &Kit, object: &Object, before: &[Disregarded], now: &[Disregarded]) {
    let fresh = |new: &&Disregarded| !before.iter().any(|old| old.task == new.task && old.value == new.value);
    let mut fresh = now.iter().filter(fresh);
    if let Some(first) = fresh.next() {
        let more = fresh.count();
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let note = format!(
            "approval `{}` of task {} decides nothing: {}{more}",
            first.value, first.task, first.reason
        );
        kit.herald
            .tell(&object.reference(Kind::Run), Told::warning("ApprovalDisregarded", &first.task, note));
    }
}
