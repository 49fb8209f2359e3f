//! What both stores do to a batch before they write it: every value is brought into the form in which it can be kept,
//! and the rows of history get their positions. What cannot be kept is refused here, by name, before anything is sent.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::{
    change::{Batch, Fence, RunChange, Step, TaskChange},
    ids::{RunId, ShardId, TaskRunId, WorkflowId},
    json::Text,
    run::RunRow,
    status::{RunStatus, TaskStatus},
    task_run::{ApprovalRow, AttemptRow, TaskRow},
};
use crate::store::{Entity, HistoryRow, StoreError};

/// Deepest nesting of a value that can be read back: the parser stops at 128.
const DEPTH_MAX: usize = 120;

/// A task run to be written.
pub(super) struct TaskWrite {
    /// Its run.
    pub run: RunId,
    /// Its run's revision, when the batch says it.
    pub workflow: Option<WorkflowId>,
    /// Expected status and attempt; none for a new row.
    pub expect: Option<(TaskStatus, u32)>,
    /// The row; without its input where that is not to be written.
    pub row: TaskRow,
}

/// A batch, ready to be written.
#[derive(Default)]
pub(super) struct Prepared {
    /// The fences, by shard, each with the shard's position afterwards.
    pub fences: Vec<(Fence, i64)>,
    /// The runs, by id, each with its expected status; none for a new row.
    pub runs: Vec<(Option<RunStatus>, RunRow)>,
    /// The task runs, by run and key.
    pub tasks: Vec<TaskWrite>,
    /// The new rows of history.
    pub history: Vec<HistoryRow>,
    /// Attempts of task runs, each once, whole.
    pub attempts: Vec<(TaskRunId, AttemptRow)>,
    /// The new words of people, in the order of their coming.
    pub approvals: Vec<(RunId, ApprovalRow)>,
}

/// Brings a batch into the form in which it is kept.
pub(super) fn prepare(batch: &Batch) -> Result<Prepared, StoreError> {
    let mut out = Prepared::default();
    let mut seqs: BTreeMap<ShardId, i64> =
        batch.fences.iter().map(|(shard, fence)| (*shard, fence.seq)).collect();
    for (id, changes) in &batch.runs {
        let seq = seqs
            .get_mut(&changes.shard)
            .ok_or_else(|| refused(id, "its shard has no fence in this batch"))?;
        let mut past = Past { shard: changes.shard, seq, rows: &mut out.history };
        if let Some(change) = &changes.run {
            out.runs.push(run_write(id, changes.shard, change)?);
            past.add(&Entity::Run(id.clone()), &change.steps)?;
        }
        for change in changes.tasks.values() {
            let task = change.row.id(id);
            let workflow = changes.run.as_ref().map(|r| r.row.workflow.clone());
            let (expect, row) = task_write(id, change)?;
            for made in &change.attempts {
                out.attempts.push((task.clone(), attempt_write(&task, made)?));
            }
            out.tasks.push(TaskWrite { run: id.clone(), workflow, expect, row });
            past.add(&Entity::TaskRun(task), &change.steps)?;
        }
        for said in &changes.approvals {
            numbers(id, &[said.key.task, said.key.item.unwrap_or(0), said.key.round])?;
            let said = ApprovalRow {
                user: text(&said.user).into_owned(),
                note: option(&said.note),
                at: micros(said.at),
                ..said.clone()
            };
            out.approvals.push((id.clone(), said));
        }
    }
    for (shard, fence) in &batch.fences {
        if *shard != fence.shard {
            return Err(StoreError::Refused(format!(
                "a fence of shard {} stands under {}",
                fence.shard.number(),
                shard.number()
            )));
        }
        out.fences.push((*fence, seqs.get(shard).copied().unwrap_or(fence.seq)));
    }
    Ok(out)
}

/// The history of one shard, as it grows.
struct Past<'a> {
    shard: ShardId,
    seq: &'a mut i64,
    rows: &'a mut Vec<HistoryRow>,
}

impl Past<'_> {
    fn add<S: Copy + std::fmt::Display>(
        &mut self,
        entity: &Entity,
        steps: &[Step<S>],
    ) -> Result<(), StoreError> {
        for step in steps {
            numbers(entity, &[step.attempt])?;
            *self.seq += 1;
            self.rows.push(HistoryRow {
                shard: self.shard,
                seq: *self.seq,
                entity: entity.clone(),
                old_state: step.from.map(|s| s.to_string()),
                new_state: step.to.to_string(),
                attempt: step.attempt,
                reason: step.reason,
                actor: step.actor,
                changed_at: micros(step.at),
            });
        }
        Ok(())
    }
}

fn run_write(
    id: &RunId,
    shard: ShardId,
    change: &RunChange,
) -> Result<(Option<RunStatus>, RunRow), StoreError> {
    let row = &change.row;
    if row.id != *id {
        return Err(refused(id, "the row under it is another run's"));
    }
    if row.shard() != shard {
        return Err(refused(id, "its namespace is in another shard"));
    }
    let row = RunRow {
        namespace: text(&row.namespace).into_owned(),
        name: text(&row.name).into_owned(),
        error: option(&row.error),
        params: json_text(id, &row.params)?,
        outputs: row.outputs.as_ref().map(|v| value(id, v)).transpose()?,
        paused_at: row.paused_at.map(micros),
        paused_for: whole_micros(id, row.paused_for)?,
        created_at: micros(row.created_at),
        started_at: micros(row.started_at),
        finally_at: row.finally_at.map(micros),
        finished_at: row.finished_at.map(micros),
        ..row.clone()
    };
    Ok((change.expect, row))
}

type Expected = Option<(TaskStatus, u32)>;

/// Expressions are evaluated once, at birth or when a row leaves PENDING: a large input is not written again at each
/// later edge.
pub(super) fn sets_input(expect: Expected) -> bool {
    expect.is_none_or(|(status, _)| status == TaskStatus::Pending)
}

fn task_write(run: &RunId, change: &TaskChange) -> Result<(Expected, TaskRow), StoreError> {
    let row = &change.row;
    let id = row.id(run);
    if change.expect.is_some_and(|(status, _)| status.is_final()) {
        return Err(refused(&id, "a final row never changes"));
    }
    let key = row.key;
    numbers(&id, &[key.task, key.item.unwrap_or(0), key.round, row.attempt, row.failures, row.losses])?;
    numbers(&id, &[change.expect.map_or(0, |(_, attempt)| attempt)])?;
    let input = row.input.as_ref().filter(|_| sets_input(change.expect));
    let row = TaskRow {
        error: option(&row.error),
        input: input.map(|text| json_text(&id, text)).transpose()?,
        output: row.output.as_ref().map(|v| value(&id, v)).transpose()?,
        worker: row.worker.as_ref().map(name),
        ready_at: row.ready_at.map(micros),
        due_at: row.due_at.map(micros),
        started_at: row.started_at.map(micros),
        finished_at: row.finished_at.map(micros),
        created_at: micros(row.created_at),
        ..row.clone()
    };
    Ok((change.expect, row))
}

fn attempt_write(task: &TaskRunId, made: &AttemptRow) -> Result<AttemptRow, StoreError> {
    numbers(task, &[made.attempt])?;
    if made.attempt == 0 {
        return Err(refused(task, "its first attempt is 1"));
    }
    Ok(AttemptRow {
        worker: made.worker.as_ref().map(name),
        started_at: made.started_at.map(micros),
        ended_at: made.ended_at.map(micros),
        ..made.clone()
    })
}

pub(super) fn refused(what: &dyn std::fmt::Display, why: &str) -> StoreError {
    StoreError::Refused(format!("{what}: {why}"))
}

/// Columns are of 31 bits.
fn numbers(what: &dyn std::fmt::Display, all: &[u32]) -> Result<(), StoreError> {
    match all.iter().find(|n| i32::try_from(**n).is_err()) {
        Some(n) => Err(refused(what, &format!("{n} is too large a number"))),
        None => Ok(()),
    }
}

/// A store's clock has microseconds.
pub(super) fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// So has a column that holds a duration.
fn whole_micros(what: &dyn std::fmt::Display, long: Duration) -> Result<Duration, StoreError> {
    match i64::try_from(long.as_micros()) {
        Ok(micros) => Ok(Duration::from_micros(micros.unsigned_abs())),
        Err(_) => Err(refused(what, "it was paused for too long a time")),
    }
}

/// A database keeps no NUL in a text. The worker replaced those of outputs and errors at the door; this is for the rest.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

fn option(given: &Option<String>) -> Option<String> {
    given.as_deref().map(|t| text(t).into_owned())
}

fn name(given: &Arc<str>) -> Arc<str> {
    if given.contains('\0') { text(given).into() } else { given.clone() }
}

/// The text of a value as it can be kept: the same one, unless there is a NUL in it.
fn json_text(what: &dyn std::fmt::Display, given: &Text) -> Result<Text, StoreError> {
    if !given.as_str().contains("\\u0000") && depth(given.as_str()) <= DEPTH_MAX {
        return Ok(given.clone());
    }
    let read =
        given.read().ok_or_else(|| refused(what, &format!("a value is nested deeper than {DEPTH_MAX}")))?;
    Ok(Text::from(value(what, &Arc::new(read))?.as_ref()))
}

/// How deep the lists and objects of a JSON text are nested.
fn depth(json: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => now += 1,
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// A value as it can be kept: the same one, unless there is a NUL in it.
pub(super) fn value(what: &dyn std::fmt::Display, given: &Arc<Value>) -> Result<Arc<Value>, StoreError> {
    match nul_or_depth(given, DEPTH_MAX) {
        Found::Nothing => Ok(given.clone()),
        Found::Nul => Ok(Arc::new(without_nul(given))),
        Found::Depth => Err(refused(what, &format!("a value is nested deeper than {DEPTH_MAX}"))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    Nul,
    Depth,
}

fn nul_or_depth(value: &Value, depth: usize) -> Found {
    let text = |text: &str| if text.contains('\0') { Found::Nul } else { Found::Nothing };
    if depth == 0 && (value.is_array() || value.is_object()) {
        return Found::Depth;
    }
    match value {
        Value::String(s) => text(s),
        Value::Array(list) => list.iter().map(|v| nul_or_depth(v, depth - 1)).max().unwrap_or(Found::Nothing),
        Value::Object(map) => {
            map.iter().map(|(k, v)| text(k).max(nul_or_depth(v, depth - 1))).max().unwrap_or(Found::Nothing)
        }
        _ => Found::Nothing,
    }
}

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(s) => Value::String(text(s).into_owned()),
        Value::Array(list) => Value::Array(list.iter().map(without_nul).collect()),
        Value::Object(map) => Value::Object(
            map.iter().map(|(k, v)| (text(k).into_owned(), without_nul(v))).collect::<Map<_, _>>(),
        ),
        other => other.clone(),
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entity::Run(id) => id.fmt(f),
            Entity::TaskRun(id) => id.fmt(f),
        }
    }
}
