//! A past that nobody lived: finished runs with all their rows, made by the database itself, for whoever measures beside them.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::model::ids::{ShardId, WorkflowId};
use crate::store::{StoreError, postgres::errors::Failed};

/// Runs that are made in one commit.
const RUNS: i64 = 10_000;
/// Nothing here takes longer.
const LONGEST: Duration = Duration::from_secs(1_800);

/// What refers to what is right by construction, and asking for each row costs more than writing it. Only who may do so does.
const TRUST: &str = "
    do $$ begin
        if (select rolsuper from pg_roles where rolname = current_user) then set session_replication_role = replica; end if;
    end $$";

/// What these changes left to be written is written before anything is measured.
const AT_REST: &str = "
    do $$ begin if (select rolsuper from pg_roles where rolname = current_user) then checkpoint; end if; end $$";

/// One statement makes runs and all that belongs to them, so that nothing has to be looked up again. A run in ten did not end
/// well, one task in twenty was tried twice, and it began a day ago, twelve runs and a half a second, in the order in which ids are.
const MADE: &str = "
    with run as (
        insert into runs (id, workflow_id, namespace, name, shard, status, input, created_at, started_at, finished_at)
        select format('0190%s-%s-7000-8000-%s', lpad(to_hex(n / 65536), 4, '0'), lpad(to_hex(n % 65536), 4, '0'), left(md5(n::text), 12)),
            w.id, w.namespace, 'past-' || n, $2,
            case when n % 50 = 7 then 'CANCELLED' when n % 10 = 3 then 'FAILED' else 'SUCCESS' end,
            '{}', born, born, born + interval '3 seconds'
        from generate_series($3::bigint, $4) n
        cross join lateral (select now() - interval '1 day' + n * interval '80 milliseconds') as b(born)
        join workflows w on w.id = $1
        returning id, workflow_id, status, created_at, finished_at
    ), task as (
        insert into task_runs (id, run_id, task_id, workflow_id, status, attempt, failures, exit_code, input, worker, ready_at,
            started_at, finished_at, created_at)
        select r.id || '.' || t.number || '.-.1', r.id, t.id, r.workflow_id, r.status, 1 + again, again,
            case r.status when 'SUCCESS' then 0 else 1 end, '{}', 'past-0', r.created_at, r.created_at + interval '1 second',
            r.finished_at, r.created_at
        from run r join tasks t on t.workflow_id = r.workflow_id
        cross join lateral (select case when hashtext(r.id || t.number) % 20 = 0 then 1 else 0 end) as a(again)
        returning id, run_id, status, attempt, exit_code, worker, started_at, finished_at, created_at
    ), tried as (
        insert into attempts (task_run_id, attempt, worker, started_at, ended_at, reason, exit_code)
        select id, a, worker, started_at, finished_at, case when a < attempt then 'ExitCode' end,
            case when a < attempt then 1 else exit_code end
        from task cross join generate_series(1, attempt) a
    ), edge as (
        select 'task_run' as kind, t.id, t.run_id, e.place, e.was, coalesce(e.became, t.status) as became, e.attempt, e.actor,
            t.created_at
        from task t
        join (values (1, 1, null, 'PENDING', 0, 'engine'), (2, 1, 'PENDING', 'READY', 0, 'engine'),
            (3, 1, 'READY', 'QUEUED', 1, 'engine'), (4, 1, 'QUEUED', 'RUNNING', 1, 'worker'),
            (5, 2, 'RUNNING', 'RETRYING', 1, 'worker'), (6, 2, 'RETRYING', 'READY', 1, 'timer'),
            (7, 2, 'READY', 'QUEUED', 2, 'engine'), (8, 2, 'QUEUED', 'RUNNING', 2, 'worker'),
            (9, 1, 'RUNNING', null, 1, 'worker')) as e(place, tries, was, became, attempt, actor) on t.attempt >= e.tries
        union all
        select 'run', r.id, r.id, e.place, e.was, coalesce(e.became, r.status), 0, 'engine', r.created_at
        from run r cross join (values (0, null, 'RUNNING'), (10, 'RUNNING', null)) as e(place, was, became)
    ), written as (
        insert into state_history (shard, seq, entity_type, entity_id, old_state, new_state, attempt, actor, changed_at)
        select s.id, s.seq + row_number() over (order by run_id, place, e.id), kind, e.id, was, became, attempt, actor, created_at
        from edge e cross join shards s where s.id = $2
        returning seq
    )
    update shards set seq = (select max(seq) from written) where id = $2";

fn failed(error: sqlx::Error) -> StoreError {
    Failed::Sql(error).before()
}

/// Makes so many runs of this revision, which must be there and whose shard nobody may lead meanwhile; tells how many there
/// are after each commit. Then the database is vacuumed and analysed, as it would be the next day.
pub async fn make(
    url: &str,
    revision: &WorkflowId,
    shard: ShardId,
    runs: u64,
    mut tell: impl FnMut(u64),
) -> Result<(), StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
    let late = format!("set statement_timeout = {}", LONGEST.as_millis());
    for text in [late.as_str(), TRUST] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.map_err(failed)?;
    }
    let (id, shard, runs) =
        (revision.as_str(), i16::from(shard.number()), i64::try_from(runs).unwrap_or(i64::MAX));
    let mut next = 1;
    while next <= runs {
        let last = runs.min(next + RUNS - 1);
        let made = sqlx::query(MADE).bind(id).bind(shard).bind(next).bind(last);
        made.execute(&mut connection).await.map_err(failed)?;
        tell(last.unsigned_abs());
        next = last + 1;
    }
    for text in ["vacuum (analyze)", AT_REST] {
        sqlx::raw_sql(text).execute(&mut connection).await.map_err(failed)?;
    }
    connection.close().await.map_err(failed)
}

/// So many runs of a past are still there.
pub async fn left(url: &str) -> Result<u64, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
    let count: i64 = sqlx::query_scalar("select count(*) from runs where name like 'past-%'")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(count.unsigned_abs())
}
