//! Who may lead a part of the shards, by the database's clock. It divides, and decides nothing: the fence of a shard does.

use sqlx::{Row, postgres::PgRow};

use crate::store::{
    ATTEND_EVERY, FORGET_AFTER, Member, Roll, StoreError, TAKEOVER_AFTER,
    postgres::{PostgresStore, errors::Failed, lead, load::corrupt, within},
};

/// A row that was written a moment ago is not even locked. Whoever is forgotten goes with a renewal of another one, and no row is
/// waited for. What is written here is not seen by the same statement, so one's own row stands as it was made.
const ATTEND: &str = "
    with mine as materialized (
        select joined_at, seen_at, leaders from operators where holder = $1
    ), due as materialized (
        select not exists (select from mine where leaders = $2
            and seen_at between clock_timestamp() - $3 * interval '1 millisecond' and clock_timestamp()) as due
    ), written as (
        insert into operators as o (holder, leaders, joined_at, seen_at)
        select $1, $2, clock_timestamp(), clock_timestamp() from due where due
        on conflict (holder) do update set leaders = excluded.leaders, seen_at = excluded.seen_at,
            joined_at = case when o.seen_at > excluded.seen_at - $4 * interval '1 millisecond'
                then o.joined_at else excluded.joined_at end
        returning holder, leaders, joined_at
    ), old as materialized (
        select holder from operators, due
        where due and holder <> $1 and seen_at < clock_timestamp() - $5 * interval '1 millisecond'
        for update of operators skip locked
    ), forgotten as (
        delete from operators where holder in (select holder from old)
    ), members as (
        select holder, leaders, joined_at from written
        union all
        select holder, leaders, joined_at from operators
        where seen_at > clock_timestamp() - $4 * interval '1 millisecond'
            and holder not in (select holder from written)
    )
    select holder collate \"C\" as holder, leaders, null::smallint as id, joined_at from members
    union all
    select holder collate \"C\", null, id, null from shards
    where holder is not null and renewed_at > clock_timestamp() - $4 * interval '1 millisecond'
    order by joined_at, holder";

const DEPART: &str = "
    with gone as (
        delete from operators where holder = $1
    ), locked as materialized (
        select id from shards where holder = $1 order by id for no key update
    )
    update shards s set epoch = s.epoch + 1, holder = null
    from locked l where s.id = l.id and s.holder = $1";

pub(super) async fn attend(store: &PostgresStore, holder: &str, leaders: u32) -> Result<Roll, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(ATTEND)
        .bind(holder)
        .bind(i32::try_from(leaders).unwrap_or(i32::MAX))
        .bind(ATTEND_EVERY.as_millis() as f64)
        .bind(TAKEOVER_AFTER.as_millis() as f64)
        .bind(FORGET_AFTER.as_millis() as f64)
        .fetch_all(line.sql());
    let rows = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    let mut roll = Roll::default();
    for row in &rows {
        let (holder, leaders) = read(row).map_err(|e| corrupt("operators", e))?;
        match leaders {
            Some(leaders) => roll.members.push(Member { holder, leaders: leaders.unsigned_abs() }),
            None => drop(roll.led.insert(lead::shard(row)?, holder)),
        }
    }
    Ok(roll)
}

fn read(row: &PgRow) -> Result<(String, Option<i32>), sqlx::Error> {
    Ok((row.try_get("holder")?, row.try_get("leaders")?))
}

pub(super) async fn depart(store: &PostgresStore, holder: &str) -> Result<(), StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(DEPART).bind(holder).execute(line.sql());
    within(bound, work).await.map_err(Failed::before)?;
    line.done();
    Ok(())
}
