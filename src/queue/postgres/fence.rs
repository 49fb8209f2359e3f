//! Who leads a pool: each verb that changes something looks at the epoch that its pools have heard, under a lock.
//!
//! A verb first takes for granted that its pools have heard this leader. Where one has not, nothing is done; the pool is
//! told, in a statement of its own, and the verb is said once more: so whatever an older leader did before is seen by it.

use std::collections::BTreeMap;

use sqlx::{
    Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use crate::model::ids::ShardId;
use crate::queue::{
    QueueError,
    postgres::{
        PostgresQueue,
        line::{failed, within},
    },
};

/// How a verb begins: `$1` and `$2` are its pools and their epochs. `fence.holds` when all have heard these; `unheard` lists those
/// that have not.
macro_rules! fenced {
    ($($rest:expr),+) => {
        concat!(
            "with asked as materialized (
                select a.pool, a.epoch from unnest($1::text[], $2::bigint[]) as a(pool, epoch)
            ), heard as materialized (
                select p.pool from asked a join queue_pools p on p.pool = a.pool
                where p.epoch = a.epoch
                for share of p
            ), unheard as materialized (
                select array(select a.pool from asked a where a.pool not in (select h.pool from heard h)) as pools
            ), fence as materialized (
                select cardinality(u.pools) = 0 as holds from unheard u
            ), ",
            $($rest),+
        )
    };
}
pub(super) use fenced;

/// Pools hear an epoch that is newer than what they heard.
const HEAR: &str = "
    insert into queue_pools as p (pool, shard, epoch)
    select a.pool, a.shard, a.epoch
    from unnest($1::text[], $2::smallint[], $3::bigint[]) as a(pool, shard, epoch) order by a.pool
    on conflict (pool) do update set epoch = excluded.epoch where p.epoch < excluded.epoch";

const HEARD: &str =
    "select p.pool, p.epoch from queue_pools p where p.pool = any($1::text[]) order by p.pool";

const OVERRULE: &str = "update queue_pools set epoch = $3 where pool = $1 and epoch = $2";

/// Said so often before somebody else is believed to speak at the same time.
const TRIES: usize = 3;

/// Pools with the epochs in which this process leads them, by name: the order of all locks.
#[derive(Debug)]
pub(super) struct Led {
    pub(super) pools: Vec<String>,
    pub(super) shards: Vec<i16>,
    pub(super) epochs: Vec<i64>,
}

/// A verb that is being bound.
pub(super) type Verb<'q> = Query<'q, Postgres, PgArguments>;

impl PostgresQueue {
    /// These pools, if all of them are led from here.
    pub(super) fn led<'a>(&self, pools: impl IntoIterator<Item = &'a str>) -> Result<Led, QueueError> {
        let mut by_name = BTreeMap::new();
        for pool in pools {
            by_name.insert(pool, (i16::from(ShardId::of_pool(pool).number()), self.reign.of(pool)?));
        }
        let mut led = Led { pools: Vec::new(), shards: Vec::new(), epochs: Vec::new() };
        for (pool, (shard, epoch)) in by_name {
            led.pools.push(pool.to_owned());
            led.shards.push(shard);
            led.epochs.push(epoch);
        }
        Ok(led)
    }

    /// Says a verb, a statement by `fenced!`, to its pools: `with` binds what it takes besides. Gives the row that it answers.
    pub(super) async fn speak<'q>(
        &self,
        led: &'q Led,
        statement: &'static str,
        with: impl Fn(Verb<'q>) -> Verb<'q> + Send,
    ) -> Result<PgRow, QueueError> {
        for _ in 0..TRIES {
            let mut line = self.server.line().await?;
            let bound = line.bound();
            let verb = with(sqlx::query(statement).bind(&led.pools).bind(&led.epochs));
            let answer = within(bound, verb.fetch_one(line.sql())).await?;
            line.done();
            let unheard: Vec<String> = answer.try_get("unheard").map_err(failed)?;
            if unheard.is_empty() {
                return Ok(answer);
            }
            self.hear(&self.led(unheard.iter().map(String::as_str))?).await?;
        }
        Err(QueueError::Unavailable("another leader speaks to the same pools".to_owned()))
    }

    /// Makes pools hear this leader; an error when one has heard a newer one.
    pub(super) async fn hear(&self, led: &Led) -> Result<(), QueueError> {
        if led.pools.is_empty() {
            return Ok(());
        }
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query(HEAR).bind(&led.pools).bind(&led.shards).bind(&led.epochs);
        within(bound, work.execute(line.sql())).await?;
        let work = sqlx::query_as::<_, (String, i64)>(HEARD).bind(&led.pools);
        let heard = within(bound, work.fetch_all(line.sql())).await?;
        line.done();
        for (pool, epoch) in heard {
            if led.pools.iter().zip(&led.epochs).any(|(own, ours)| *own == pool && *ours < epoch) {
                return Err(QueueError::Deposed { pool, epoch });
            }
        }
        Ok(())
    }

    /// Forgets an epoch that the store never gave.
    pub(super) async fn forget_epoch(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        let epoch = self.reign.of(pool)?;
        let mut line = self.server.line().await?;
        let bound = line.bound();
        let work = sqlx::query(OVERRULE).bind(pool).bind(heard).bind(epoch);
        within(bound, work.execute(line.sql())).await?;
        line.done();
        Ok(())
    }
}
