//! What happened: to a run or a task run, and in a shard.

use sqlx::postgres::PgRow;

use crate::model::{
    ids::{BadId, ShardId, TaskRunId},
    run::Actor,
    task_run::AttemptRow,
};
use crate::store::{
    Entity, HistoryRow, StoreError, TRANSITIONS_PAGE,
    postgres::{
        PostgresStore,
        errors::Failed,
        lead,
        load::{Columns, corrupt},
        within,
    },
};

/// Nothing happened to a run a day before it was accepted: days before that are not looked at. Without a run there is none.
const HISTORY: &str = "
    select shard, seq, old_state, new_state, attempt, reason, actor, changed_at
    from state_history
    where entity_id = $1 and entity_type = $2
        and changed_at >= (select created_at - interval '1 day' from runs where id = $4 and not expiring)
    order by seq desc limit $3";

const ATTEMPTS: &str = "
    select attempt, worker, started_at, ended_at, reason, exit_code
    from attempts where task_run_id = $1 order by attempt desc limit $2";

/// In a shard a position is given and committed under the lock of the shard's row: no row comes to light before one of a
/// smaller position. Each partition is asked by its own key; that times rise with positions is true, and nobody who resumes
/// depends on it.
const TRANSITIONS: &str = "
    select shard, seq, entity_type, entity_id, old_state, new_state, attempt, reason, actor, changed_at
    from state_history where shard = $1 and seq > $2 order by seq limit $3";

pub(super) async fn transitions(
    store: &PostgresStore,
    shard: ShardId,
    (after, limit): (i64, u32),
) -> Result<Vec<HistoryRow>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(TRANSITIONS)
        .bind(lead::id(shard))
        .bind(after)
        .bind(i64::from(limit.min(TRANSITIONS_PAGE)))
        .fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    rows.iter().map(|row| history_row(row, &entity(row)?)).collect()
}

fn entity(row: &PgRow) -> Result<Entity, StoreError> {
    let from = Columns { row, table: "state_history" };
    let id = from.text("entity_id")?;
    let bad = |e: BadId| corrupt("state_history", e);
    match from.text("entity_type")? {
        "run" => Ok(Entity::Run(id.parse().map_err(bad)?)),
        "task_run" => Ok(Entity::TaskRun(id.parse().map_err(bad)?)),
        other => Err(corrupt("state_history", format!("entity_type is `{other}`"))),
    }
}

pub(super) async fn history(
    store: &PostgresStore,
    entity: &Entity,
    limit: u32,
) -> Result<Vec<HistoryRow>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(HISTORY)
        .bind(entity.id())
        .bind(entity.kind())
        .bind(i64::from(limit))
        .bind(entity.run().as_str())
        .fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    rows.iter().map(|row| history_row(row, entity)).collect()
}

fn history_row(row: &PgRow, entity: &Entity) -> Result<HistoryRow, StoreError> {
    let from = Columns { row, table: "state_history" };
    let shard: i16 = from.get("shard")?;
    let shard = u8::try_from(shard).ok().and_then(ShardId::new);
    Ok(HistoryRow {
        shard: shard.ok_or_else(|| corrupt("state_history", "there is no such shard"))?,
        seq: from.get("seq")?,
        entity: entity.clone(),
        old_state: from.get("old_state")?,
        new_state: from.get("new_state")?,
        attempt: from.number("attempt")?,
        reason: from.reason("reason")?,
        actor: from.word("actor", Actor::parse)?,
        changed_at: from.at("changed_at")?,
    })
}

pub(super) async fn attempts(
    store: &PostgresStore,
    task: &TaskRunId,
    limit: u32,
) -> Result<Vec<AttemptRow>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(ATTEMPTS).bind(task.to_string()).bind(i64::from(limit)).fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    rows.iter().map(attempt_row).collect()
}

fn attempt_row(row: &PgRow) -> Result<AttemptRow, StoreError> {
    let from = Columns { row, table: "attempts" };
    Ok(AttemptRow {
        attempt: from.number("attempt")?,
        worker: from.get("worker")?,
        started_at: from.maybe_at("started_at")?,
        ended_at: from.maybe_at("ended_at")?,
        reason: from.reason("reason")?,
        exit_code: from.get("exit_code")?,
    })
}
