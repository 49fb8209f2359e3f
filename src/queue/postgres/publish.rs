//! Offering jobs, in batches.

use std::collections::BTreeSet;

use sqlx::Row;

use crate::model::{
    ids::ShardId,
    job::{Job, JobId},
};
use crate::queue::{
    QueueError, Unfit,
    postgres::{PostgresQueue, fence::fenced, line::failed},
};

/// Jobs that one statement offers, ...
const AT_ONCE: usize = 500;
/// ... and bytes of them, unless one alone is larger.
const BYTES_AT_ONCE: usize = 4 << 20;

/// All of a batch is offered, or nothing.
const PUBLISH: &str = fenced!(
    "new as materialized (
        select n.id, n.pool, n.shard, n.rank, n.body
        from unnest($3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::text[]) as n(id, pool, shard, rank, body)
        where not exists (select from jobs j where j.id = n.id)
    ), room as materialized (
        select (select count(*) from new) + (
            select count(*) from (select from jobs j where j.worker is null limit $8) p
        ) <= $8 as left
    ), added as (
        insert into jobs (id, pool, shard, rank, body)
        select n.id, n.pool, n.shard, n.rank, n.body from fence f cross join room r cross join new n
        where f.holds and r.left
        order by n.id
        on conflict do nothing
        returning pool
    ), rung as materialized (
        select pg_notify('relay_queue', 'j ' || a.pool) from (select distinct pool from added) a
    )
    select u.pools as unheard, r.left, (select count(*) from rung) from unheard u cross join room r"
);

/// Columns of a batch.
#[derive(Debug, Default)]
struct Batch {
    ids: Vec<String>,
    pools: Vec<String>,
    shards: Vec<i16>,
    ranks: Vec<i64>,
    bodies: Vec<String>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, job: &Job, body: String) {
        self.ids.push(job.id.to_string());
        self.pools.push(job.pool.clone());
        self.shards.push(i16::from(ShardId::of_pool(&job.pool).number()));
        self.ranks.push(job.rank);
        self.bytes += body.len();
        self.bodies.push(body);
    }

    fn has_room_for(&self, body: &str) -> bool {
        self.ids.is_empty() || (self.ids.len() < AT_ONCE && self.bytes + body.len() <= BYTES_AT_ONCE)
    }
}

pub(super) async fn publish(queue: &PostgresQueue, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
    queue.led(jobs.iter().map(|job| job.pool.as_str()))?;
    let (mut batch, mut unfit, mut seen) = (Batch::default(), Vec::new(), BTreeSet::<&JobId>::new());
    for job in jobs.iter().filter(|job| seen.insert(&job.id)) {
        match written(job, queue.server.settings.limits.job) {
            Err(why) => unfit.push(Unfit { job: job.id.clone(), why }),
            Ok(body) => {
                if !batch.has_room_for(&body) {
                    offer(queue, &std::mem::take(&mut batch)).await?;
                }
                batch.add(job, body);
            }
        }
    }
    if !batch.ids.is_empty() {
        offer(queue, &batch).await?;
    }
    Ok(unfit)
}

/// A job as it is stored; why not, if it can never be.
fn written(job: &Job, most: usize) -> Result<String, String> {
    let body =
        serde_json::to_string(job).map_err(|error| format!("its job cannot be written down: {error}"))?;
    if body.len() <= most {
        return Ok(body);
    }
    Err(format!(
        "its job is too large for the queue, {} bytes with what it is given of params and upstream outputs, of at most \
         {most}: hand over a reference to large data instead of the data",
        body.len()
    ))
}

async fn offer(queue: &PostgresQueue, batch: &Batch) -> Result<(), QueueError> {
    let led = queue.led(batch.pools.iter().map(String::as_str))?;
    let pending = i64::from(queue.server.settings.limits.pending);
    let answer = queue
        .speak(&led, PUBLISH, |verb| {
            let verb = verb.bind(&batch.ids).bind(&batch.pools).bind(&batch.shards);
            verb.bind(&batch.ranks).bind(&batch.bodies).bind(pending)
        })
        .await?;
    match answer.try_get("left").map_err(failed)? {
        true => Ok(()),
        false => Err(QueueError::Full("jobs that nobody has claimed")),
    }
}
