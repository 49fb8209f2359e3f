//! What the queue holds: every pool of the led shards hears who leads first, so that nothing an older leader did comes after.

use sqlx::Row;

use crate::queue::{
    Census, Lease, Placed, Position, QueueError,
    postgres::{
        PostgresQueue,
        conductor::job_id,
        line::{failed, within},
    },
};

/// Pools that have not heard this leader.
const BEHIND: &str = "
    select p.pool from unnest($1::smallint[], $2::bigint[]) as l(shard, epoch)
    join queue_pools p on p.shard = l.shard
    where p.epoch <> l.epoch";

/// Who is silent and holds nothing is forgotten.
const FORGET: &str = "
    delete from queue_workers w where w.id in (
        select o.id from queue_workers o
        where (o.beat_at is null or o.beat_at <= clock_timestamp() - $1 * interval '1 millisecond')
            and not exists (select from jobs j where j.worker = o.id)
        order by o.id for update skip locked
    )";

/// Of one moment: a job that is claimed meanwhile is pending or leased, never neither.
const LOOK: &str = "
    with alive as materialized (
        select id from queue_workers where beat_at > clock_timestamp() - $2 * interval '1 millisecond'
    )
    select j.id, j.pool, j.worker, exists(select from alive a where a.id = j.worker) as present, null::bigint as reported
    from jobs j where j.shard = any($1::smallint[])
    union all
    select null, null, a.id, true, null from alive a
    union all
    select null, null, null, false, max(r.position) from reports r where r.shard = any($1::smallint[])
    order by id, worker";

pub(super) async fn census(queue: &PostgresQueue) -> Result<Census, QueueError> {
    let (shards, epochs): (Vec<i16>, Vec<i64>) =
        queue.reign.all().into_iter().map(|(shard, epoch)| (i16::from(shard.number()), epoch)).unzip();
    let mut line = queue.server.line().await?;
    let bound = line.bound();
    let work = sqlx::query_scalar(BEHIND).bind(&shards).bind(&epochs);
    let behind: Vec<String> = within(bound, work.fetch_all(line.sql())).await?;
    line.done();
    queue.hear(&queue.led(behind.iter().map(String::as_str))?).await?;
    let mut line = queue.server.line().await?;
    let presence = queue.server.presence_ms();
    within(bound, sqlx::query(FORGET).bind(presence).execute(line.sql())).await?;
    let work = sqlx::query(LOOK).bind(&shards).bind(presence);
    let rows = within(bound, work.fetch_all(line.sql())).await?;
    line.done();
    let mut census = Census::default();
    for row in &rows {
        let id: Option<&str> = row.try_get("id").map_err(failed)?;
        let pool: Option<&str> = row.try_get("pool").map_err(failed)?;
        let worker: Option<String> = row.try_get("worker").map_err(failed)?;
        match (id, pool, worker) {
            (Some(id), Some(pool), worker) => {
                let place = Placed { pool: pool.into(), job: job_id(id)? };
                let present = row.try_get("present").map_err(failed)?;
                match worker {
                    Some(worker) => census.leases.push(Lease { place, worker, present }),
                    None => census.pending.push(place),
                }
            }
            (_, _, Some(worker)) => census.present.push(worker),
            (_, _, None) => {
                let reported: Option<i64> = row.try_get("reported").map_err(failed)?;
                census.reported = reported.map_or(Position::START, |at| Position(at.unsigned_abs()));
            }
        }
    }
    Ok(census)
}
