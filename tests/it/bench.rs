//! `relay bench` on the bed's Postgres and Redis: it measures, and leaves nothing behind.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

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

/// Whoever measures is alone: another one's databases would be in the way of seeing that nothing is left.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn nothing_is_left() {
    assert_eq!(databases().await, Vec::<String>::new());
    assert_eq!(redis_words(&["KEYS", "bench-*"]).await, Vec::<String>::new());
    let users = redis_words(&["ACL", "USERS"]).await;
    assert!(users.iter().all(|user| !user.starts_with("bench-")), "{users:?}");
}

/// What was measured, as (workload, name, median, ratio).
fn figures(json: &str) -> Vec<(String, String, f64, f64)> {
    let told: Value = serde_json::from_str(json).expect("JSON");
    let word = |figure: &Value, key: &str| figure[key].as_str().unwrap_or_default().to_owned();
    let number = |figure: &Value, key: &str| figure[key].as_f64().unwrap_or(f64::NAN);
    let all = told["figures"].as_array().cloned().unwrap_or_default();
    let told = |figure: &Value| {
        assert!(!word(figure, "unit").is_empty() && !word(figure, "yardstick").is_empty(), "{figure}");
        (word(figure, "workload"), word(figure, "name"), number(figure, "median"), number(figure, "ratio"))
    };
    all.iter().map(told).collect()
}

#[tokio::test]
async fn the_large_workloads_measure_as_much_as_they_are_told() {
    let _alone = ALONE.lock().await;
    let small = ["--tenfold", "1", "--minutes", "0.1", "--runs", "120", "--idle", "1", "--width", "1500"];
    let ran = Program::start(
        bench(&["linear", "queued", "transitions", "blocked", "huge", "history", "conductors"])
            .args(small)
            .args(["--rows", "1000", "--conductors", "3", "--times", "1", "--json", "-"]),
    )
    .finish(LONG);
    assert!(ran.status.success(), "{}", ran.errors);
    let figures = figures(&ran.output);
    let of = |workload: &str, name: &str| {
        let found = figures.iter().find(|figure| figure.0 == workload && figure.1 == name);
        found.unwrap_or_else(|| panic!("no {name} of {workload} in {figures:?}"))
    };
    for (workload, names) in [
        ("linear", ["a fan of 1,000", "a chain of 100", "200 diamonds"].as_slice()),
        ("queued", &["a no-op", "a script"]),
        ("transitions", &["held", "parts 8 to 10 of 10"]),
        ("blocked", &["resident", "live after a restart", "a run, Redis emptied"]),
        ("huge", &["tasks"]),
        (
            "history",
            &[
                "fan, tasks",
                "chain, a hop, p50",
                "chain, a hop, p99",
                "diamonds, tasks",
                "diamonds, tasks, old runs going",
            ],
        ),
        ("conductors", &["tasks, of one process", "tasks, of all processes"]),
    ] {
        for name in names {
            let (.., median, ratio) = of(workload, name);
            assert!(*median > 0.0 && *ratio > 0.0, "{workload}, {name}: {median}, {ratio}");
        }
    }
    // What jobs of a task share is stored once, a script among it; and what waits for approvals writes nothing.
    assert!((of("queued", "a script").2 - of("queued", "a no-op").2).abs() < 20.0, "{figures:?}");
    assert!(of("blocked", "rows written, idle").2 < 60.0, "{figures:?}");
    // The rows of the past are counted by the database, and all of them are there.
    let told: Value = serde_json::from_str(&ran.output).expect("JSON");
    let remarks = told["remarks"].as_array().cloned().unwrap_or_default();
    let history = |remark: &&Value| remark["workload"] == "history" && remark["name"] == "task_runs, rows";
    let rows = remarks.iter().find(history).and_then(|remark| remark["value"].as_f64());
    assert!(rows.is_some_and(|rows| rows >= 1_000.0), "{remarks:?}");
    let again = |remark: &&Value| remark["name"] == "of them were run again";
    let again = remarks.iter().find(again).and_then(|remark| remark["value"].as_f64());
    assert_eq!(again, Some(0.0), "{remarks:?}");
    nothing_is_left().await;
}

#[tokio::test]
async fn it_tells_figures_beside_their_yardsticks_and_leaves_nothing_behind() {
    let _alone = ALONE.lock().await;
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
    nothing_is_left().await;
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    for (name, value) in [
        ("--minutes", "0"),
        ("--minutes", "nan"),
        ("--runs", "0"),
        ("--width", "100001"),
        ("--conductors", "17"),
    ] {
        let ran = Program::start(&mut bench(&["fan", name, value])).finish(LONG);
        assert_eq!(ran.status.code(), Some(2), "{name} {value}");
        assert!(ran.errors.contains(name), "{}", ran.errors);
    }
}

#[test]
fn a_conductor_of_a_bench_tells_whoever_asks_why_it_cannot_work() {
    let mut command = relay();
    command.args(["bench-conductor", "--redis-prefix", "bench-none", "--holder", "nobody"]);
    command.args(["--first", "0", "--shards", "64"]);
    command
        .env("RELAY_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .env("RELAY_REDIS_URL", redis_url());
    let ran = Program::start(&mut command).finish(LONG);
    let told: Value = serde_json::from_str(&ran.output).expect("JSON");
    assert!(told["failed"].as_str().is_some_and(|why| why.starts_with("Postgres: ")), "{told}");
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
