//! The conductor's side.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::Row;

use crate::model::job::{Job, JobId, Report};
use crate::queue::{
    Census, Epochs, Go, Placed, Position, Queue, QueueError, Removal, Told, Unfit,
    postgres::{
        PostgresQueue,
        bell::Ring,
        census,
        fence::fenced,
        line::{failed, within},
        publish,
    },
};

/// Reports that are read at once hold so many bytes, or one more report.
const BYTES_AT_ONCE: i64 = 16 << 20;

const REMOVE: &str = fenced!(
    "gone as (
        delete from jobs j using fence f
        where f.holds and j.id = $3 and j.pool = $4 and j.worker is null
        returning j.id
    )
    select u.pools as unheard, exists(select from gone) as removed,
        exists(select from jobs j where j.id = $3 and j.pool = $4) as there
    from unheard u"
);

const CANCEL: &str = fenced!(
    "told as (
        update jobs j set cancel = true from fence f
        where f.holds and j.id = $3 and j.pool = $4 and j.worker is not null and not j.ended
        returning j.worker
    ), called as (
        update queue_workers w set called = true from told t where w.id = t.worker returning w.id
    ), rung as materialized (
        select pg_notify('relay_queue', 'w ' || c.id) from called c
    )
    select u.pools as unheard, (select count(*) from rung) from unheard u"
);

/// `$3`, `$4` and `$5`: jobs by their names, their pools, and who may begin them.
const GO: &str = fenced!(
    "told as (
        update jobs j set go = true from fence f
            cross join unnest($3::text[], $4::text[], $5::text[]) as e(id, pool, worker)
        where f.holds and j.id = e.id and j.pool = e.pool and j.worker = e.worker and not j.ended
        returning j.worker
    ), called as (
        update queue_workers w set called = true
        from (select distinct t.worker from told t order by t.worker) t
        where w.id = t.worker
        returning w.id
    ), rung as materialized (
        select pg_notify('relay_queue', 'w ' || c.id) from called c
    )
    select u.pools as unheard, (select count(*) from rung) from unheard u"
);

/// `$1`: shards. A page ends with the report that fills it.
const REPORTS: &str = "
    select r.position, r.pool, r.body from (
        select p.*, sum(octet_length(p.body)) over (order by p.position) - octet_length(p.body) as before from (
            select position, pool, body from reports
            where position > $2 and shard = any($1::smallint[]) order by position limit $3
        ) p
    ) r
    where r.before < $4 order by r.position";

/// `$1`: shards.
const TOLD_BY: &str = "
    select distinct pool from reports where position <= $2 and shard = any($1::smallint[])";

/// Jobs come in the order of their names. Only who holds a job whose end it has not told is called.
const SETTLE: &str = fenced!(
    "read as (
        delete from reports r using fence f where f.holds and r.position <= $3 and r.pool = any($1::text[])
    ), gone as (
        delete from jobs j using fence f cross join unnest($4::text[], $5::text[]) as e(id, pool)
        where f.holds and j.id = e.id and j.pool = e.pool
        returning j.worker, j.ended
    ), called as (
        update queue_workers w set called = true
        from (select distinct g.worker from gone g where not g.ended order by g.worker) g
        where w.id = g.worker
        returning w.id
    ), rung as materialized (
        select pg_notify('relay_queue', 'w ' || c.id) from called c
    )
    select u.pools as unheard, (select count(*) from rung) from unheard u"
);

#[async_trait]
impl Queue for PostgresQueue {
    fn lead(&self, epochs: &Epochs) {
        self.reign.set(epochs);
        // A reader that waits may have others to read from here on.
        self.server.bell.ring(Ring::Reports);
    }

    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        self.forget_epoch(pool, heard).await
    }

    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        publish::publish(self, jobs).await
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        let (led, id) = (self.led([&*job.pool])?, job.job.to_string());
        let answer = self.speak(&led, REMOVE, |verb| verb.bind(&id).bind(&*job.pool)).await?;
        let removed: bool = answer.try_get("removed").map_err(failed)?;
        let there: bool = answer.try_get("there").map_err(failed)?;
        Ok(match (removed, there) {
            (true, _) => Removal::Removed,
            (false, true) => Removal::Claimed,
            (false, false) => Removal::Absent,
        })
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        let (led, id) = (self.led([&*job.pool])?, job.job.to_string());
        self.speak(&led, CANCEL, |verb| verb.bind(&id).bind(&*job.pool)).await.map(drop)
    }

    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        if begun.is_empty() {
            return Ok(());
        }
        let led = self.led(begun.iter().map(|go| &*go.place.pool))?;
        let mut begun: Vec<(String, &Go)> = begun.iter().map(|go| (go.place.job.to_string(), go)).collect();
        begun.sort_by(|a, b| a.0.cmp(&b.0));
        let pools: Vec<&str> = begun.iter().map(|(_, go)| &*go.place.pool).collect();
        let workers: Vec<&str> = begun.iter().map(|(_, go)| go.worker.as_str()).collect();
        let jobs: Vec<String> = begun.iter().map(|(id, _)| id.clone()).collect();
        self.speak(&led, GO, |verb| verb.bind(&jobs).bind(&pools).bind(&workers)).await.map(drop)
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        let mut after = number(after);
        loop {
            // Made before the look, so that what comes in between wakes it.
            let news = self.server.bell.sleeper();
            let (told, last) = self.page(after, max).await?;
            if !told.is_empty() {
                return Ok(told);
            }
            match last {
                Some(last) => after = last,
                None => news.news(|ring| *ring == Ring::Reports).await,
            }
        }
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        let told = self.told_by(number(up_to)).await?;
        let led =
            self.led(ended.iter().map(|placed| &*placed.pool).chain(told.iter().map(String::as_str)))?;
        if led.pools.is_empty() {
            return Ok(());
        }
        let mut places: Vec<(String, String)> =
            ended.iter().map(|p| (p.job.to_string(), p.pool.to_string())).collect();
        places.sort_unstable();
        places.dedup();
        let (jobs, pools): (Vec<String>, Vec<String>) = places.into_iter().unzip();
        let up_to = number(up_to);
        self.speak(&led, SETTLE, |verb| verb.bind(up_to).bind(&jobs).bind(&pools)).await.map(drop)
    }

    async fn census(&self, _now: Timestamp) -> Result<Census, QueueError> {
        census::census(self).await
    }
}

impl PostgresQueue {
    /// Reports after a position, and where the last of them stands; what cannot be read is left out, and settled with those
    /// after it.
    async fn page(&self, after: i64, max: usize) -> Result<(Vec<Told>, Option<i64>), QueueError> {
        let max = i64::try_from(max.max(1)).unwrap_or(i64::MAX);
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query(REPORTS).bind(self.shards()).bind(after).bind(max).bind(BYTES_AT_ONCE);
        let rows = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        let (mut told, mut last) = (Vec::new(), None);
        for row in &rows {
            let at: i64 = row.try_get("position").map_err(failed)?;
            let pool: &str = row.try_get("pool").map_err(failed)?;
            let body: &str = row.try_get("body").map_err(failed)?;
            last = Some(at);
            match read(body) {
                Ok(report) => {
                    told.push(Told { at: Position(at.unsigned_abs()), pool: pool.into(), report });
                }
                Err(why) => {
                    tracing::warn!(pool, position = at, why, "A report cannot be read and is dropped");
                }
            }
        }
        Ok((told, last))
    }

    /// The pools that are led from here and of which reports up to a position wait.
    async fn told_by(&self, up_to: i64) -> Result<Vec<String>, QueueError> {
        if up_to <= 0 {
            return Ok(Vec::new());
        }
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query_scalar(TOLD_BY).bind(self.shards()).bind(up_to);
        let pools = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        Ok(pools)
    }

    /// The shards that are led from here.
    fn shards(&self) -> Vec<i16> {
        self.reign.all().keys().map(|shard| i16::from(shard.number())).collect()
    }
}

/// A report as a row holds it.
fn read(body: &str) -> Result<Report, String> {
    let report: Report = serde_json::from_str(body).map_err(|why| why.to_string())?;
    report.understood()
}

/// A position as the column holds it.
fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// A job's name as a row holds it.
pub(super) fn job_id(text: &str) -> Result<JobId, QueueError> {
    text.parse().map_err(|why| QueueError::Unavailable(format!("the queue holds a job of no name: {why}")))
}
