//! Leadership of a shard: one row, by the database's clock.

use sqlx::Row;

use crate::model::{change::Fence, ids::ShardId};
use crate::store::{
    Leadership, StoreError, TAKEOVER_AFTER,
    postgres::{PostgresStore, errors::Failed, within},
};

const LEAD: &str = "
    update shards set epoch = epoch + 1, holder = $2, renewed_at = clock_timestamp()
    where id = $1
        and (holder is null or holder = $2 or renewed_at is null
            or renewed_at <= clock_timestamp() - $3 * interval '1 millisecond')
    returning epoch, seq";

const HELD: &str = "
    select coalesce(holder, '') as holder,
        greatest(0, extract(epoch from clock_timestamp() - renewed_at) * 1000)::bigint as ms
    from shards where id = $1";

const RENEW: &str = "update shards set renewed_at = clock_timestamp() where id = $1 and epoch = $2";

const RELEASE: &str = "update shards set epoch = epoch + 1, holder = null where id = $1 and epoch = $2";

const POSITION: &str = "select epoch, seq from shards where id = $1";

pub(super) async fn lead(
    store: &PostgresStore,
    shard: ShardId,
    holder: &str,
) -> Result<Leadership, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let takeover = TAKEOVER_AFTER.as_millis() as f64;
    let won = sqlx::query(LEAD).bind(id(shard)).bind(holder).bind(takeover).fetch_optional(line.sql());
    if let Some(row) = within(bound, won).await.map_err(Failed::before)? {
        line.done();
        let read = || Ok(Fence { shard, epoch: row.try_get("epoch")?, seq: row.try_get("seq")? });
        return read().map(Leadership::Won).map_err(|e| Failed::Sql(e).before());
    }
    let held = sqlx::query(HELD).bind(id(shard)).fetch_optional(line.sql());
    let row = within(bound, held).await.map_err(Failed::before)?.ok_or_else(|| missing(shard))?;
    line.done();
    let read = || Ok((row.try_get("holder")?, row.try_get::<Option<i64>, _>("ms")?));
    let (holder, ms) = read().map_err(|e| Failed::Sql(e).before())?;
    Ok(Leadership::Held { holder, renewed_ms_ago: ms.unwrap_or(0).unsigned_abs() })
}

pub(super) async fn renew(store: &PostgresStore, fence: &Fence) -> Result<(), StoreError> {
    match touch(store, RENEW, fence).await? {
        0 => Err(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch }),
        _ => Ok(()),
    }
}

pub(super) async fn release(store: &PostgresStore, fence: &Fence) -> Result<(), StoreError> {
    touch(store, RELEASE, fence).await.map(drop)
}

/// How many rows the statement found.
async fn touch(store: &PostgresStore, statement: &'static str, fence: &Fence) -> Result<u64, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(statement).bind(id(fence.shard)).bind(fence.epoch).execute(line.sql());
    let done = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    Ok(done.rows_affected())
}

pub(super) async fn position(store: &PostgresStore, shard: ShardId) -> Result<Fence, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_as(POSITION).bind(id(shard)).fetch_optional(line.sql());
    let (epoch, seq) = within(bound, work).await.map_err(Failed::before)?.ok_or_else(|| missing(shard))?;
    line.done();
    Ok(Fence { shard, epoch, seq })
}

/// A shard as its columns hold it.
pub(super) fn id(shard: ShardId) -> i16 {
    i16::from(shard.number())
}

fn missing(shard: ShardId) -> StoreError {
    StoreError::Corrupt { table: "shards", why: format!("there is no row {}", shard.number()) }
}
