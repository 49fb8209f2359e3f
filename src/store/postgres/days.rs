//! History and logs by the day: a partition each, made ahead, and taken away once nothing in it is wanted.

use jiff_sqlx::ToSqlx;
use sqlx::AssertSqlSafe;

use crate::store::{
    StoreError,
    postgres::{PostgresStore, errors::Failed, load::Columns, within},
    upkeep::{Expiry, Place, Removed, RowKey},
};

/// Days that are made ahead, beside today.
const AHEAD: i32 = 3;
/// How often a partition that is to go is asked for, before it is left for the next pass: it is had when nobody writes, at
/// that very moment, or reads.
const TRIES: u32 = 50;
/// Rows of a partition that stays, of which one step looks whether their run is there.
const LOOKED_AT: i64 = 500;

/// Days without a partition. `relay_add_day` says which of them can have one.
const MISSING: &str = "
    select t.name, d.day::text
    from unnest(array['state_history', 'task_logs']) as t(name)
    cross join lateral (
        select (now() at time zone 'UTC')::date + n as day from generate_series(0, $1) n
    ) d
    where to_regclass(quote_ident(t.name || to_char(d.day, '\"_\"YYYYMMDD'))) is null
    order by d.day, t.name";

const ADD: &str = "select relay_add_day($1, $2::text::date)";

pub(super) async fn add(store: &PostgresStore) -> Result<u32, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_as::<_, (String, String)>(MISSING);
    let missing = within(bound, work.bind(AHEAD).fetch_all(line.sql())).await.map_err(Failed::before)?;
    let mut made = 0;
    for (table, day) in missing {
        // A statement each: no lock of one is held while another is waited for.
        let work = sqlx::query_scalar::<_, bool>(ADD).bind(table).bind(day);
        made += u32::from(within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?);
    }
    line.done();
    Ok(made)
}

/// The next partition that holds nothing younger than the time, and whether a run that is left reaches back into it: one
/// that began before its end, and lives or ended since. A default partition has no end. Of what has been old for two days
/// and is not let go, rows without a run are worth being looked for.
const NEXT: &str = "
    select p.relname::text as of_table, c.relname::text as part, b.upper is null as spare,
        b.upper < $2 - interval '2 days' as long_old,
        exists (select from runs where started_at < b.upper)
            or exists (select from runs where status in ('QUEUED', 'RUNNING') and created_at < b.upper) as wanted
    from pg_inherits i
    join pg_class p on p.oid = i.inhparent
    join pg_class c on c.oid = i.inhrelid
    cross join lateral (
        select (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]::timestamptz as upper
    ) b
    where i.inhparent in ('state_history'::regclass, 'task_logs'::regclass)
        and c.relname::text collate \"C\" > $1 and (b.upper <= $2 or b.upper is null)
    order by c.relname::text collate \"C\" limit 1";

const DROP: &str = "select relay_drop_part($1, $2)";

pub(super) async fn next(
    store: &PostgresStore,
    ask: &Expiry,
    (after, tries): (String, u32),
) -> Result<(Removed, Option<Place>), StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(NEXT).bind(&after).bind(ask.before.to_sqlx());
    let found = within(bound, work.fetch_optional(line.sql())).await.map_err(Failed::before)?;
    let mut removed = Removed::default();
    let Some(row) = found else {
        line.done();
        return Ok((removed, None));
    };
    let from = Columns { row: &row, table: "pg_inherits" };
    let (of_table, part): (String, String) = (from.get("of_table")?, from.get("part")?);
    let (spare, wanted) = (from.get::<bool>("spare")?, from.get::<bool>("wanted")?);
    if spare || wanted {
        line.done();
        let long_old = from.get::<Option<bool>>("long_old")?.unwrap_or(true);
        let of_history = of_table == "state_history";
        let next = match long_old {
            true => Place::Rows { part, of_history, after: first(of_history) },
            false => Place::Days { after: part, tries: 0 },
        };
        return Ok((removed, Some(next)));
    }
    let work = sqlx::query_scalar::<_, bool>(DROP).bind(&of_table).bind(&part);
    let gone = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
    line.done();
    removed.days = u64::from(gone);
    let next = match gone || tries >= TRIES {
        true => Place::Days { after: part, tries: 0 },
        false => Place::Days { after, tries: tries + 1 },
    };
    Ok((removed, Some(next)))
}

/// Before every row: no position is negative, and no text before the empty one.
fn first(of_history: bool) -> RowKey {
    RowKey { text: String::new(), high: if of_history { -1 } else { i64::MIN }, low: i64::MIN }
}

/// A page of a partition by its key, and of that the rows whose run is gone.
const HISTORY: &str = "
    with page as materialized (
        select shard, seq, entity_id, changed_at from PART
        where (shard, seq) > ($2::bigint, $3::bigint) and $1::text is not null order by shard, seq limit $4
    ), gone as (
        delete from PART h using page p
        where h.shard = p.shard and h.seq = p.seq and p.changed_at < $5
            and not exists (select from runs r where r.id = split_part(p.entity_id, '.', 1))
        returning 1
    )
    select (select count(*) from gone), count(*), '', (array_agg(shard order by shard desc, seq desc))[1]::bigint,
        (array_agg(seq order by shard desc, seq desc))[1]
    from page";

const LOGS: &str = "
    with page as materialized (
        select task_run_id, attempt, number, run_id, at from PART
        where (task_run_id, attempt, number) > ($1, $2::bigint, $3::bigint)
        order by task_run_id, attempt, number limit $4
    ), gone as (
        delete from PART l using page p
        where l.task_run_id = p.task_run_id and l.attempt = p.attempt and l.number = p.number and p.at < $5
            and not exists (select from runs r where r.id = p.run_id)
        returning 1
    )
    select (select count(*) from gone), count(*), (array_agg(task_run_id order by task_run_id desc, attempt desc, number desc))[1],
        (array_agg(attempt order by task_run_id desc, attempt desc, number desc))[1]::bigint,
        (array_agg(number order by task_run_id desc, attempt desc, number desc))[1]
    from page";

type Page = (i64, i64, Option<String>, Option<i64>, Option<i64>);

pub(super) async fn sweep(
    store: &PostgresStore,
    ask: &Expiry,
    (part, of_history): (String, bool),
    after: RowKey,
) -> Result<(Removed, Option<Place>), StoreError> {
    let quoted = format!("\"{}\"", part.replace('"', "\"\""));
    let text = if of_history { HISTORY } else { LOGS };
    let work = sqlx::query_as::<_, Page>(AssertSqlSafe(text.replace("PART", &quoted)))
        // A statement a partition: none is kept for the next time.
        .persistent(false)
        .bind(&after.text)
        .bind(after.high)
        .bind(after.low)
        .bind(LOOKED_AT)
        .bind(ask.before.to_sqlx());
    let mut line = store.line().await?;
    let bound = line.bound;
    let page = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
    line.done();
    let removed = Removed { rows: page.0.unsigned_abs(), ..Removed::default() };
    let next = match page {
        (_, LOOKED_AT, Some(text), Some(high), Some(low)) => {
            Place::Rows { part, of_history, after: RowKey { text, high, low } }
        }
        _ => Place::Days { after: part, tries: 0 },
    };
    Ok((removed, Some(next)))
}
