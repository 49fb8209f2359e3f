//! What a leader reads when it takes over: the runs that are not final, and each of them whole.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Connection, PgConnection, Row, postgres::PgRow, types::Json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::model::{
    ids::{RunId, ShardId, TaskRunId, WorkflowId},
    json::Text,
    reason::Reason,
    run::{RunRow, Stop},
    status::{RunStatus, TaskStatus},
    task_run::{ApprovalRow, Decision, TaskRow},
};
use crate::store::{
    RunRecord, StoreError,
    postgres::{PostgresStore, errors::Failed, lead, within},
    prepare::text,
};

const LIVE: &str = "
    select id from runs where shard = $1 and status in ('QUEUED', 'RUNNING') order by created_at, id";

const THERE: &str = "
    select id from runs where id = any($1) and not expiring";

const NAMED: &str = "
    select id from runs where namespace = $1 and name = $2 and not expiring order by created_at desc, id desc limit $3";

/// How many of these runs, from the first on, have at most so many task runs together.
const FIT: &str = "
    select count(*) from (
        select sum(n) over (order by place) as together from (
            select place, (select count(*) from task_runs t where t.run_id = ids.id) as n
            from unnest($1::text[]) with ordinality as ids(id, place)) as each) as summed
    where together <= $2";

/// What is left of a run on its way out is no run.
const RUNS: &str = "
    select id, workflow_id, namespace, name, status, reason, error, input, outputs, stop_reason, stop_finally,
        created_at, started_at, finally_at, finished_at, paused_at, paused_us
    from runs where id = any($1) and not expiring";

const TASKS: &str = "
    select run_id, id, status, attempt, failures, losses, reason, error, exit_code, input, output, worker, ready_at, due_at,
        started_at, finished_at, created_at
    from task_runs where run_id = any($1)";

const APPROVALS: &str = "
    select run_id, task_run_id, user_name, decision, note, verified, decided_at from approvals
    where run_id = any($1) order by id";

/// Runs that are read at once, ...
const RUNS_AT_ONCE: usize = 500;
/// ... and their task runs; of one run alone it may be more.
const ROWS_AT_ONCE: i64 = 10_000;

pub(super) async fn live_runs(store: &PostgresStore, shard: ShardId) -> Result<Vec<RunId>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_scalar::<_, String>(LIVE).bind(lead::id(shard)).fetch_all(line.sql());
    let ids = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    run_ids(ids)
}

pub(super) async fn which_are_there(
    store: &PostgresStore,
    ids: &[RunId],
) -> Result<BTreeSet<RunId>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let ids: Vec<&str> = ids.iter().map(RunId::as_str).collect();
    let there = sqlx::query_scalar::<_, String>(THERE).bind(ids).fetch_all(line.sql());
    let there = within(bound, there).await.map_err(Failed::before)?;
    line.done();
    Ok(run_ids(there)?.into_iter().collect())
}

pub(super) async fn find_runs(
    store: &PostgresStore,
    (namespace, name): (&str, &str),
    limit: u32,
) -> Result<Vec<RunId>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let named = sqlx::query_scalar::<_, String>(NAMED).bind(text(namespace)).bind(text(name));
    let ids =
        within(bound, named.bind(i64::from(limit)).fetch_all(line.sql())).await.map_err(Failed::before)?;
    line.done();
    run_ids(ids)
}

fn run_ids(ids: Vec<String>) -> Result<Vec<RunId>, StoreError> {
    ids.into_iter().map(|id| id.parse().map_err(|e| corrupt("runs", e))).collect()
}

pub(super) async fn run(store: &PostgresStore, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let mut found = within(bound, read(line.sql(), &[id.as_str()])).await.map_err(Failed::before)?;
    line.done();
    found.take(id).record()
}

pub(super) async fn runs(
    store: &PostgresStore,
    ids: &[RunId],
) -> Result<Vec<Result<Option<RunRecord>, StoreError>>, StoreError> {
    let ids = &ids[..ids.len().min(RUNS_AT_ONCE)];
    let names: Vec<&str> = ids.iter().map(RunId::as_str).collect();
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = async {
        let fit = sqlx::query_scalar(FIT).bind(&names).bind(ROWS_AT_ONCE);
        let fit: i64 = fit.fetch_one(line.sql()).await?;
        let some = usize::try_from(fit).unwrap_or(0).clamp(1.min(names.len()), names.len());
        read(line.sql(), &names[..some]).await.map(|found| (some, found))
    };
    let (some, mut found) = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    Ok(ids[..some].iter().map(|id| found.take(id).record()).collect())
}

/// What was found of some runs, by run.
#[derive(Default)]
struct Found(BTreeMap<String, Rows>);

/// The rows of one run.
#[derive(Default)]
struct Rows {
    run: Option<PgRow>,
    tasks: Vec<PgRow>,
    approvals: Vec<PgRow>,
}

async fn read(sql: &mut PgConnection, ids: &[&str]) -> Result<Found, sqlx::Error> {
    // One snapshot for the three: a commit in between would show a run that never was.
    let mut tx = sql.begin_with("begin isolation level repeatable read read only").await?;
    let mut found = Found::default();
    for row in sqlx::query(RUNS).bind(ids).fetch_all(&mut *tx).await? {
        let id = row.try_get("id")?;
        found.of(id).run = Some(row);
    }
    for row in sqlx::query(TASKS).bind(ids).fetch_all(&mut *tx).await? {
        let run = row.try_get("run_id")?;
        found.of(run).tasks.push(row);
    }
    for row in sqlx::query(APPROVALS).bind(ids).fetch_all(&mut *tx).await? {
        let run = row.try_get("run_id")?;
        found.of(run).approvals.push(row);
    }
    tx.commit().await?;
    Ok(found)
}

impl Found {
    fn of(&mut self, run: String) -> &mut Rows {
        self.0.entry(run).or_default()
    }

    fn take(&mut self, id: &RunId) -> Rows {
        self.0.remove(id.as_str()).unwrap_or_default()
    }
}

impl Rows {
    fn record(self) -> Result<Option<RunRecord>, StoreError> {
        let Some(run) = self.run else { return Ok(None) };
        let mut tasks = self.tasks.iter().map(task_row).collect::<Result<Vec<_>, _>>()?;
        tasks.sort_by_key(|row| row.key);
        let approvals = self.approvals.iter().map(approval_row).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(RunRecord { run: run_row(&run)?, tasks, approvals }))
    }
}

/// A run's own row: one look-up.
pub(super) async fn row_of_run(store: &PostgresStore, id: &RunId) -> Result<Option<RunRow>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let found = within(bound, sqlx::query(RUNS).bind([id.as_str()]).fetch_optional(line.sql()));
    let found = found.await.map_err(Failed::before)?;
    line.done();
    found.as_ref().map(run_row).transpose()
}

fn run_row(row: &PgRow) -> Result<RunRow, StoreError> {
    let from = Columns { row, table: "runs" };
    let stop = match (from.reason("stop_reason")?, from.get::<Option<bool>>("stop_finally")?) {
        (Some(reason), Some(finally)) => Some(Stop { reason, finally }),
        _ => None,
    };
    Ok(RunRow {
        id: from.text("id")?.parse().map_err(|e| corrupt("runs", e))?,
        workflow: WorkflowId::parse(from.text("workflow_id")?).map_err(|e| corrupt("runs", e))?,
        namespace: from.text("namespace")?.to_owned(),
        name: from.text("name")?.to_owned(),
        status: from.word("status", RunStatus::parse)?,
        reason: from.reason("reason")?,
        error: from.get("error")?,
        params: from.json_text("input")?.ok_or_else(|| corrupt("runs", "input is null"))?,
        outputs: from.json("outputs")?,
        stop,
        paused_at: from.maybe_at("paused_at")?,
        paused_for: from.micros("paused_us")?,
        created_at: from.at("created_at")?,
        started_at: from.at("started_at")?,
        finally_at: from.maybe_at("finally_at")?,
        finished_at: from.maybe_at("finished_at")?,
    })
}

fn task_row(row: &PgRow) -> Result<TaskRow, StoreError> {
    let from = Columns { row, table: "task_runs" };
    let output = from.get::<Option<&str>>("output")?.map(serde_json::from_str::<Value>).transpose();
    Ok(TaskRow {
        key: from.text("id")?.parse::<TaskRunId>()?.key,
        status: from.word("status", TaskStatus::parse)?,
        attempt: from.number("attempt")?,
        failures: from.number("failures")?,
        losses: from.number("losses")?,
        reason: from.reason("reason")?,
        error: from.get("error")?,
        exit_code: from.get("exit_code")?,
        input: from.json_text("input")?,
        output: output.map_err(|e| corrupt("task_runs", format!("output: {e}")))?.map(Arc::new),
        worker: from.get::<Option<&str>>("worker")?.map(Arc::from),
        ready_at: from.maybe_at("ready_at")?,
        due_at: from.maybe_at("due_at")?,
        started_at: from.maybe_at("started_at")?,
        finished_at: from.maybe_at("finished_at")?,
        created_at: from.at("created_at")?,
    })
}

fn approval_row(row: &PgRow) -> Result<ApprovalRow, StoreError> {
    let from = Columns { row, table: "approvals" };
    Ok(ApprovalRow {
        key: from.text("task_run_id")?.parse::<TaskRunId>()?.key,
        user: from.text("user_name")?.to_owned(),
        decision: from.word("decision", Decision::parse)?,
        note: from.get("note")?,
        verified: from.get("verified")?,
        at: from.at("decided_at")?,
    })
}

/// A row, read with the name of its table at hand.
pub(super) struct Columns<'r> {
    pub row: &'r PgRow,
    pub table: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.row.try_get(column).map_err(|e| corrupt(self.table, e))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<&'r str, StoreError> {
        self.get(column)
    }

    pub(super) fn word<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| corrupt(self.table, format!("{column} is `{text}`")))
    }

    pub(super) fn reason(&self, column: &'static str) -> Result<Option<Reason>, StoreError> {
        match self.get::<Option<&str>>(column)? {
            Some(_) => self.word(column, Reason::parse).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn number(&self, column: &'static str) -> Result<u32, StoreError> {
        let n: i32 = self.get(column)?;
        u32::try_from(n).map_err(|_| corrupt(self.table, format!("{column} is {n}")))
    }

    pub(super) fn at(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.get::<jiff_sqlx::Timestamp>(column).map(jiff_sqlx::Timestamp::to_jiff)
    }

    pub(super) fn maybe_at(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<jiff_sqlx::Timestamp>>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
    }

    fn micros(&self, column: &'static str) -> Result<Duration, StoreError> {
        let n: i64 = self.get(column)?;
        let n = u64::try_from(n).map_err(|_| corrupt(self.table, format!("{column} is {n}")))?;
        Ok(Duration::from_micros(n))
    }

    fn json(&self, column: &'static str) -> Result<Option<Arc<Value>>, StoreError> {
        Ok(self.get::<Option<Json<Value>>>(column)?.map(|Json(value)| Arc::new(value)))
    }

    /// As it was written, and not as the database writes it.
    fn json_text(&self, column: &'static str) -> Result<Option<Text>, StoreError> {
        Ok(self.get::<Option<Json<Value>>>(column)?.map(|Json(value)| Text::from(&value)))
    }
}

pub(super) fn corrupt(table: &'static str, why: impl ToString) -> StoreError {
    StoreError::Corrupt { table, why: why.to_string() }
}
