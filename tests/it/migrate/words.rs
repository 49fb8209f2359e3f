//! The lists of words in the schema are those in the code.

use relay::model::log::Stream;
use relay::model::run::Actor;
use relay::model::status::{RunStatus, TaskStatus};
use relay::model::task_run::Decision;
use relay::store::postgres::migrate::up;

use crate::support::TestDb;

/// The quoted words of a CHECK, in order.
async fn words(db: &TestDb, constraint: &str) -> Vec<String> {
    let definition =
        "select pg_get_constraintdef(oid) from pg_constraint where conname = $1 order by conrelid limit 1";
    let definition: String =
        sqlx::query_scalar(definition).bind(constraint).fetch_one(&db.pool().await).await.expect("there");
    assert!(!definition.contains("NOT VALID"), "{constraint} was never validated");
    let mut found: Vec<String> = definition.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    found.sort();
    found
}

fn sorted(words: impl Iterator<Item = &'static str>) -> Vec<String> {
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.sort();
    words
}

#[tokio::test]
async fn each_check_lists_the_words_of_its_type() {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let states = sorted(TaskStatus::ALL.iter().map(|s| s.as_str()));
    assert_eq!(words(&db, "task_runs_status_check").await, states);
    assert_eq!(words(&db, "runs_status_check").await, sorted(RunStatus::ALL.iter().map(|s| s.as_str())));
    assert_eq!(words(&db, "state_history_actor_check").await, sorted(Actor::ALL.iter().map(|s| s.as_str())));
    assert_eq!(
        words(&db, "approvals_decision_check").await,
        sorted(Decision::ALL.iter().map(|s| s.as_str()))
    );
    assert_eq!(words(&db, "task_logs_stream_check").await, sorted(Stream::ALL.iter().map(|s| s.as_str())));
    assert_eq!(words(&db, "state_history_entity_type_check").await, ["run", "task_run"]);
}

/// A run is live while it is not final: the index that a new leader reads says the same as the code.
#[tokio::test]
async fn the_index_of_live_runs_lists_what_is_not_final() {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let definition: String = sqlx::query_scalar("select pg_get_indexdef('idx_runs_live'::regclass)")
        .fetch_one(&db.pool().await)
        .await
        .expect("there");
    let mut found: Vec<String> = definition.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, sorted(RunStatus::ALL.iter().filter(|s| !s.is_final()).map(|s| s.as_str())));
}
