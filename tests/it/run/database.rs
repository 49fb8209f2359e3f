//! Runs that Postgres keeps.

use rustix::process::Signal;
use sqlx::Row;

use super::Desk;
use crate::support::{Program, TestDb, Told, told};

const ONE: &str = "  outputs: [{name: rows, value: tasks.go.outputs.rows}]
  tasks:
    - name: go
      script: echo ran >> $MARKS; echo rows:=3 >> $RELAY_OUTPUT";

fn on(desk: &Desk, database: &TestDb, arguments: &[&str]) -> Told {
    Told::of(desk.relay().args(["--database-url", database.url()]).args(arguments))
}

#[test]
fn a_fresh_database_is_refused_and_with_migrate_made() {
    let (desk, database) = (Desk::flow(ONE), TestDb::new());
    let told = on(&desk, &database, &[]);
    assert_eq!((told.code, told.lines.len(), desk.marks().len()), (Some(2), 0, 0));
    assert!(told.errors.contains("relay migrate up"), "the command that helps: {}", told.errors);

    let told = on(&desk, &database, &["--migrate"]);
    assert_eq!((told.code, desk.marks().len()), (Some(0), 1), "{}", told.errors);
    let told = on(&desk, &database, &[]);
    assert_eq!((told.code, desk.marks().len()), (Some(0), 2), "{}", told.errors);
}

#[tokio::test]
async fn a_bad_file_touches_no_database() {
    let (desk, database) = (Desk::flow("  tasks: [{nam: go}]"), TestDb::new());
    let told = on(&desk, &database, &["--migrate"]);
    assert_eq!(told.code, Some(2));
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&database.pool().await)
        .await
        .expect("counts");
    assert_eq!(tables, 0);
}

#[test]
fn a_database_that_is_not_there_is_told_without_its_password() {
    let desk = Desk::flow(ONE);
    for url in ["postgres://ada:tell-nobody@127.0.0.1:1/x", "mysql://ada:tell-nobody@127.0.0.1/x"] {
        let told = desk.run(&["--database-url", url]);
        assert_eq!((told.code, desk.marks().len()), (Some(2), 0));
        assert!(
            told.errors.starts_with("error: ") && !told.errors.contains("tell-nobody"),
            "{}",
            told.errors
        );
    }
}

#[tokio::test]
async fn a_run_is_recorded() {
    let (desk, database) = (Desk::flow(ONE), TestDb::new());
    let told = on(&desk, &database, &["--migrate"]);
    assert_eq!(told.code, Some(0), "{}", told.errors);
    let pool = database.pool().await;
    let run = sqlx::query("SELECT id, status, outputs::text AS outputs FROM runs")
        .fetch_one(&pool)
        .await
        .expect("one");
    assert_eq!(
        (run.get::<String, _>("status").as_str(), run.get::<String, _>("outputs").as_str()),
        ("SUCCESS", "{\"rows\": 3}")
    );
    // The id on the screen is the one to look for.
    let id = run.get::<String, _>("id");
    assert!(told.lines[0].ends_with(&format!("of flow (id {id})")), "{} {id}", told.lines[0]);
    let edges: Vec<String> = sqlx::query_scalar(
        "SELECT new_state FROM state_history WHERE entity_type = 'task_run' ORDER BY shard, seq",
    )
    .fetch_all(&pool)
    .await
    .expect("history");
    assert_eq!(edges, ["READY", "QUEUED", "RUNNING", "SUCCESS"]);
}

#[tokio::test]
async fn who_approved_is_recorded() {
    let spec = "  tasks: [{name: go, approval: {required: 2}, command: ['true']}]";
    let (desk, database) = (Desk::flow(spec), TestDb::new());
    let mut command = desk.relay();
    let told = Told::of(command.env("USER", "ada").args([
        "--approve",
        "--migrate",
        "--database-url",
        database.url(),
    ]));
    assert_eq!(told.code, Some(0), "{}", told.errors);
    let users: Vec<String> =
        sqlx::query_scalar("SELECT user_name || ' ' || decision FROM approvals ORDER BY id")
            .fetch_all(&database.pool().await)
            .await
            .expect("approvals");
    assert_eq!(users, ["ada approved", "ada (2) approved"]);
}

#[test]
fn a_namespace_that_another_process_runs_is_refused_and_names_it() {
    let (desk, database) =
        (Desk::flow("  tasks: [{name: go, script: 'echo ready; sleep 60'}]"), TestDb::new());
    let program = Program::start(desk.relay().args(["--migrate", "--database-url", database.url()]));
    told::until(&program, "go | ready");
    let other = Desk::flow(ONE);
    let told = on(&other, &database, &[]);
    assert_eq!((told.code, other.marks().len()), (Some(2), 0));
    assert!(told.errors.starts_with("error: relay-run-"), "it names the holder: {}", told.errors);
    assert!(told.errors.contains("runs this namespace in this database, and was alive"), "{}", told.errors);
    // Another namespace is nobody's business but its own.
    let text = std::fs::read_to_string(other.path("flow.yaml"))
        .expect("there")
        .replace("{name: flow}", "{name: flow, namespace: elsewhere}");
    other.write("flow.yaml", &text);
    assert_eq!(on(&other, &database, &[]).code, Some(0));
}

#[tokio::test]
async fn signals_are_heard_while_the_database_does_not_answer() {
    let (desk, database) = (Desk::flow(ONE), TestDb::new());
    assert_eq!(on(&desk, &database, &["--migrate"]).code, Some(0));
    let pool = database.pool().await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.expect("locked");
    let program = Program::start(desk.relay().args(["--database-url", database.url()]));
    // It is about to write its run.
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *lock).await.expect("counts") == 0 {}
    program.signal(Signal::INT);
    told::until(&program, "cancelling");
    program.signal(Signal::INT);
    let told = told::end(program);
    assert_eq!((told.code, desk.marks().len()), (Some(130), 1), "{:?}", told.lines);
    assert!(told.lines[1].starts_with("run flow-* may have been accepted; then it goes on with: relay run "));
    lock.rollback().await.expect("unlocked");
}
