//! `relay bench` on the bed's Postgres and Redis: it measures, and leaves nothing behind.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Program, TestDb, postgres_url, redis_url, relay};

const LONG: Duration = Duration::from_secs(300);

async fn databases() -> Vec<String> {
    let test = TestDb::new();
    let question = "select datname from pg_database where datname like 'relay\\_bench%'";
    sqlx::query_scalar(question).fetch_all(&test.pool().await).await.expect("Postgres answers")
}

async fn redis_words(command: &[&str]) -> Vec<String> {
    let client = redis::Client::open(redis_url()).expect("a URL");
    let mut connection = crate::support::redis::connected(&client).await.expect("Redis answers");
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query_async(&mut connection).await.expect("an answer")
}

fn bench(arguments: &[&str]) -> std::process::Command {
    let mut command = relay();
    command.arg("bench").args(arguments);
    command.env("RELAY_DATABASE_URL", postgres_url()).env("RELAY_REDIS_URL", redis_url());
    command
}

/// One test, for another one's databases would be in the way.
#[tokio::test]
async fn it_tells_figures_beside_their_yardsticks_and_leaves_nothing_behind() {
    let ran = Program::start(&mut bench(&["fan", "chain", "--times", "1", "--slots", "8", "--json", "-"]))
        .finish(LONG);
    assert!(ran.status.success(), "{}", ran.errors);
    let told: Value = serde_json::from_str(&ran.output).expect("JSON");
    let names: Vec<&str> = told["figures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|figure| figure["name"].as_str())
        .collect();
    assert_eq!(names, ["tasks", "transitions", "hop, p50", "hop, p99"]);
    for figure in told["figures"].as_array().into_iter().flatten() {
        assert!(figure["median"].as_f64().is_some_and(|median| median > 0.0), "{figure}");
        assert!(figure["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{figure}");
    }
    assert!(told["yardsticks"].as_array().is_some_and(|all| all.len() >= 7), "{told}");
    // For people the same is told as it comes.
    assert!(ran.errors.contains("hop, p50"), "{}", ran.errors);

    let stopped = Program::start(&mut bench(&["fan"]));
    stopped.line(LONG);
    stopped.signal(rustix::process::Signal::INT);
    let stopped = stopped.finish(LONG);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(stopped.errors.contains("stopped before everything was measured"), "{}", stopped.errors);

    assert_eq!(databases().await, Vec::<String>::new());
    assert_eq!(redis_words(&["KEYS", "bench-*"]).await, Vec::<String>::new());
    let users = redis_words(&["ACL", "USERS"]).await;
    assert!(users.iter().all(|user| !user.starts_with("bench-")), "{users:?}");
}

#[test]
fn an_unknown_workload_is_refused_and_named() {
    let ran = Program::start(&mut bench(&["fan", "swim"])).finish(LONG);
    assert_eq!(ran.status.code(), Some(2));
    assert!(ran.errors.contains("there is no workload `swim`; there are fan, static-fan,"), "{}", ran.errors);
}

#[test]
fn a_postgres_that_is_not_there_is_told() {
    let mut command = bench(&["chain"]);
    command.env("RELAY_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let ran = Program::start(&mut command).finish(LONG);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.errors.starts_with("error: no database can be made there (--database-url"), "{}", ran.errors);
}

#[test]
fn a_redis_that_is_not_there_is_told_once_and_before_anything_is_measured() {
    let mut command = bench(&["chain"]);
    command.env("RELAY_REDIS_URL", "redis://127.0.0.1:1");
    let ran = Program::start(&mut command).finish(LONG);
    assert_eq!((ran.status.code(), ran.output.as_str()), (Some(1), ""));
    assert!(ran.errors.starts_with("error: Redis (--redis-url): "), "{}", ran.errors);
    assert_eq!(ran.errors.matches("127.0.0.1:1").count(), 1, "{}", ran.errors);
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_measured() {
    let ran = Program::start(&mut bench(&["chain", "--json", "/dev/null/figures"])).finish(LONG);
    assert_eq!((ran.status.code(), ran.output.as_str()), (Some(1), ""));
    assert!(ran.errors.starts_with("error: --json: /dev/null/figures cannot be written"), "{}", ran.errors);
}
