//! What happened to a run or a task run.

use sqlx::postgres::PgRow;

use crate::model::{ids::ShardId, run::Actor};
use crate::store::{
    Entity, HistoryRow, StoreError,
    postgres::{
        PostgresStore,
        errors::Failed,
        load::{Columns, corrupt},
        within,
    },
};

const HISTORY: &str = "
    select shard, seq, old_state, new_state, attempt, reason, actor, changed_at
    from state_history where entity_id = $1 and entity_type = $2 order by seq desc limit $3";

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
