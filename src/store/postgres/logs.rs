//! Lines of logs: added by the thousand, read by the page.

use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;

use crate::model::{
    ids::TaskRunId,
    job::JobId,
    log::{LogLine, LogQuery, StoredLine, Stream},
};
use crate::store::{
    LOG_PAGE_BYTES, StoreError,
    fit::{fit_lines, page},
    postgres::{
        PostgresStore,
        errors::Failed,
        load::{Columns, corrupt},
        within,
    },
};

/// Lines that go into one statement.
const LINES_AT_ONCE: usize = 1_000;

/// Writers come one after another: a position is given under a lock that ends after the commit, so that a reader never
/// sees a position before a smaller one. The lock is no row's, and leaves no trace.
const PUT: &str = "
    with turn as materialized (
        select pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'task_logs'::regclass::oid::integer)
    ), known as materialized (
        select n.*, t.run_id
        from unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[], $5::text[], $6::timestamptz[], $7::text[],
            $8::boolean[]) with ordinality
            as n(task_run_id, task, attempt, number, stream, at, text, partial, place)
        join task_runs t on t.id = n.task_run_id
    ), added as (
        insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
        select k.task_run_id, k.run_id, k.task, k.attempt, k.number, k.stream, k.at, k.text, k.partial
        from turn cross join known k
        order by k.place
        on conflict do nothing
    )
    select count(*) from known";

/// What a page is made of, after its own condition. It ends with the line that fills it.
macro_rules! page_of {
    ($of:literal) => {
        concat!(
            "select position, task_run_id, attempt, number, stream, at, text, partial
            from (
                select l.*, sum(octet_length(l.text)) over (order by l.position) - octet_length(l.text) as before
                from (
                    select position, task_run_id, attempt, number, stream, at, text, partial from task_logs where ",
            $of,
            " and position > $2 order by position limit $3
                ) l
            ) p
            where before < $4 order by position"
        )
    };
}

/// Lines of a run that is gone, or on its way out, are nobody's: they wait for the end of their day.
const OF_RUN: &str = page_of!("run_id = (select id from runs where id = $1 and not expiring)");

const OF_TASK: &str = page_of!("run_id = (select id from runs where id = $1 and not expiring) and task = $5");

/// An item's lines are few beside those of its task: they are found by the ids of its rounds.
const OF_ITEM: &str = page_of!(
    "task_run_id = any(array(
        select t.id from runs r
        join tasks k on k.workflow_id = r.workflow_id and k.number = $5
        join task_runs t on t.run_id = r.id and t.task_id = k.id and t.item_index = $6
        where r.id = $1 and not r.expiring))"
);

pub(super) async fn put(store: &PostgresStore, lines: &[LogLine]) -> Result<usize, StoreError> {
    let mut kept = 0;
    for chunk in lines.chunks(LINES_AT_ONCE) {
        let lines = fit_lines(chunk);
        if !lines.is_empty() {
            kept += put_chunk(store, &lines).await?;
        }
    }
    Ok(kept)
}

async fn put_chunk(store: &PostgresStore, lines: &[LogLine]) -> Result<usize, StoreError> {
    let work = sqlx::query_scalar::<_, i64>(PUT)
        .bind(column(lines, |l| l.job.task_run.to_string()))
        .bind(column(lines, |l| i32::try_from(l.job.task_run.key.task).unwrap_or(i32::MAX)))
        .bind(column(lines, |l| i32::try_from(l.job.attempt).unwrap_or(i32::MAX)))
        .bind(column(lines, |l| i64::try_from(l.number).unwrap_or(i64::MAX)))
        .bind(column(lines, |l| l.stream.as_str()))
        .bind(column(lines, |l| l.at.to_sqlx()))
        .bind(column(lines, |l| l.text.as_str()))
        .bind(column(lines, |l| l.partial));
    let mut line = store.line().await?;
    let bound = line.bound;
    let kept = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
    line.done();
    Ok(usize::try_from(kept).unwrap_or_default())
}

fn column<'l, T>(lines: &'l [LogLine], value: impl Fn(&'l LogLine) -> T) -> Vec<T> {
    lines.iter().map(value).collect()
}

pub(super) async fn read(store: &PostgresStore, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError> {
    let limit = page(query)?;
    let statement = match (query.task, query.item) {
        (None, _) => OF_RUN,
        (Some(_), None) => OF_TASK,
        (Some(_), Some(_)) => OF_ITEM,
    };
    let mut work = sqlx::query(statement)
        .bind(query.run.as_str())
        .bind(query.after)
        .bind(i64::from(limit))
        .bind(LOG_PAGE_BYTES as i64);
    for number in [query.task, query.item].into_iter().flatten() {
        // No task and no item has a number beyond the column's.
        work = work.bind(i32::try_from(number).unwrap_or(i32::MAX));
    }
    let mut line = store.line().await?;
    let bound = line.bound;
    let rows = within(bound, work.fetch_all(line.sql())).await.map_err(Failed::before)?;
    line.done();
    rows.iter().map(stored).collect()
}

fn stored(row: &PgRow) -> Result<StoredLine, StoreError> {
    let from = Columns { row, table: "task_logs" };
    let number: i64 = from.get("number")?;
    let line = LogLine {
        job: JobId {
            task_run: from.text("task_run_id")?.parse::<TaskRunId>()?,
            attempt: from.number("attempt")?,
        },
        stream: from.word("stream", Stream::parse)?,
        number: u64::try_from(number).map_err(|_| corrupt("task_logs", format!("number is {number}")))?,
        at: from.at("at")?,
        text: from.text("text")?.to_owned(),
        partial: from.get("partial")?,
    };
    Ok(StoredLine { position: from.get("position")?, line })
}
