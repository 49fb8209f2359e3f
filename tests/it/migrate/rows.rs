//! What the schema itself keeps, and that no step back loses a row.

use relay::store::postgres::migrate::{down, up};

use super::sql;
use crate::support::TestDb;

const ROWS: &str = "
    insert into workflows (id, name, definition, namespace) values ('d/w@1', 'w', '{}', 'd');
    insert into tasks (id, workflow_id, name, config, number) values ('t', 'd/w@1', 't', '{}', 0);
    insert into runs (id, workflow_id, status, namespace, name, shard) values ('r', 'd/w@1', 'RUNNING', 'd', 'n', 1);
    insert into task_runs (id, run_id, task_id, workflow_id, status) values ('r.0.-.1', 'r', 't', 'd/w@1', 'PENDING');
    insert into approvals (run_id, task_run_id, user_name, decision, decided_at)
        values ('r', 'r.0.-.1', 'zoe', 'approved', now()), ('r', 'r.0.-.1', 'adam', 'rejected', now())";

/// What only a cluster has.
const OF_A_CLUSTER: &str = "
    insert into cluster (id) values ('one');
    insert into approvals (run_id, task_run_id, user_name, decision, decided_at, verified)
        values ('r', 'r.0.-.1', 'eve', 'approved', now(), true);
    insert into task_logs (task_run_id, run_id, task, attempt, number, stream, at, text, partial)
        select 'r.0.-.1', 'r', 0, 1, n, 'stdout', now(), 'x', false from generate_series(1, 3) n;
    insert into workflow_heads (namespace, name, revision) values ('d', 'w', 'd/w@1')";

/// Two attempts: one that ended, one that runs.
const ATTEMPTS: &str = "
    insert into attempts (task_run_id, attempt, worker, started_at, ended_at, reason, exit_code)
        values ('r.0.-.1', 1, 'w', now(), now(), 'ExitCode', 7), ('r.0.-.1', 2, 'w', now(), null, null, null)";

async fn with_rows() -> TestDb {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    sql(&db, ROWS).await.expect("rows");
    db
}

async fn count(db: &TestDb, table: &'static str) -> i64 {
    let text = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(text).fetch_one(&db.pool().await).await.expect("counted")
}

#[tokio::test]
async fn approvals_are_only_ever_added_to() {
    let db = with_rows().await;
    for attempt in [
        "update approvals set decision = 'approved' where user_name = 'adam'",
        "delete from approvals where user_name = 'adam'",
        "truncate approvals",
        "truncate runs cascade",
    ] {
        let said = sql(&db, attempt).await.expect_err(attempt);
        assert!(said.contains("approvals are append-only"), "{attempt}: {said}");
    }
    assert_eq!(count(&db, "approvals").await, 2);
    // They go with what they speak of.
    sql(&db, "delete from runs where id = 'r'").await.expect("the run goes");
    assert_eq!(count(&db, "approvals").await, 0);
}

#[tokio::test]
async fn approvals_go_with_their_task_run_too() {
    let db = with_rows().await;
    sql(&db, "delete from task_runs").await.expect("the task run goes");
    assert_eq!((count(&db, "approvals").await, count(&db, "runs").await), (0, 1));
}

#[tokio::test]
async fn attempts_go_with_their_task_run_and_hold_up_a_step_back() {
    let db = with_rows().await;
    sql(&db, ATTEMPTS).await.expect("rows");
    for (wrong, names) in [
        ("insert into attempts (task_run_id, attempt) values ('r.0.-.1', 2)", "attempts_pkey"),
        ("insert into attempts (task_run_id, attempt) values ('r.0.-.1', 0)", "attempts_attempt_check"),
        ("insert into attempts (task_run_id, attempt) values ('r.9.-.1', 1)", "attempts_task_run_id_fkey"),
    ] {
        let said = sql(&db, wrong).await.expect_err(wrong);
        assert!(said.contains(names), "{said}");
    }
    let said = down(db.url(), Some(10)).await.expect_err("in use").to_string();
    assert!(said.contains("refusing to drop attempts: 2 rows would be lost"), "{said}");
    assert_eq!(count(&db, "attempts").await, 2);
    sql(&db, "delete from task_runs").await.expect("the task run goes");
    assert_eq!(count(&db, "attempts").await, 0);
    assert_eq!(down(db.url(), Some(10)).await.expect("empty").version, 10);
}

#[tokio::test]
async fn one_row_a_place_was_held_by_a_key_and_is_again_without_migration_15() {
    let db = with_rows().await;
    down(db.url(), Some(14)).await.expect("nothing is lost");
    let another = |id: &str, rest: &str| {
        format!(
            "insert into task_runs (id, run_id, task_id, workflow_id, status, item_index, round) \
             values ('{id}', 'r', 't', 'd/w@1', 'PENDING', {rest})"
        )
    };
    let said = sql(&db, &another("x", "null, 1")).await.expect_err("taken");
    assert!(said.contains("task_runs_place_key"), "{said}");
    sql(&db, &another("y", "0, 1")).await.expect("an item");
    sql(&db, &another("z", "null, 2")).await.expect("the next round");
}

#[tokio::test]
async fn what_a_cluster_keeps_is_not_lost_by_a_step_back() {
    let db = with_rows().await;
    sql(&db, OF_A_CLUSTER).await.expect("rows");
    let said = down(db.url(), Some(0)).await.expect_err("whose database it is").to_string();
    assert!(said.contains("1 rows of cluster and 1 verified approvals would be lost"), "{said}");
    sql(&db, "delete from cluster").await.expect("unwanted");
    let said = down(db.url(), Some(0)).await.expect_err("who is vouched for").to_string();
    assert!(said.contains("0 rows of cluster and 1 verified approvals would be lost"), "{said}");
    sql(&db, "alter table approvals disable trigger all; update approvals set verified = false; alter table approvals enable trigger all")
        .await
        .expect("an administrator insists");
    let said = down(db.url(), Some(0)).await.expect_err("lines").to_string();
    assert!(said.contains("refusing to drop task_logs: 3 rows would be lost"), "{said}");
    sql(&db, "delete from task_logs").await.expect("unwanted");
    let said = down(db.url(), Some(0)).await.expect_err("heads").to_string();
    assert!(said.contains("refusing to drop workflow_heads: 1 rows would be lost"), "{said}");
    sql(&db, "delete from workflow_heads").await.expect("unwanted");
    assert_eq!(down(db.url(), Some(6)).await.expect("empty").version, 6);
    assert_eq!(count(&db, "approvals").await, 3, "the words stay");
    // And forward again: nobody is vouched for.
    up(db.url(), None).await.expect("forward");
    let verified = "select count(*) from approvals where verified";
    assert_eq!(sqlx::query_scalar::<_, i64>(verified).fetch_one(&db.pool().await).await.expect("counted"), 0);
}

#[tokio::test]
async fn a_live_run_that_is_or_was_paused_holds_up_a_step_back() {
    let db = with_rows().await;
    for paused in ["paused_at = now()", "paused_at = null, paused_us = 1"] {
        sql(&db, &format!("update runs set {paused}")).await.expect("paused");
        let said = down(db.url(), Some(9)).await.expect_err("in use").to_string();
        assert!(said.contains("1 live runs are or were paused"), "{said}");
    }
    sql(&db, "update runs set status = 'SUCCESS'").await.expect("it ended");
    assert_eq!(down(db.url(), Some(9)).await.expect("its timeout counts no longer").version, 9);
}

#[tokio::test]
async fn a_queue_that_is_not_empty_holds_up_a_step_back() {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let rows = "
        insert into queue_pools (pool, shard, epoch) values ('d/p', 1, 1);
        insert into jobs (id, pool, shard, rank, body) values ('r.0.-.1#1', 'd/p', 1, 0, '{}');
        insert into reports (pool, shard, body) values ('d/p', 1, '{}');
        insert into queue_workers (id, beat_at) values ('busy', now()), ('gone', now() - interval '1 day')";
    sql(&db, rows).await.expect("rows");
    let said = down(db.url(), Some(11)).await.expect_err("in use").to_string();
    assert!(said.contains("1 jobs, 1 reports and 1 workers would be lost"), "{said}");
    for (table, left) in [("jobs", "0 jobs, 1 reports"), ("reports", "0 jobs, 0 reports and 1 workers")] {
        sql(&db, &format!("delete from {table}")).await.expect("unwanted");
        let said = down(db.url(), Some(11)).await.expect_err("in use").to_string();
        assert!(said.contains(left), "{said}");
    }
    sql(&db, "update queue_workers set beat_at = null").await.expect("it left");
    assert_eq!(down(db.url(), Some(11)).await.expect("nothing is lost").version, 11);
}

#[tokio::test]
async fn a_head_keeps_its_revision_and_says_what_it_lacks() {
    let db = with_rows().await;
    sql(&db, OF_A_CLUSTER).await.expect("rows");
    sql(&db, "delete from runs").await.expect("the runs go");
    let said = sql(&db, "delete from workflows").await.expect_err("in use");
    assert!(said.contains("workflow_heads"), "{said}");
    for wrong in ["revision = null", "why = 'x'"] {
        let said = sql(&db, &format!("update workflow_heads set {wrong}")).await.expect_err("half a head");
        assert!(said.contains("workflow_heads_why_check"), "{said}");
    }
    let said = sql(&db, "insert into cluster (id) values ('two')").await.expect_err("one at most");
    assert!(said.contains("cluster_pkey"), "{said}");
    sql(&db, "insert into cluster (one, id) values (false, 'two')").await.expect_err("one at most");
}

#[tokio::test]
async fn a_step_back_that_would_lose_something_refuses_and_counts() {
    let db = with_rows().await;
    let said = down(db.url(), Some(0)).await.expect_err("approvals").to_string();
    assert!(
        said.contains(
            "migration 5 (approvals) failed and was rolled back: refusing to drop approvals: 2 rows"
        ),
        "{said}"
    );
    sql(&db, "alter table approvals disable trigger all; delete from approvals; alter table approvals enable trigger all")
        .await
        .expect("an administrator insists");
    sql(
        &db,
        "insert into state_history (shard, seq, entity_type, entity_id, new_state, attempt, actor, changed_at)
            values (1, 1, 'run', 'r', 'RUNNING', 0, 'engine', now());
        update shards set holder = 'h', renewed_at = clock_timestamp() + interval '1 hour' where id = 1",
    )
    .await
    .expect("a leader and its history");
    let said = down(db.url(), Some(0)).await.expect_err("a leader").to_string();
    assert!(said.contains("1 of them have a leader that is alive. Stop Relay first."), "{said}");
    sql(&db, "update shards set holder = null").await.expect("it stops");
    let said = down(db.url(), Some(0)).await.expect_err("history").to_string();
    assert!(said.contains("refusing to drop state_history: 1 rows"), "{said}");
    sql(&db, "delete from state_history").await.expect("unwanted");
    let said = down(db.url(), Some(0)).await.expect_err("columns").to_string();
    assert!(said.contains("1 workflows, 1 tasks, 1 runs and 0 task_runs would lose"), "{said}");
    sql(&db, "update runs set status = 'QUEUED'; update task_runs set status = 'SKIPPED'")
        .await
        .expect("newer states");
    sql(
        &db,
        "update workflows set namespace = null; update tasks set number = null;
        update runs set namespace = null, name = null, shard = null, created_at = started_at",
    )
    .await
    .expect("emptied");
    let said = down(db.url(), Some(0)).await.expect_err("states").to_string();
    assert!(said.contains("1 runs and 1 task_runs are in states that it does not know"), "{said}");
    sql(&db, "delete from runs").await.expect("unwanted");
    let said = down(db.url(), Some(0)).await.expect_err("rows").to_string();
    assert!(said.contains("rows would be lost: 1 workflows, 1 tasks"), "{said}");
    sql(&db, "delete from workflows").await.expect("unwanted");
    assert_eq!(down(db.url(), Some(0)).await.expect("empty now").version, 0);
}
