//! What can never be written is refused, and named.

use std::sync::Arc;

use relay::model::change::{Batch, Changes};
use relay::model::ids::{ShardId, TaskKey};
use relay::model::json::Text;
use relay::model::run::RunRow;
use relay::model::status::TaskStatus;
use relay::model::task_run::{ApprovalRow, Decision, TaskRow};
use relay::store::{Store, StoreError};
use serde_json::{Value, json};

use super::Bench;
use super::rows::*;

async fn refusal(store: &dyn Store, batch: &Batch) -> String {
    match store.commit(batch).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?} instead of a refusal"),
    }
}

pub async fn what_can_never_be_written_is_refused(bench: Bench) {
    let store = bench.store.as_ref();
    let fence = prepare(store, "data", "a").await;
    let fence = with_runs(store, fence, &[a_run("r", "data")]).await;
    let of_run = |tasks| changes("data", None, tasks);
    let new = |row: RunRow| changes("data", Some(run_birth(row)), vec![]);
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let other =
        namespaces(2).into_iter().find(|name| ShardId::of_namespace(name) != fence.shard).expect("another");
    let mut done = task_birth(0).row;
    done.status = TaskStatus::Success;
    let mut huge = task_birth(2);
    huge.row.failures = u32::MAX;
    let mut sunk = task_birth(2);
    sunk.row.output = Some(Arc::new(deep.clone()));
    let stray = ApprovalRow {
        key: TaskKey::of_task(9),
        user: "zoe".into(),
        decision: Decision::Approved,
        note: None,
        verified: false,
        at: at(1),
    };
    let cases: Vec<(&str, Changes)> = vec![
        ("r", of_run(vec![task_move(&done, TaskStatus::Failed)])),
        ("r", of_run(vec![huge])),
        ("r", of_run(vec![sunk])),
        ("r", of_run(vec![task_birth(TASKS)])),
        ("r", Changes { approvals: vec![stray], ..of_run(vec![]) }),
        ("nobody", of_run(vec![task_birth(0)])),
        ("deep", new(RunRow { params: Text::from(&deep), ..a_run("deep", "data") })),
        ("orphan", new(RunRow { workflow: workflow("unknown"), ..a_run("orphan", "data") })),
        ("astray", new(a_run("astray", &other))),
        ("another", new(a_run("mixed-up", "data"))),
    ];
    for (id, wrong) in cases {
        let said = format!("{id}: {}", refusal(store, &batch(fence, vec![(id, wrong)])).await);
        assert!(said.len() < 300, "{said}");
        assert_eq!(store.position(fence.shard).await.expect("read"), fence);
    }
    let mut unfenced = batch(fence, vec![("r", of_run(vec![task_birth(2)]))]);
    unfenced.fences.clear();
    assert!(refusal(store, &unfenced).await.contains("fence"));
    // Nothing of it stands in the way of what is right.
    store.commit(&batch(fence, vec![("r", of_run(vec![task_birth(2)]))])).await.expect("committed");
    let rows: Vec<TaskRow> = store.run(&run_id("r")).await.expect("read").expect("there").tasks;
    assert_eq!(rows.iter().map(|row| row.key.task).collect::<Vec<_>>(), [0, 1, 2]);
}

pub async fn a_revision_that_contradicts_itself_is_refused(bench: Bench) {
    let broken = |change: fn(&mut relay::store::Revision)| {
        let mut revision = revision("data");
        change(&mut revision);
        revision
    };
    let cases = [
        broken(|r| r.tasks[1].name = "t0".into()),
        broken(|r| r.tasks[1].depends_on = vec!["nobody".into()]),
        broken(|r| r.tasks[2].depends_on = vec!["t1".into(), "t1".into()]),
        broken(|r| r.definition = (0..200).fold(Value::Null, |inner, _| json!({"in": inner}))),
    ];
    for wrong in cases {
        let outcome = bench.store.put_revision(&wrong).await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
        assert_eq!(bench.store.revision(&wrong.id).await.expect("read"), None);
    }
}
