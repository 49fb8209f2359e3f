//! The worker's side.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::{
    job::{Job, JobId, News, Outcome, PROTOCOL, Report},
    task::FailureKind,
};
use crate::queue::{
    Claim, Jobs, Orders, Pools, QueueError,
    postgres::{PostgresJobs, bell::Ring, conductor::job_id, line::within},
};

/// The worker's row first, then rows of jobs that nobody else has a hand on. What it holds without knowing it takes of its
/// slots. The answer is small, so that nobody waits for rows whose taker does not read; the jobs are read afterwards.
macro_rules! claim_of {
    ($of:literal) => {
        concat!(
            "with me as (
                insert into queue_workers as w (id, pool) values ($1, $2)
                on conflict (id) do update set pool = excluded.pool, claims = w.claims + 1
                returning w.retired
            ), unknown as materialized (
                select count(*) as n from jobs j where j.worker = $1 and not j.ended and j.id <> all($4::text[])
            ), free as materialized (
                select j.id from jobs j where j.worker is null",
            $of,
            " order by j.rank, j.id
                limit (
                    select case when m.retired then 0 else greatest($3 - u.n, 0) end from me m cross join unknown u
                )
                for update of j skip locked
            ), taken as (
                update jobs j set worker = $1, claimed_at = clock_timestamp() from free f where j.id = f.id
                returning j.id
            )
            select (select count(*) from me) * 0 + u.n + (select count(*) from taken) from unknown u"
        )
    };
}

const CLAIM_ONE: &str = claim_of!(" and j.pool = $2");
const CLAIM_ANY: &str = claim_of!("");

/// How a worker of every pool is written down.
const EVERY_POOL: &str = "*";

const HELD: &str = "
    select j.id, j.body from jobs j
    where j.worker = $1 and not j.ended and j.id <> all($2::text[])
    order by j.rank, j.id limit $3";

/// A position is given under a lock that ends after the commit, so that a reader never sees a position before a smaller one.
/// The lock is no row's, and leaves no trace.
const REPORT: &str = "
    with fill as materialized (
        select count(*) >= $5 as up from (select from reports r limit $5) r
    ), held as (
        update jobs j set ended = j.ended or $3 from fill f
        where j.id = $1 and j.worker = $2 and not f.up
        returning j.pool, j.shard
    ), turn as materialized (
        select h.pool, h.shard,
            pg_advisory_xact_lock('pg_class'::regclass::oid::integer, 'reports'::regclass::oid::integer)
        from held h
    ), told as (
        insert into reports (pool, shard, body) select t.pool, t.shard, $4 from turn t returning position
    ), rung as materialized (
        select pg_notify('relay_queue', 'r') from told
    )
    select f.up and exists(select from jobs j where j.id = $1 and j.worker = $2), (select count(*) from rung)
    from fill f";

/// Nothing when another worker would be one too many.
const ALIVE: &str = "
    with known as materialized (
        select exists(select from queue_workers o where o.id = $1)
            or (select count(*) from (select from queue_workers o limit $2) o) < $2 as fits
    )
    insert into queue_workers as w (id, beat_at) select $1, clock_timestamp() from known k where k.fits
    on conflict (id) do update set beat_at = excluded.beat_at, called = false
    returning w.retired";

const ORDERS: &str = "
    select h.id, j.id is null, coalesce(j.cancel and not j.ended, false), coalesce(j.go and not j.ended, false)
    from unnest($2::text[]) with ordinality as h(id, place)
    left join jobs j on j.id = h.id and j.worker = $1
    order by h.place";

const GIVE_BACK: &str = "
    with unknown as materialized (
        select j.id from jobs j where j.worker = $1 and not j.ended and j.id <> all($2::text[])
        order by j.id for no key update
    ), back as (
        update jobs j set worker = null, claimed_at = null, cancel = false, go = false from unknown u where j.id = u.id
        returning j.pool
    ), rung as materialized (
        select pg_notify('relay_queue', 'j ' || b.pool) from (select distinct pool from back) b
    )
    select count(*) from rung";

const CALLED: &str = "select w.called from queue_workers w where w.id = $1";

/// A row stays while leases name it.
const LEAVE: &str = "
    with gone as (
        delete from queue_workers w where w.id = $1 and not exists (select from jobs j where j.worker = $1)
        returning w.id
    )
    update queue_workers w set beat_at = null
    where w.id = $1 and not exists (select from gone)";

#[async_trait]
impl Jobs for PostgresJobs {
    async fn claim(&self, claim: &Claim) -> Result<Vec<Job>, QueueError> {
        let holding = names(&claim.holding);
        loop {
            // Made before the look, so that what comes in between wakes it.
            let news = self.server.bell.sleeper();
            let jobs = self.try_claim(claim, &holding).await?;
            if !jobs.is_empty() || claim.slots == 0 {
                return Ok(jobs);
            }
            let wanted = |ring: &Ring| match (ring, &claim.pools) {
                (Ring::Jobs(pool), Pools::One(own)) => **pool == **own,
                (Ring::Jobs(_), Pools::Every) => true,
                // It may have been recalled.
                (Ring::Worker(worker), _) => **worker == *claim.worker,
                _ => false,
            };
            news.news(wanted).await;
        }
    }

    async fn report(&self, report: Report) -> Result<(), QueueError> {
        let body = serde_json::to_string(&report)
            .map_err(|why| QueueError::Unavailable(format!("the report cannot be written down: {why}")))?;
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query_as::<_, (bool, i64)>(REPORT).bind(report.job.to_string()).bind(&report.worker);
        let work = work.bind(matches!(report.news, News::Ended(_))).bind(body);
        let work = work.bind(i64::from(self.server.settings.limits.reports));
        let (full, _) = within(bound, work.fetch_one(line.sql())).await?;
        line.done();
        if full { Err(QueueError::Full("reports that are not settled")) } else { Ok(()) }
    }

    async fn beat(&self, worker: &str, holding: &[JobId], _now: Timestamp) -> Result<Orders, QueueError> {
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let most = i64::from(self.server.settings.limits.workers);
        let alive = sqlx::query_scalar(ALIVE).bind(worker).bind(most);
        let retired: Option<bool> = within(bound, alive.fetch_optional(line.sql())).await?;
        let Some(retired) = retired else {
            line.done();
            return Err(QueueError::Full("workers"));
        };
        // Read after the call is taken back: orders that come in between call again.
        let work = sqlx::query_as::<_, (String, bool, bool, bool)>(ORDERS).bind(worker).bind(names(holding));
        let told = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        // What was told is lost with the database alone, so nothing has to be kept until it is settled.
        let mut orders = Orders { retired, ..Orders::default() };
        for (job, abandoned, cancel, go) in told {
            let job = job_id(&job)?;
            if abandoned {
                orders.abandoned.push(job);
                continue;
            }
            if go {
                orders.go.push(job.clone());
            }
            if cancel {
                orders.cancel.push(job);
            }
        }
        Ok(orders)
    }

    async fn called(&self, worker: &str) -> Result<(), QueueError> {
        loop {
            let news = self.server.bell.sleeper();
            let mut line = self.server.line().await?;
            let bound = line.bound();
            let asked = sqlx::query_scalar(CALLED).bind(worker).fetch_optional(line.sql());
            let called: Option<bool> = within(bound, asked).await?;
            line.done();
            if called == Some(true) {
                return Ok(());
            }
            news.news(|ring| matches!(ring, Ring::Worker(called) if **called == *worker)).await;
        }
    }

    async fn give_back(&self, worker: &str, holding: &[JobId]) -> Result<(), QueueError> {
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query(GIVE_BACK).bind(worker).bind(names(holding));
        within(bound, work.execute(line.sql())).await?;
        line.done();
        Ok(())
    }

    async fn leave(&self, worker: &str) -> Result<(), QueueError> {
        let mut line = self.server.line().await?;
        let bound = line.bound();
        within(bound, sqlx::query(LEAVE).bind(worker).execute(line.sql())).await?;
        line.done();
        Ok(())
    }
}

impl PostgresJobs {
    async fn try_claim(&self, claim: &Claim, holding: &[String]) -> Result<Vec<Job>, QueueError> {
        let slots = i64::try_from(claim.slots).unwrap_or(i64::MAX);
        let (statement, pool) = match &claim.pools {
            Pools::One(pool) => (CLAIM_ONE, pool.as_str()),
            Pools::Every => (CLAIM_ANY, EVERY_POOL),
        };
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query_scalar(statement).bind(&claim.worker).bind(pool).bind(slots).bind(holding);
        let there: i64 = within(bound, work.fetch_one(line.sql())).await?;
        if there == 0 || slots == 0 {
            line.done();
            return Ok(Vec::new());
        }
        let work = sqlx::query_as::<_, (String, String)>(HELD).bind(&claim.worker).bind(holding).bind(slots);
        let rows = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        let mut jobs = Vec::new();
        for (id, body) in rows {
            match serde_json::from_str(&body) {
                Ok(job) => jobs.push(job),
                Err(why) => self.refuse(&claim.worker, &id, &why.to_string()).await?,
            }
        }
        Ok(jobs)
    }

    /// A job that this worker cannot read fails, or it would be given to it again and again.
    async fn refuse(&self, worker: &str, job: &str, why: &str) -> Result<(), QueueError> {
        tracing::error!(job.id = job, why, "A job cannot be read, and fails");
        let message =
            format!("the worker cannot read the job ({why}); is its pool's worker of another version?");
        let outcome =
            Outcome::Failed { kind: FailureKind::Error, output_invalid: false, exit_code: None, message };
        let (job, worker) = (job_id(job)?, worker.to_owned());
        // The time of an end that never began: the epoch says so.
        let at = Timestamp::UNIX_EPOCH;
        self.report(Report { version: PROTOCOL, job, worker, news: News::Ended(outcome), at }).await
    }
}

fn names(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(JobId::to_string).collect()
}
