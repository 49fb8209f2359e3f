//! Leadership of shards: one row each, by the database's clock. All shards of a leader in one statement.

use std::collections::BTreeMap;

use sqlx::{Row, postgres::PgRow};

use crate::model::{change::Fence, ids::ShardId};
use crate::store::{
    Leadership, StoreError, TAKEOVER_AFTER,
    postgres::{PostgresStore, errors::Failed, load::corrupt, within},
};

/// A renewal that lies in the future was made before the database's clock was put back: it counts as made now.
/// Whoever waits for shards that are led only looks: a lock on a row is a write, too. Locks are taken in the order in
/// which a commit takes them, and what was seen is looked at again under them.
const LEAD: &str = "
    with stepped as materialized (
        select id from shards
        where id = any($1) and holder <> $2 and renewed_at > clock_timestamp() + $3 * interval '1 millisecond'
        order by id for no key update skip locked
    ), now_then as (
        update shards s set renewed_at = clock_timestamp() from stepped where s.id = stepped.id
    ), seen as materialized (
        select id, holder, renewed_at from shards
        where id = any($1) and holder <> $2 and renewed_at > clock_timestamp() - $3 * interval '1 millisecond'
    ), locked as materialized (
        select id, holder, renewed_at from shards
        where id = any($1) and not exists (select from seen) order by id for no key update
    ), held as materialized (
        select id, holder, renewed_at from locked
        where holder <> $2 and renewed_at > clock_timestamp() - $3 * interval '1 millisecond'
        union all select id, holder, renewed_at from seen
    ), won as (
        update shards s set epoch = s.epoch + 1, holder = $2, renewed_at = clock_timestamp()
        from locked l where s.id = l.id and not exists (select from held)
        returning s.id, s.epoch, s.seq
    )
    select id, epoch, seq, null as holder, null as ms from won
    union all
    select id, null, null, holder, greatest(0, extract(epoch from clock_timestamp() - renewed_at) * 1000)::bigint
    from held
    order by id";

/// Each row is looked up by its key, in the order of the fences, which is that of the shards: no lock is waited for in a
/// circle. It is all that an idle leader writes.
const RENEW: &str = "
    update shards s set renewed_at = clock_timestamp()
    from unnest($1::smallint[], $2::bigint[]) as f(id, epoch)
    where s.id = f.id and s.epoch = f.epoch
    returning s.id";

const RELEASE: &str = "
    update shards s set epoch = s.epoch + 1, holder = null
    from unnest($1::smallint[], $2::bigint[]) as f(id, epoch)
    where s.id = f.id and s.epoch = f.epoch
    returning s.id";

const RAISE: &str = "update shards set seq = greatest(seq, $3) where id = $1 and epoch = $2 returning seq";

const POSITION: &str = "select epoch, seq from shards where id = $1";

pub(super) async fn lead(
    store: &PostgresStore,
    shards: &[ShardId],
    holder: &str,
) -> Result<Leadership, StoreError> {
    if shards.is_empty() {
        return Ok(Leadership::Won(BTreeMap::new()));
    }
    let mut line = store.line().await?;
    let bound = line.bound;
    let ids: Vec<i16> = shards.iter().copied().map(id).collect();
    let takeover = TAKEOVER_AFTER.as_millis() as f64;
    let work = sqlx::query(LEAD).bind(ids).bind(holder).bind(takeover).fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    let mut won = BTreeMap::new();
    for row in &rows {
        let shard = shard(row)?;
        match read(row).map_err(|e| corrupt("shards", e))? {
            (Some(epoch), Some(seq), _, _) => drop(won.insert(shard, Fence { shard, epoch, seq })),
            (_, _, holder, ms) => {
                let (holder, renewed_ms_ago) = (holder.unwrap_or_default(), ms.unwrap_or(0).unsigned_abs());
                return Ok(Leadership::Held { shard, holder, renewed_ms_ago });
            }
        }
    }
    match shards.iter().find(|shard| !won.contains_key(shard)) {
        Some(shard) => Err(missing(*shard)),
        None => Ok(Leadership::Won(won)),
    }
}

type Answer = (Option<i64>, Option<i64>, Option<String>, Option<i64>);

fn read(row: &PgRow) -> Result<Answer, sqlx::Error> {
    Ok((row.try_get("epoch")?, row.try_get("seq")?, row.try_get("holder")?, row.try_get("ms")?))
}

pub(super) async fn renew(store: &PostgresStore, fences: &[Fence]) -> Result<(), StoreError> {
    let held = touch(store, RENEW, fences).await?;
    match fences.iter().find(|fence| !held.contains(&fence.shard)) {
        Some(lost) => Err(StoreError::Deposed { shard: lost.shard, epoch: lost.epoch }),
        None => Ok(()),
    }
}

pub(super) async fn release(store: &PostgresStore, fences: &[Fence]) -> Result<(), StoreError> {
    touch(store, RELEASE, fences).await.map(drop)
}

/// The shards whose epochs were as said.
async fn touch(
    store: &PostgresStore,
    statement: &'static str,
    fences: &[Fence],
) -> Result<Vec<ShardId>, StoreError> {
    if fences.is_empty() {
        return Ok(Vec::new());
    }
    let mut fences = fences.to_vec();
    fences.sort_by_key(|fence| fence.shard);
    let mut line = store.line().await?;
    let bound = line.bound;
    let ids: Vec<i16> = fences.iter().map(|fence| id(fence.shard)).collect();
    let epochs: Vec<i64> = fences.iter().map(|fence| fence.epoch).collect();
    let work = sqlx::query(statement).bind(ids).bind(epochs).fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    rows.iter().map(shard).collect()
}

pub(super) async fn raise(store: &PostgresStore, fence: &Fence, to: i64) -> Result<Fence, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_scalar(RAISE).bind(id(fence.shard)).bind(fence.epoch).bind(to);
    let seq = within(bound, work.fetch_optional(line.sql())).await.map_err(Failed::before)?;
    line.done();
    seq.map(|seq| Fence { seq, ..*fence })
        .ok_or(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch })
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

pub(super) fn shard(row: &PgRow) -> Result<ShardId, StoreError> {
    let id: i16 = row.try_get("id").map_err(|e| corrupt("shards", e))?;
    let shard = u8::try_from(id).ok().and_then(ShardId::new);
    shard.ok_or_else(|| corrupt("shards", format!("there is no shard {id}")))
}

fn missing(shard: ShardId) -> StoreError {
    StoreError::Corrupt { table: "shards", why: format!("there is no row {}", shard.number()) }
}
