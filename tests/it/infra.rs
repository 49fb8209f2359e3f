//! infra/: what its nine-step check prints, when it fails, and that it leaves nothing behind.

use crate::support::{Finished, Program, TestDb, free_port, postgres_url, read, redis_url, repository};
use sqlx::Connection;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// As the seed's guide prints it; the addresses and the last paragraphs are the local mode's.
const EXPECTED: &str = r#"==========================================
Relay Infrastructure Test
==========================================

Step 1: Starting Docker services...
Step 2: Waiting for PostgreSQL...
✓ PostgreSQL ready

Step 3: Waiting for Redis...
✓ Redis ready

Step 4: Verifying database schema...
✓ All 6 tables created

Step 5: Testing table structure...
  - workflows: 5 columns
  - runs: 6 columns
  - tasks: 5 columns
  - dependencies: 4 columns
  - task_runs: 13 columns
  - artifacts: 5 columns

Step 6: Testing Redis connection...
✓ Redis responding

Step 7: Testing Redis queue operations...
✓ Redis queue working

Step 8: Creating test data...
Step 9: Cleaning up test data...

==========================================
✓ All infrastructure tests passed!
==========================================

Services running:
  PostgreSQL: <postgres>
  Redis:      <redis>

Connect to PostgreSQL:
  psql "$RELAY_INFRA_POSTGRES_URL"

Connect to Redis:
  redis-cli -u "$RELAY_INFRA_REDIS_URL"

Stop services:
  nothing to stop: they ran before, and the throw-away database is dropped

"#;

fn check(postgres: &str, redis: &str) -> Command {
    let mut command = Command::new(repository("infra/test_infra.sh"));
    command.env("RELAY_INFRA", "local").env("RELAY_INFRA_WAIT", "1");
    command.env("RELAY_INFRA_POSTGRES_URL", postgres).env("RELAY_INFRA_REDIS_URL", redis);
    command
}

fn run(command: &mut Command) -> Finished {
    Program::start(command).finish(LIMIT)
}

/// Host and port of a URL.
fn address(url: &str) -> &str {
    let rest = url.rsplit_once('@').expect("user and host").1;
    rest.split_once('/').expect("a path").0
}

/// Databases that the check made and did not drop.
async fn left_databases() -> Vec<String> {
    let mut connection = sqlx::PgConnection::connect(&postgres_url()).await.expect("connects");
    sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'relay\\_infra\\_%'")
        .fetch_all(&mut connection)
        .await
        .expect("lists")
}

/// Keys that the check made and did not delete.
fn left_keys() -> String {
    let redis = redis_url();
    let mut command = Command::new("redis-cli");
    command.args(["-u", &redis, "--no-auth-warning", "--scan", "--pattern", "relay:infra_test:*"]);
    run(&mut command).output
}

/// One test, since what is left behind is seen on a server that the steps share.
#[tokio::test]
async fn the_nine_steps_pass_or_say_why_and_leave_nothing_behind() {
    let (postgres, redis) = (postgres_url(), redis_url());
    let expected = EXPECTED.replace("<postgres>", address(&postgres)).replace("<redis>", address(&redis));
    let passed = run(&mut check(&postgres, &redis));
    assert_eq!(passed.output, expected, "{}", passed.errors);
    assert!(passed.status.success());
    assert_eq!(passed.errors, "");

    // Redis is looked for after the database was made.
    let no_redis = run(&mut check(&postgres, &format!("redis://127.0.0.1:{}/0", free_port())));
    assert_eq!(no_redis.status.code(), Some(1));
    assert!(no_redis.errors.contains("Redis at 127.0.0.1:"), "{}", no_redis.errors);
    assert!(no_redis.errors.contains("did not answer within 1 s"), "{}", no_redis.errors);
    assert!(no_redis.output.ends_with("Step 3: Waiting for Redis...\n"), "{}", no_redis.output);

    assert_eq!(left_databases().await, Vec::<String>::new());
    assert_eq!(left_keys(), "");
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let url = format!("postgres://relay:geheim@127.0.0.1:{}/postgres", free_port());
    let failed = run(&mut check(&url, &redis_url()));
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.errors.contains("PostgreSQL at 127.0.0.1:"), "{}", failed.errors);
    assert!(failed.errors.contains("Connection refused"), "{}", failed.errors);
    assert!(!(failed.errors + &failed.output).contains("geheim"));
}

#[test]
fn a_missing_address_or_an_unknown_mode_is_refused_with_its_fix() {
    let missing = run(check("", "redis://127.0.0.1/0").env_remove("RELAY_INFRA_POSTGRES_URL"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        missing.errors.contains("RELAY_INFRA=local needs RELAY_INFRA_POSTGRES_URL"),
        "{}",
        missing.errors
    );
    assert_eq!(missing.output, "");

    let unknown = run(check("", "").env("RELAY_INFRA", "podman"));
    assert!(
        unknown.errors.contains("'podman'; it takes 'docker' (the default) or 'local'"),
        "{}",
        unknown.errors
    );
}

#[tokio::test]
async fn the_base_schema_goes_down_only_while_it_is_empty() {
    let database = TestDb::new();
    let pool = database.pool().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(read("migrations/0001_init.up.sql"))).execute(&pool).await.expect("up");
    sqlx::raw_sql("INSERT INTO workflows (id, name, definition) VALUES ('w', 'w', '{}'), ('v', 'v', '{}')")
        .execute(&pool)
        .await
        .expect("inserts");
    sqlx::raw_sql("INSERT INTO runs (id, workflow_id, status) VALUES ('r', 'w', 'RUNNING')")
        .execute(&pool)
        .await
        .expect("inserts");

    let down = read("migrations/0001_init.down.sql");
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(down.clone())).execute(&pool).await.expect_err("rows");
    assert!(refused.to_string().contains("rows would be lost: 2 workflows, 1 runs"), "{refused}");
    let kept: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM workflows").fetch_one(&pool).await.expect("kept");
    assert_eq!(kept, 2);

    sqlx::raw_sql("DELETE FROM workflows").execute(&pool).await.expect("deletes");
    sqlx::raw_sql(sqlx::AssertSqlSafe(down)).execute(&pool).await.expect("down");
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
         UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    .fetch_all(&pool)
    .await
    .expect("lists");
    assert_eq!(left, Vec::<String>::new());
}
