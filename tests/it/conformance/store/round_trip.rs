//! What is written comes back as it was.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use relay::model::change::Changes;
use relay::model::ids::{ShardId, TaskKey, TaskRunId, WorkflowId};
use relay::model::json::Text;
use relay::model::run::RunRow;
use relay::model::status::{RunStatus, TaskStatus};
use relay::model::task_run::{ApprovalRow, Decision, TaskRow};
use relay::store::{Entity, RunRecord};
use serde_json::json;

use super::Bench;
use super::rows::*;

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

/// Tasks, items of a forEach, later rounds.
fn some_keys() -> Vec<TaskKey> {
    let group = TaskKey::of_task(4);
    let items = (0..5).map(|item| group.with_item(item));
    let plain = (0..4).map(TaskKey::of_task);
    let again = TaskKey { round: 2, ..group };
    plain.chain([group, again, again.with_item(3)]).chain(items).collect()
}

pub async fn every_column_of_every_row_comes_back(bench: Bench) {
    let (store, runner) = (&bench.store, &mut TestRunner::deterministic());
    let mut fence = prepare(store.as_ref(), "data", "a").await;
    for n in 0..20 {
        let id = format!("run-{n}");
        let run = draw(runner, any_run(run_id(&id), "data".into()));
        let mut keys = some_keys();
        let mut tasks: Vec<TaskRow> = keys.iter().map(|key| draw(runner, any_task(*key))).collect();
        let said: Vec<ApprovalRow> =
            (0..3).map(|_| draw(runner, any_approval(keys[n % keys.len()]))).collect();
        let births = tasks.iter().map(|row| relay::model::change::TaskChange {
            expect: None,
            row: row.clone(),
            steps: vec![],
            attempts: Default::default(),
        });
        let mut born = changes("data", Some(run_birth(run.clone())), births.collect());
        born.approvals = said.clone();
        let first = batch(fence, vec![(&id, born)]);
        store.commit(&first).await.expect("committed");
        fence = after(fence, &first);
        let mut found = store.run(&run_id(&id)).await.expect("read").expect("there");
        keys.sort();
        tasks.sort_by_key(|row| row.key);
        assert_eq!(found.tasks.iter().map(|row| row.key).collect::<Vec<_>>(), keys);
        assert_eq!(found, RunRecord { run: run.clone(), tasks: tasks.clone(), approvals: said.clone() });

        // Every column that may change, changed.
        let later = draw(runner, any_run(run.id.clone(), "data".into()));
        let later = RunRow {
            name: run.name.clone(),
            params: run.params.clone(),
            created_at: run.created_at,
            ..later
        };
        let mut change = run_move(&run, later.status);
        change.row = later.clone();
        let open = tasks.iter_mut().filter(|row| !row.status.is_final());
        let moves = open.map(|row| {
            let next = draw(runner, any_task(row.key));
            let evaluated = row.status != TaskStatus::Pending;
            let input = if evaluated { row.input.clone() } else { next.input.clone() };
            let next = TaskRow { created_at: row.created_at, input, ..next };
            let mut change = task_move(row, next.status);
            change.row = next.clone();
            *row = next;
            change
        });
        let second = batch(fence, vec![(&id, changes("data", Some(change), moves.collect()))]);
        store.commit(&second).await.expect("committed");
        fence = after(fence, &second);
        found = store.run(&run.id).await.expect("read").expect("there");
        assert_eq!(found, RunRecord { run: later, tasks, approvals: said });
    }
}

pub async fn a_revision_comes_back_with_its_edges(bench: Bench) {
    let mut wanted = revision("data");
    wanted.tasks[5].depends_on = vec!["t4".into(), "t0".into(), "t11".into()];
    bench.store.put_revision(&wanted).await.expect("kept");
    assert_eq!(bench.store.revision(&wanted.id).await.expect("read"), Some(wanted));
}

pub async fn a_revision_that_is_there_stays_as_it_is(bench: Bench) {
    let wanted = revision("data");
    bench.store.put_revision(&wanted).await.expect("kept");
    let mut other = wanted.clone();
    other.definition = json!("another");
    other.tasks.truncate(2);
    bench.store.put_revision(&other).await.expect("taken");
    assert_eq!(bench.store.revision(&wanted.id).await.expect("read"), Some(wanted.clone()));
    // The same from many sides at once.
    let store = &bench.store;
    let puts = (0..8).map(|_| {
        let (store, fresh) = (store.clone(), revision("fresh"));
        tokio::spawn(async move { store.put_revision(&fresh).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("ran").expect("taken");
    }
    assert_eq!(store.revision(&workflow("fresh")).await.expect("read"), Some(revision("fresh")));
}

pub async fn what_is_unknown_is_none(bench: Bench) {
    let nobody = WorkflowId::new("data", "none", "0");
    assert_eq!(bench.store.revision(&nobody).await.expect("read"), None);
    assert_eq!(bench.store.run(&run_id("nobody")).await.expect("read"), None);
    let entity = Entity::Run(run_id("nobody"));
    assert_eq!(bench.store.history(&entity, 10).await.expect("read"), vec![]);
    assert_eq!(bench.store.live_runs(ShardId::of_namespace("data")).await.expect("read"), vec![]);
    let fence = bench.store.position(ShardId::of_namespace("data")).await.expect("read");
    assert_eq!((fence.epoch, fence.seq), (0, 0));
}

pub async fn times_are_kept_to_the_microsecond(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let fine = Timestamp::new(1_760_000_000, 123_456_789).expect("a time");
    let mut run = a_run("r", "data");
    run.created_at = fine;
    let mut task = task_birth(0);
    task.row.due_at = Some(fine);
    let batch = batch(fence, vec![("r", changes("data", Some(run_birth(run)), vec![task]))]);
    store.commit(&batch).await.expect("committed");
    let found = store.run(&run_id("r")).await.expect("read").expect("there");
    let kept = Timestamp::new(1_760_000_000, 123_456_000).expect("a time");
    assert_eq!((found.run.created_at, found.tasks[0].due_at), (kept, Some(kept)));
}

pub async fn a_nul_is_replaced_and_harms_nobody(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let mut run = a_run("bad", "data");
    run.error = Some("a\0b".into());
    run.params = Text::from(&json!({"k\0": ["x\0y", 1]}));
    let mut task = task_birth(0);
    task.row.output = Some(Arc::new(json!({"o": "\0"})));
    let bad = changes("data", Some(run_birth(run)), vec![task]);
    let good = changes("data", Some(run_birth(a_run("good", "data"))), vec![]);
    store.commit(&batch(fence, vec![("bad", bad), ("good", good)])).await.expect("committed");
    let found = store.run(&run_id("bad")).await.expect("read").expect("there");
    assert_eq!(found.run.error.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(found.run.params, Text::from(&json!({"k\u{fffd}": ["x\u{fffd}y", 1]})));
    assert_eq!(found.tasks[0].output.as_deref(), Some(&json!({"o": "\u{fffd}"})));
    assert!(store.run(&run_id("good")).await.expect("read").is_some());
}

pub async fn what_a_row_was_born_with_stays(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let run = a_run("r", "data");
    let fence = with_runs(store.as_ref(), fence, std::slice::from_ref(&run)).await;
    let mut change = run_move(&run, RunStatus::Success);
    change.row.params = Text::from(&json!("others"));
    change.row.name = "other".into();
    change.row.created_at = at(99);
    let mut task = task_move(&task_birth(0).row, TaskStatus::Ready);
    task.row.created_at = at(99);
    task.row.input = Some(Text::from(&json!({"env": {}})));
    store
        .commit(&batch(fence, vec![("r", changes("data", Some(change), vec![task]))]))
        .await
        .expect("committed");
    let found = store.run(&run.id).await.expect("read").expect("there");
    assert_eq!(found.run, RunRow { status: RunStatus::Success, ..run });
    assert_eq!((found.tasks[0].status, found.tasks[0].created_at), (TaskStatus::Ready, at(0)));
    // An input is written by the change that leaves PENDING, and by no later one.
    assert_eq!(found.tasks[0].input, Some(Text::from(&json!({"env": {}}))));
    let mut later = task_move(&found.tasks[0], TaskStatus::Cancelled);
    later.row.input = None;
    let fence = store.position(fence.shard).await.expect("read");
    store.commit(&batch(fence, vec![("r", changes("data", None, vec![later]))])).await.expect("committed");
    let found = store.run(&run_id("r")).await.expect("read").expect("there");
    assert_eq!(found.tasks[0].status, TaskStatus::Cancelled);
    assert_eq!(found.tasks[0].input, Some(Text::from(&json!({"env": {}}))));
}

pub async fn approvals_come_back_in_order(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let mut fence = with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    let said = |n: i64, user: &str, decision| ApprovalRow {
        key: TaskKey::of_task(1),
        user: user.into(),
        decision,
        note: None,
        verified: false,
        at: at(n),
    };
    // The same person twice, and later words with earlier times: nothing is put in order or merged.
    let rounds = [
        vec![said(9, "zoe", Decision::Approved), said(9, "adam", Decision::Approved)],
        vec![said(3, "zoe", Decision::Rejected)],
    ];
    for words in &rounds {
        let batch =
            batch(fence, vec![("r", Changes { approvals: words.clone(), ..changes("data", None, vec![]) })]);
        store.commit(&batch).await.expect("committed");
        fence = after(fence, &batch);
    }
    let found = store.run(&run_id("r")).await.expect("read").expect("there");
    assert_eq!(found.approvals, rounds.concat());
    let unasked = TaskRunId { run: run_id("r"), key: TaskKey::of_task(1) };
    assert_eq!(store.history(&Entity::TaskRun(unasked), 9).await.expect("read"), vec![]);
}
