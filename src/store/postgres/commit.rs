//! The one write: a batch becomes columns, the columns one statement.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff_sqlx::{Timestamp as At, ToSqlx};
use serde_json::{Value, value::RawValue};
use sqlx::{AssertSqlSafe, Postgres, postgres::PgArguments, query::Query, types::Json};

use crate::model::{
    change::Batch,
    ids::{RunId, TaskRunId},
    run::RunRow,
    status::{RunStatus, TaskStatus},
    task_run::{ApprovalRow, AttemptRow, TaskRow},
};
use crate::store::{
    HistoryRow, StoreError,
    postgres::{PostgresStore, lead, within},
    prepare::{Prepared, TaskWrite, prepare},
};

type Sql<'q> = Query<'q, Postgres, PgArguments>;

const COMMIT: &str = include_str!("commit.sql");

pub(super) async fn commit(store: &PostgresStore, batch: &Batch) -> Result<(), StoreError> {
    let prepared = prepare(batch)?;
    let statement = statement(&prepared)?;
    let mut line = store.line().await?;
    let bound = line.bound;
    // `execute` reads to the end: an error of the commit itself comes after the statement's own answer.
    within(bound, statement.execute(line.sql())).await.map_err(|failed| failed.of_commit(&prepared))?;
    line.done();
    Ok(())
}

fn statement(batch: &Prepared) -> Result<Sql<'_>, StoreError> {
    let new_runs: Vec<&RunRow> =
        batch.runs.iter().filter(|(expect, _)| expect.is_none()).map(|(_, row)| row).collect();
    let old_runs: Vec<(RunStatus, &RunRow)> =
        batch.runs.iter().filter_map(|(expect, row)| expect.map(|status| (status, row))).collect();
    let new_tasks: Vec<&TaskWrite> = batch.tasks.iter().filter(|task| task.expect.is_none()).collect();
    let old_tasks: Vec<(TaskStatus, u32, &TaskWrite)> = batch
        .tasks
        .iter()
        .filter_map(|task| task.expect.map(|(status, attempt)| (status, attempt, task)))
        .collect();
    let sizes = [
        new_runs.len(),
        old_runs.len(),
        new_tasks.len(),
        old_tasks.len(),
        batch.history.len(),
        batch.attempts.len(),
        batch.approvals.len(),
    ];
    let has = sizes.map(|size| size > 0);
    let mut sql = fences(sqlx::query(AssertSqlSafe(text(has))), batch);
    if has[0] {
        sql = run_births(sql, &new_runs);
    }
    if has[1] {
        sql = run_moves(sql, &old_runs);
    }
    if has[2] {
        sql = task_births(sql, &new_tasks)?;
    }
    if has[3] {
        sql = task_moves(sql, &old_tasks)?;
    }
    if has[4] {
        sql = past(sql, &batch.history);
    }
    if has[5] {
        sql = tried(sql, &batch.attempts);
    }
    if has[6] {
        sql = said(sql, &batch.approvals);
    }
    Ok(sql)
}

/// Does the statement have this part? In the order of the file.
type Has = [bool; 7];

/// What each part that counts is called: as many rows as were sent must come back of it.
const COUNTED: [&str; 4] = ["run_born", "run_moved", "task_born", "task_moved"];

/// The statement with these parts, put together once: a part without rows would cost as much as one with a row.
fn text(has: Has) -> Arc<str> {
    static TEXTS: [OnceLock<Arc<str>>; 128] = [const { OnceLock::new() }; 128];
    let place = has.iter().fold(0, |place, has| place * 2 + usize::from(*has));
    TEXTS[place].get_or_init(|| assemble(has).into()).clone()
}

fn assemble(has: Has) -> String {
    let mut parts = COMMIT.split("----\n");
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut number = 5;
    for (part, _) in parts.by_ref().take(has.len()).zip(has).filter(|(_, has)| *has) {
        let mut pieces = part.split('?');
        out += pieces.next().unwrap_or_default();
        for piece in pieces {
            number += 1;
            out += &format!("${number}{piece}");
        }
    }
    let counted = COUNTED.iter().zip(has).filter(|(_, has)| *has);
    let counted: String = counted.map(|(name, _)| format!("- (select count(*) from {name}) ")).collect();
    out + &parts.next().unwrap_or_default().replace("! ", &counted)
}

/// One column of some rows.
fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Numbers that `prepare` found to fit.
fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// A time that `prepare` found to fit.
fn micros(long: Duration) -> i64 {
    i64::try_from(long.as_micros()).unwrap_or(i64::MAX)
}

fn at(when: Option<jiff::Timestamp>) -> Option<At> {
    when.map(ToSqlx::to_sqlx)
}

fn json(value: &Option<Arc<Value>>) -> Option<Json<&Value>> {
    value.as_deref().map(Json)
}

fn fences<'q>(sql: Sql<'q>, batch: &Prepared) -> Sql<'q> {
    let all = &batch.fences;
    sql.bind(column(all, |(fence, _)| lead::id(fence.shard)))
        .bind(column(all, |(fence, _)| fence.epoch))
        .bind(column(all, |(fence, _)| fence.seq))
        .bind(column(all, |(_, next)| *next))
        .bind((batch.runs.len() + batch.tasks.len()) as i64)
}

fn run_births<'q>(sql: Sql<'q>, rows: &[&'q RunRow]) -> Sql<'q> {
    sql.bind(column(rows, |r| r.id.as_str()))
        .bind(column(rows, |r| r.workflow.as_str()))
        .bind(column(rows, |r| r.namespace.as_str()))
        .bind(column(rows, |r| r.name.as_str()))
        .bind(column(rows, |r| lead::id(r.shard())))
        .bind(column(rows, |r| r.status.as_str()))
        .bind(column(rows, |r| r.reason.map(|w| w.as_str())))
        .bind(column(rows, |r| r.error.as_deref()))
        .bind(column(rows, |r| Json(r.params.raw())))
        .bind(column(rows, |r| json(&r.outputs)))
        .bind(column(rows, |r| r.stop.as_ref().map(|s| s.reason.as_str())))
        .bind(column(rows, |r| r.stop.as_ref().map(|s| s.finally)))
        .bind(column(rows, |r| r.created_at.to_sqlx()))
        .bind(column(rows, |r| r.started_at.to_sqlx()))
        .bind(column(rows, |r| at(r.finally_at)))
        .bind(column(rows, |r| at(r.finished_at)))
        .bind(column(rows, |r| at(r.paused_at)))
        .bind(column(rows, |r| micros(r.paused_for)))
}

fn run_moves<'q>(sql: Sql<'q>, rows: &[(RunStatus, &'q RunRow)]) -> Sql<'q> {
    sql.bind(column(rows, |(_, r)| r.id.as_str()))
        .bind(column(rows, |(expected, _)| expected.as_str()))
        .bind(column(rows, |(_, r)| r.status.as_str()))
        .bind(column(rows, |(_, r)| r.reason.map(|w| w.as_str())))
        .bind(column(rows, |(_, r)| r.error.as_deref()))
        .bind(column(rows, |(_, r)| json(&r.outputs)))
        .bind(column(rows, |(_, r)| r.stop.as_ref().map(|s| s.reason.as_str())))
        .bind(column(rows, |(_, r)| r.stop.as_ref().map(|s| s.finally)))
        .bind(column(rows, |(_, r)| r.started_at.to_sqlx()))
        .bind(column(rows, |(_, r)| at(r.finally_at)))
        .bind(column(rows, |(_, r)| at(r.finished_at)))
        .bind(column(rows, |(_, r)| at(r.paused_at)))
        .bind(column(rows, |(_, r)| micros(r.paused_for)))
}

fn task_births<'q>(sql: Sql<'q>, rows: &[&'q TaskWrite]) -> Result<Sql<'q>, StoreError> {
    let sql = sql
        .bind(column(rows, |t| t.row.id(&t.run).to_string()))
        .bind(column(rows, |t| t.run.as_str()))
        .bind(column(rows, |t| t.workflow.as_ref().map(|w| w.as_str())))
        .bind(column(rows, |t| int(t.row.key.task)))
        .bind(column(rows, |t| t.row.key.item.map(int)))
        .bind(column(rows, |t| int(t.row.key.round)));
    let rows = column(rows, |t| &t.row);
    Ok(task_columns(sql, &rows)?.bind(column(&rows, |r| r.created_at.to_sqlx())))
}

fn task_moves<'q>(sql: Sql<'q>, rows: &[(TaskStatus, u32, &'q TaskWrite)]) -> Result<Sql<'q>, StoreError> {
    let sql = sql
        .bind(column(rows, |(_, _, t)| t.row.id(&t.run).to_string()))
        .bind(column(rows, |(expected, _, _)| expected.as_str()))
        .bind(column(rows, |(_, attempt, _)| int(*attempt)));
    task_columns(sql, &column(rows, |(_, _, t)| &t.row))
}

/// What births and moves have in common, in the statement's order.
fn task_columns<'q>(sql: Sql<'q>, rows: &[&'q TaskRow]) -> Result<Sql<'q>, StoreError> {
    let outputs = rows.iter().map(|r| r.output.as_deref().map(serde_json::to_string).transpose());
    let inputs: Vec<Option<Json<&RawValue>>> =
        column(rows, |r| r.input.as_ref().map(|text| Json(text.raw())));
    let outputs: Vec<Option<String>> = outputs
        .collect::<Result<_, _>>()
        .map_err(|e| StoreError::Refused(format!("an output is no JSON: {e}")))?;
    Ok(sql
        .bind(column(rows, |r| r.status.as_str()))
        .bind(column(rows, |r| int(r.attempt)))
        .bind(column(rows, |r| int(r.failures)))
        .bind(column(rows, |r| int(r.losses)))
        .bind(column(rows, |r| r.reason.map(|w| w.as_str())))
        .bind(column(rows, |r| r.error.as_deref()))
        .bind(column(rows, |r| r.exit_code))
        .bind(inputs)
        .bind(outputs)
        .bind(column(rows, |r| r.worker.as_deref()))
        .bind(column(rows, |r| at(r.ready_at)))
        .bind(column(rows, |r| at(r.due_at)))
        .bind(column(rows, |r| at(r.started_at)))
        .bind(column(rows, |r| at(r.finished_at))))
}

fn past<'q>(sql: Sql<'q>, rows: &'q [HistoryRow]) -> Sql<'q> {
    sql.bind(column(rows, |h| lead::id(h.shard)))
        .bind(column(rows, |h| h.seq))
        .bind(column(rows, |h| h.entity.kind()))
        .bind(column(rows, |h| h.entity.id()))
        .bind(column(rows, |h| h.old_state.as_deref()))
        .bind(column(rows, |h| h.new_state.as_str()))
        .bind(column(rows, |h| int(h.attempt)))
        .bind(column(rows, |h| h.reason.map(|w| w.as_str())))
        .bind(column(rows, |h| h.actor.as_str()))
        .bind(column(rows, |h| h.changed_at.to_sqlx()))
}

fn tried<'q>(sql: Sql<'q>, rows: &'q [(TaskRunId, AttemptRow)]) -> Sql<'q> {
    sql.bind(column(rows, |(task, _)| task.to_string()))
        .bind(column(rows, |(_, made)| int(made.attempt)))
        .bind(column(rows, |(_, made)| made.worker.as_deref()))
        .bind(column(rows, |(_, made)| at(made.started_at)))
        .bind(column(rows, |(_, made)| at(made.ended_at)))
        .bind(column(rows, |(_, made)| made.reason.map(|w| w.as_str())))
        .bind(column(rows, |(_, made)| made.exit_code))
}

fn said<'q>(sql: Sql<'q>, rows: &'q [(RunId, ApprovalRow)]) -> Sql<'q> {
    let task = |run: &RunId, said: &ApprovalRow| TaskRunId { run: run.clone(), key: said.key }.to_string();
    sql.bind(column(rows, |(run, _)| run.as_str()))
        .bind(column(rows, |(run, said)| task(run, said)))
        .bind(column(rows, |(_, said)| said.user.as_str()))
        .bind(column(rows, |(_, said)| said.decision.as_str()))
        .bind(column(rows, |(_, said)| said.note.as_deref()))
        .bind(column(rows, |(_, said)| said.verified))
        .bind(column(rows, |(_, said)| said.at.to_sqlx()))
}
