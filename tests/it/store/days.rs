//! History and logs by the day, and retention, as only a database shows them.

use relay::model::change::Fence;
use relay::model::ids::ShardId;
use relay::store::postgres::{PostgresStore, migrate};
use relay::store::{Cursor, Entity, Expiry, Store, StoreError, Upkeep};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::a_store;
use crate::conformance::store::expire::{a_line, ask, ended, lines_of, pass};
use crate::conformance::store::rows::{self, run_id};
use crate::support::TestDb;

async fn sql(db: &TestDb, text: &str) {
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut conn).await.expect(text);
}

async fn number(db: &TestDb, text: &str) -> i64 {
    let mut conn = PgConnection::connect(db.url()).await.expect("connected");
    sqlx::query_scalar(AssertSqlSafe(text.to_owned())).fetch_one(&mut conn).await.expect(text)
}

const PARTS: &str =
    "select count(*) from pg_inherits where inhparent in ('state_history'::regclass, 'task_logs'::regclass)";

/// Whoever leads this looks after what belongs to no shard.
async fn first_shard(store: &PostgresStore) -> Fence {
    rows::lead(store, ShardId::new(0).expect("the first"), "a").await
}

#[tokio::test]
async fn days_are_made_ahead_also_by_two_at_once_and_what_has_none_is_kept() {
    let (db, store) = a_store(|_| {}).await;
    assert_eq!(number(&db, PARTS).await, 10, "today, three days more and the rest, twice");
    assert_eq!(store.add_days().await.expect("made"), 0);
    sql(
        &db,
        "do $$ declare part text; begin
        for part in select inhrelid::regclass::text from pg_inherits
            where inhparent in ('state_history'::regclass, 'task_logs'::regclass) loop
            if part not like '%default' then execute 'drop table ' || part; end if;
        end loop; end $$",
    )
    .await;
    // History is of 2025 in these tests, and so without a day.
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    rows::with_runs(store.as_ref(), fence, &[rows::a_run("r", "data")]).await;
    assert_eq!(number(&db, "select count(*) from state_history_default").await, 1);
    // Whoever waits too long for the other gives up, and comes again.
    let until_made = async || while let Err(StoreError::Unavailable(_)) = store.add_days().await {};
    tokio::join!(until_made(), until_made());
    assert_eq!(number(&db, PARTS).await, 10);
    // A day of which rows were kept elsewhere meanwhile stays without a partition.
    sql(&db, "insert into state_history_default (shard, seq, entity_type, entity_id, new_state, attempt, actor, changed_at)
        values (1, 1, 'run', 'x', 'RUNNING', 0, 'engine', '2031-05-05 12:00Z')").await;
    let asked = "select relay_add_day('state_history', '2031-05-05')::integer::bigint";
    assert_eq!(number(&db, asked).await, 0);
    assert_eq!(number(&db, &asked.replace("05-05", "05-06")).await, 1);
    assert_eq!(number(&db, &asked.replace("05-05", "05-06")).await, 0, "it is there");
}

#[tokio::test]
async fn a_run_of_very_many_tasks_goes_in_steps_and_nobody_sees_half_of_it() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let fence = rows::with_runs(store.as_ref(), fence, &[ended("wide", "data", 10)]).await;
    sql(
        &db,
        "insert into task_runs (id, run_id, task_id, workflow_id, item_index, status)
        select 'wide.2.' || n || '.1', 'wide', 't2', workflow_id, n, 'SUCCESS'
        from runs, generate_series(0, 997) n where id = 'wide'",
    )
    .await;
    sql(&db, "insert into attempts (task_run_id, attempt) select id, 1 from task_runs").await;
    sql(&db, "insert into artifacts (id, task_run_id, content) select id, id, 'x' from task_runs").await;
    sql(
        &db,
        "insert into approvals (run_id, task_run_id, user_name, decision, decided_at)
        select run_id, id, 'zoe', 'approved', now() from task_runs limit 3",
    )
    .await;
    store.put_logs(&[a_line("wide")]).await.expect("kept");
    let step = ask(&[fence], 100);
    let (removed, next) = store.expire(&step, Cursor::default()).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (0, 200));
    let id = run_id("wide");
    assert!(
        store.run(&id).await.expect("read").is_none() && store.run_row(&id).await.expect("read").is_none()
    );
    assert_eq!(store.find_runs("data", "wide-name", 9).await.expect("read"), vec![]);
    assert_eq!(store.history(&Entity::Run(id), 9).await.expect("read"), vec![]);
    assert_eq!(store.logs(&lines_of("wide")).await.expect("read"), vec![]);
    // Whoever did it ends here; the next pass begins at the beginning.
    drop(next);
    let removed = pass(store.as_ref(), &step).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (1, 800));
    for table in ["runs", "task_runs", "attempts", "artifacts", "approvals"] {
        assert_eq!(number(&db, &format!("select count(*) from {table}")).await, 0, "{table}");
    }
    assert_eq!(store.put_logs(&[a_line("wide")]).await.expect("dropped"), 0);
}

/// Rows of two days of last week: of one run that is gone, and of one that may be there.
async fn two_days(db: &TestDb) {
    for day in ["2025-10-09", "2025-10-10"] {
        sql(
            db,
            &format!("select relay_add_day(t, '{day}') from unnest(array['state_history', 'task_logs']) t"),
        )
        .await;
        sql(db, &format!("insert into state_history (shard, seq, entity_type, entity_id, new_state, attempt, actor, changed_at)
            select 1, extract(epoch from '{day} 10:00Z'::timestamptz)::bigint + n, 'task_run', 'gone.0.' || n || '.1', 'READY', 0, 'engine',
                '{day} 10:00Z' from generate_series(1, 1200) n")).await;
        sql(db, &format!("insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
            select 'gone.0.-.1', 'gone', 0, 1, n, 'stdout', '{day} 10:00Z', 'x', false from generate_series(1, 1200) n")).await;
    }
}

#[tokio::test]
async fn a_day_goes_whole_once_nothing_in_it_is_wanted() {
    let (db, store) = a_store(|_| {}).await;
    two_days(&db).await;
    let fence = first_shard(&store).await;
    let whose = rows::prepare(store.as_ref(), "data", "a").await;
    // It began at 09:20 of the first of both days, and lives.
    let whose = rows::with_runs(store.as_ref(), whose, &[rows::a_run("live", "data")]).await;
    let until = |text: &str| Expiry { before: text.parse().expect("a time"), ..ask(&[fence, whose], 0) };
    let days =
        "select count(*) from pg_class where relname in ('state_history_20251009', 'state_history_20251010',
        'task_logs_20251009', 'task_logs_20251010')";
    let early = pass(store.as_ref(), &until("2025-10-10T00:00:00Z")).await.expect("done");
    assert_eq!((early.days, early.rows, number(&db, days).await), (0, 0, 4), "the live run reaches back");
    // Old for two days, they are not waited for any longer: what is nobody's goes, and the live run's stays.
    let later = pass(store.as_ref(), &until("2025-10-12T12:00:00Z")).await.expect("done");
    assert_eq!((later.days, later.rows), (0, 2_400), "{later:?}");
    assert_eq!(store.history(&Entity::Run(run_id("live")), 9).await.expect("read").len(), 1);
    sql(&db, "update runs set status = 'SUCCESS', finished_at = '2025-10-09T12:00:00Z'").await;
    let last = pass(store.as_ref(), &until("2025-10-12T12:00:00Z")).await.expect("done");
    assert_eq!((last.runs, last.days, number(&db, days).await), (1, 4, 0), "{last:?}");
    assert_eq!(number(&db, "select count(*) from state_history").await, 0);
    assert_eq!(number(&db, "select count(*) from task_logs").await, 0);
}

/// A day that somebody uses is left to the next pass at once: nobody waits for it, and it for nobody.
#[tokio::test]
async fn a_day_that_is_in_use_is_left_and_no_commit_waits_for_it() {
    let (db, store) = a_store(|_| {}).await;
    two_days(&db).await;
    let fence = first_shard(&store).await;
    let mut other = PgConnection::connect(db.url()).await.expect("connected");
    let mut tx = other.begin().await.expect("begun");
    sqlx::query("select from state_history limit 1").execute(&mut *tx).await.expect("read");
    let ask = Expiry { before: "2025-10-12T12:00:00Z".parse().expect("a time"), ..ask(&[fence], 0) };
    let removed = pass(store.as_ref(), &ask).await.expect("done");
    assert_eq!(removed.days, 2, "those of the logs");
    tx.rollback().await.expect("over");
    assert_eq!(pass(store.as_ref(), &ask).await.expect("done").days, 2);
}

#[tokio::test]
async fn a_revision_goes_once_nothing_refers_to_it() {
    let (db, store) = a_store(|_| {}).await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let fence = rows::with_runs(store.as_ref(), fence, &[ended("r", "data", 10)]).await;
    let now = Expiry { before: jiff::Timestamp::now(), ..ask(&[fence], 0) };
    let aged = "alter table workflows disable trigger all; update workflows set updated_at = now() - interval '3 days';
        alter table workflows enable trigger all";
    assert_eq!(pass(store.as_ref(), &now).await.expect("done").revisions, 0, "it was used a moment ago");
    sql(&db, aged).await;
    // Whoever submits a run says first what it is made from, and that counts as its use.
    store.put_revision(&rows::revision("data")).await.expect("kept");
    assert_eq!(pass(store.as_ref(), &now).await.expect("done").revisions, 0);
    sql(&db, aged).await;
    let fence = rows::with_runs(store.as_ref(), fence, &[rows::a_run("live", "data")]).await;
    assert_eq!(pass(store.as_ref(), &now).await.expect("done").revisions, 0, "a run has it");
    sql(&db, "update runs set status = 'FAILED', finished_at = now() - interval '1 day'").await;
    let removed = pass(store.as_ref(), &Expiry { fences: vec![fence], ..now.clone() }).await.expect("done");
    assert_eq!((removed.runs, removed.revisions), (1, 1));
    assert_eq!(number(&db, "select count(*) from tasks").await, 0);
}

#[tokio::test]
async fn rows_that_were_there_before_there_were_days_stay_and_come_back_together() {
    let db = TestDb::new();
    migrate::up(db.url(), Some(13)).await.expect("migrated");
    sql(&db, "insert into workflows (id, name, definition, namespace) values ('d/w@1', 'w', '{}', 'd');
        insert into runs (id, workflow_id, status, namespace, name, shard, input, created_at)
            values ('r', 'd/w@1', 'RUNNING', 'd', 'n', 1, '{}', now());
        insert into state_history (shard, seq, entity_type, entity_id, new_state, attempt, actor, changed_at)
            select 1, n, 'run', 'r', 'RUNNING', 0, 'engine', now() + n * interval '1 hour' from generate_series(0, 48) n;
        insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
            select 'r.0.-.1', 'r', 0, 1, n, 'stdout', now() + n * interval '1 day', 'x', false from generate_series(0, 9) n").await;
    migrate::up(db.url(), None).await.expect("forward");
    assert_eq!(number(&db, "select count(*) from state_history").await, 49);
    assert_eq!(number(&db, "select count(*) from task_logs").await, 10);
    // The next line is behind the last one, and a line that is there meets itself.
    sql(
        &db,
        "insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
        values ('r.0.-.1', 'r', 0, 1, 10, 'stdout', now(), 'x', false)",
    )
    .await;
    assert_eq!(number(&db, "select position from task_logs where number = 10").await, 11);
    sql(&db, "update runs set expiring = true").await;
    let refused = migrate::down(db.url(), Some(13)).await.expect_err("half of it is gone").to_string();
    assert!(refused.contains("1 runs are on their way out"), "{refused}");
    sql(&db, "update runs set expiring = false").await;
    migrate::down(db.url(), Some(13)).await.expect("back");
    assert_eq!(number(&db, "select count(*) from state_history").await, 49);
    assert_eq!(number(&db, "select count(*) from task_logs").await, 11);
    sql(
        &db,
        "insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
        values ('r.0.-.1', 'r', 0, 1, 11, 'stdout', now(), 'x', false)",
    )
    .await;
    assert_eq!(number(&db, "select position from task_logs where number = 11").await, 12);
    sql(&db, "delete from runs").await;
    assert_eq!(number(&db, "select count(*) from task_logs").await, 0, "lines go with their run again");
}

/// With two months of days, a read of what is young looks into few of them, and each by its index.
#[tokio::test]
async fn reads_look_into_few_days() {
    let (db, store) = a_store(|_| {}).await;
    sql(
        &db,
        "select relay_add_day(t, '2025-08-15'::date + n)
        from unnest(array['state_history', 'task_logs']) t, generate_series(0, 59) n",
    )
    .await;
    let fence = rows::prepare(store.as_ref(), "data", "a").await;
    let fence = rows::with_runs(store.as_ref(), fence, &[rows::a_run("r", "data")]).await;
    for _ in 0..100 {
        assert_eq!(store.history(&Entity::Run(run_id("r")), 9).await.expect("read").len(), 1);
        assert_eq!(store.transitions(fence.shard, 0, 9).await.expect("read").len(), 1);
    }
    // A session hands in what it counted when it ends.
    store.close().await;
    let seen = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_indexes where relname like 'state_history_%'
        and indexrelname like '%entity%'";
    while number(&db, seen).await == 0 {
        tokio::task::yield_now().await;
    }
    // Of the day before on: seven of sixty, what is ahead of today, and the rest.
    let looked = number(&db, seen).await / 100;
    assert!(looked <= 12, "{looked} days were looked into for one history");
    let scanned = number(&db, "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_user_tables where relname like 'state_history_2%'").await;
    assert_eq!(scanned, 0);
}
