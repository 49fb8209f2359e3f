//! What Postgres says of a run, asked beside Relay.

use std::collections::BTreeMap;

use sqlx::{PgPool, Row as _};

/// A task run's row, with how often its history says that it became SUCCESS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub status: String,
    pub attempt: i32,
    pub successes: i64,
}

/// The rows of one run.
#[derive(Clone, Debug)]
pub struct Rows {
    pub status: String,
    /// By the task's name; items as `name/index`.
    pub tasks: BTreeMap<String, TaskRow>,
}

/// Asks for the rows of the run with this id; none when there are none.
pub fn of_run(url: &str, id: &str) -> Option<Rows> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = PgPool::connect(url).await.expect("the cluster's Postgres answers");
        let run = sqlx::query("SELECT status FROM runs WHERE id = $1").bind(id);
        let run = run.fetch_optional(&pool).await.expect("asks")?;
        let tasks = sqlx::query(
            "SELECT t.task_id, t.item_index, t.status, t.attempt, \
             (SELECT count(*) FROM state_history h WHERE h.entity_type = 'task_run' AND h.entity_id = t.id \
              AND h.new_state = 'SUCCESS') AS successes FROM task_runs t WHERE t.run_id = $1",
        );
        let tasks = tasks.bind(id).fetch_all(&pool).await.expect("asks");
        pool.close().await;
        let tasks = tasks.iter().map(|row| {
            let item: Option<i32> = row.get("item_index");
            let name: String = row.get("task_id");
            let name = item.map_or(name.clone(), |item| format!("{name}/{item}"));
            let (status, attempt) = (row.get("status"), row.get("attempt"));
            (name, TaskRow { status, attempt, successes: row.get("successes") })
        });
        Some(Rows { status: run.get("status"), tasks: tasks.collect() })
    })
}

/// How many shards each operator leads that was heard in the last seconds, by its holder.
pub fn leaders(url: &str) -> BTreeMap<String, i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = PgPool::connect(url).await.expect("the cluster's Postgres answers");
        let led = sqlx::query_as(
            "SELECT holder, count(*) FROM shards WHERE holder IS NOT NULL \
             AND renewed_at > clock_timestamp() - interval '4 seconds' GROUP BY holder",
        );
        let led: Vec<(String, i64)> = led.fetch_all(&pool).await.expect("asks");
        pool.close().await;
        led.into_iter().collect()
    })
}
