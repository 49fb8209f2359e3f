//! Retention: what ended long ago goes, a hundred rows at a time.
//!
//! A step takes no lock that a commit waits for: it reads the epochs of its shards without one, and locks rows of finished
//! runs alone, which nobody writes. So a leader that was frozen and wakes may at most end a step that it had begun, of rows
//! that are as final for the next leader.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgRow;

use crate::model::ids::{RunId, ShardId};
use crate::store::{
    StoreError,
    postgres::{
        PostgresStore, days,
        errors::Failed,
        lead,
        load::{Columns, corrupt},
        within,
    },
    upkeep::{Cursor, Expiry, Place, Removed},
};

/// Runs that one step looks at.
const SEEN: i64 = 500;
/// Runs that one step ends.
const RUNS: i64 = 50;

/// Runs by their start, for which the base schema has an index; who ended later, or lives, is passed over, and `seen` tells
/// how far that went. Children go first, by the cascades of `task_runs` and in that number; a run whose last ones are among
/// them goes with them, another is hidden from now on. What is locked is left for the next pass.
const EXPIRE: &str = "
    with led as materialized (
        select s.id from unnest($1::smallint[], $2::bigint[]) as f(id, epoch)
        join shards s on s.id = f.id and s.epoch = f.epoch
    ), seen as materialized (
        select id, started_at, shard, status, finished_at from runs
        where started_at >= coalesce($3, '-infinity') and started_at < $5
            and (started_at, id) > (coalesce($3, '-infinity'), $4)
        order by started_at, id limit $6
    ), due as materialized (
        select id, started_at from seen
        where status in ('SUCCESS', 'FAILED', 'CANCELLED') and finished_at < $5 and shard in (select id from led)
        order by started_at, id
    ), held as materialized (
        select r.id from (select id from due limit $8) d join runs r on r.id = d.id
        where r.status in ('SUCCESS', 'FAILED', 'CANCELLED') and r.finished_at < $5
        for update of r skip locked
    ), part as materialized (
        select t.id, t.run_id
        from held h cross join lateral (select id, run_id from task_runs where run_id = h.id limit $7) t
        limit $7
    ), whole as materialized (
        select h.id from held h
        where (select count(*) from (select from task_runs t where t.run_id = h.id limit $7 + 1) of_it)
            = (select count(*) from part p where p.run_id = h.id)
    ), gone as (
        delete from task_runs t using part p where t.id = p.id returning 1
    ), ended as (
        delete from runs r using whole w where r.id = w.id returning 1
    ), hidden as (
        update runs r set expiring = true
        from (select distinct run_id from part except select id from whole) p
        where r.id = p.run_id and not r.expiring
    ), left_over as materialized (
        select started_at, id from due where id not in (select id from whole) order by started_at, id limit 1
    ), done as (
        select s.started_at, s.id from seen s
        where not exists (select from left_over l where (s.started_at, s.id) >= (l.started_at, l.id))
        order by s.started_at desc, s.id desc limit 1
    ), last as (
        select started_at, id from seen order by started_at desc, id desc limit 1
    )
    select (select count(*) from ended) as runs, (select count(*) from gone) as task_runs,
        (select count(*) from seen) = $6 as further, exists (select from left_over) as again,
        d.started_at as done_at, d.id as done_id, l.started_at as last_at, l.id as last_id
    from (select) as one left join done d on true left join last l on true";

/// The next revision that nothing refers to; `updated_at` is when it was last given to the store, or ceased to be a head.
const UNUSED: &str = "
    select w.id, w.namespace from workflows w
    where w.id > $1 and w.updated_at < least($2, now() - interval '1 day')
        and not exists (select from runs r where r.workflow_id = w.id)
        and not exists (select from workflow_heads h where h.revision = w.id)
    order by w.id limit 1";

const DROP_REVISION: &str = "select relay_drop_revision($1, least($2, now() - interval '1 day'))";

pub(super) async fn expire(
    store: &PostgresStore,
    ask: &Expiry,
    cursor: Cursor,
) -> Result<(Removed, Option<Cursor>), StoreError> {
    let (removed, next) = match cursor.0 {
        Place::Runs(after) => runs(store, ask, after).await?,
        Place::Revisions(after) => revision(store, ask, after).await?,
        // What belongs to no shard is left to whoever leads the first.
        _ if !ask.covers_the_rest() => (Removed::default(), None),
        Place::Days { after, tries } => days::next(store, ask, (after, tries)).await?,
        Place::Rows { part, of_history, after } => days::sweep(store, ask, (part, of_history), after).await?,
    };
    Ok((removed, next.map(Cursor)))
}

type Step = (Removed, Option<Place>);

async fn runs(
    store: &PostgresStore,
    ask: &Expiry,
    after: Option<(Timestamp, RunId)>,
) -> Result<Step, StoreError> {
    let ids: Vec<i16> = ask.fences.iter().map(|fence| lead::id(fence.shard)).collect();
    let epochs: Vec<i64> = ask.fences.iter().map(|fence| fence.epoch).collect();
    let (at, id) = after.clone().unzip();
    let work = sqlx::query(EXPIRE)
        .bind(ids)
        .bind(epochs)
        .bind(at.map(ToSqlx::to_sqlx))
        .bind(id.as_ref().map_or("", RunId::as_str))
        .bind(ask.before.to_sqlx())
        .bind(SEEN)
        .bind(i64::from(ask.rows))
        .bind(RUNS);
    let mut line = store.line().await?;
    let bound = line.bound;
    let row = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
    line.done();
    let from = Columns { row: &row, table: "runs" };
    let count = |column| from.get::<i64>(column).map(i64::unsigned_abs);
    let removed = Removed { runs: count("runs")?, task_runs: count("task_runs")?, ..Removed::default() };
    let moved = removed.runs + removed.task_runs > 0;
    let next = if from.get("again")? && moved {
        Some(Place::Runs(key(&row, ("done_at", "done_id"))?.or(after)))
    } else if from.get("again")? || from.get("further")? {
        // Nothing of what is due could be had: the rest first, and these in the next pass.
        key(&row, ("last_at", "last_id"))?.map(|last| Place::Runs(Some(last)))
    } else {
        None
    };
    Ok((removed, Some(next.unwrap_or(Place::Revisions(String::new())))))
}

fn key(
    row: &PgRow,
    (at, id): (&'static str, &'static str),
) -> Result<Option<(Timestamp, RunId)>, StoreError> {
    let from = Columns { row, table: "runs" };
    let (Some(at), Some(id)) = (from.maybe_at(at)?, from.get::<Option<&str>>(id)?) else { return Ok(None) };
    Ok(Some((at, id.parse().map_err(|e| corrupt("runs", e))?)))
}

async fn revision(store: &PostgresStore, ask: &Expiry, after: String) -> Result<Step, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_as::<_, (String, Option<String>)>(UNUSED).bind(after).bind(ask.before.to_sqlx());
    let found = within(bound, work.fetch_optional(line.sql())).await.map_err(Failed::before)?;
    let Some((id, namespace)) = found else {
        line.done();
        return Ok((Removed::default(), Some(Place::Days { after: String::new(), tries: 0 })));
    };
    let mut removed = Removed::default();
    if namespace.is_some_and(|namespace| ask.covers(ShardId::of_namespace(&namespace))) {
        let work = sqlx::query_scalar::<_, bool>(DROP_REVISION).bind(&id).bind(ask.before.to_sqlx());
        let gone = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
        removed.revisions = u64::from(gone);
    }
    line.done();
    Ok((removed, Some(Place::Revisions(id))))
}
