//! The keeper of pools. Who works for a pool has to be let into the database; nobody is let in or shut out here.

use async_trait::async_trait;
use sqlx::Row;

use crate::queue::{
    Member, QueueError, Roster,
    postgres::{
        PostgresQueue,
        fence::fenced,
        line::{failed, within},
    },
};

/// Who is present, and claimed for the pool, or for all of them.
const MEMBERS: &str = "
    select w.id, (select count(*) from jobs j where j.worker = w.id), w.retired
    from queue_workers w
    where w.pool in ($1, '*') and w.beat_at > clock_timestamp() - $2 * interval '1 millisecond'
    order by w.id";

/// Who claims at the same time has one claim more by then, and is left alone.
const RETIRE: &str = fenced!(
    "members as materialized (
        select w.id, w.claims, w.retired from queue_workers w
        where w.pool in ($3, '*') and w.beat_at > clock_timestamp() - $4 * interval '1 millisecond'
    ), chosen as materialized (
        select m.id, m.claims from members m
        where not m.retired and not exists (select from jobs j where j.worker = m.id)
        order by m.id
        limit (select greatest($5 - count(*), 0) from members o where o.retired)
    ), told as (
        update queue_workers w set retired = true, called = true
        from fence f cross join chosen c
        where f.holds and w.id = c.id and w.claims = c.claims and not w.retired
        returning w.id
    ), rung as materialized (
        select pg_notify('relay_queue', 'w ' || t.id) from told t
    )
    select u.pools as unheard,
        (select count(*) from members m where m.retired) + (select count(*) from rung) as retired
    from unheard u"
);

const RECALL: &str = fenced!(
    "idle as materialized (
        select w.id from queue_workers w where w.pool in ($3, '*') and w.retired order by w.id
    ), told as (
        update queue_workers w set retired = false, called = true
        from fence f cross join idle i
        where f.holds and w.id = i.id and w.retired
        returning w.id
    ), rung as materialized (
        select pg_notify('relay_queue', 'w ' || t.id) from told t
    )
    select u.pools as unheard, (select count(*) from rung) from unheard u"
);

#[async_trait]
impl Roster for PostgresQueue {
    async fn admit(&self, pool: &str, _password: &str) -> Result<(), QueueError> {
        self.hear(&self.led([pool])?).await
    }

    fn user(&self, pool: &str) -> String {
        format!("relay-worker:{pool}")
    }

    async fn admitted(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }

    async fn dismiss(&self, pool: &str) -> Result<(), QueueError> {
        self.hear(&self.led([pool])?).await
    }

    async fn members(&self, pool: &str) -> Result<Vec<Member>, QueueError> {
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query_as::<_, (String, i64, bool)>(MEMBERS);
        let work = work.bind(pool).bind(self.server.presence_ms());
        let rows = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        let member = |(worker, held, retired)| Member { worker, held: count(held), retired };
        Ok(rows.into_iter().map(member).collect())
    }

    async fn retire(&self, pool: &str, most: usize) -> Result<usize, QueueError> {
        let (led, presence) = (self.led([pool])?, self.server.presence_ms());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let answer = self.speak(&led, RETIRE, |verb| verb.bind(pool).bind(presence).bind(most)).await?;
        Ok(count(answer.try_get("retired").map_err(failed)?))
    }

    async fn recall(&self, pool: &str) -> Result<(), QueueError> {
        let led = self.led([pool])?;
        self.speak(&led, RECALL, |verb| verb.bind(pool)).await.map(drop)
    }
}

fn count(rows: i64) -> usize {
    usize::try_from(rows).unwrap_or(0)
}
