//! A batch is written whole or not at all.

use relay::model::change::Batch;
use relay::model::ids::ShardId;
use relay::model::run::RunRow;
use relay::model::status::{RunStatus, TaskStatus};
use relay::model::task_run::TaskRow;
use relay::store::memory::FINISHED_MAX;
use relay::store::{Entity, StoreError};

use super::Bench;
use super::rows::*;

pub async fn a_conflict_writes_nothing_at_all(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let (one, two) = (a_run("one", "data"), a_run("two", "data"));
    let fence = with_runs(store.as_ref(), fence, &[one.clone(), two.clone()]).await;
    let before = (store.run(&one.id).await.expect("read"), store.run(&two.id).await.expect("read"));
    let pending = task_birth(0).row;
    let good = || {
        changes(
            "data",
            Some(run_move(&one, RunStatus::Success)),
            vec![task_move(&pending, TaskStatus::Ready)],
        )
    };
    let elsewhere = TaskRow { status: TaskStatus::Running, ..pending.clone() };
    let older = TaskRow { attempt: 3, ..pending.clone() };
    let absent = task_birth(7).row;
    let queued = RunRow { status: RunStatus::Queued, ..two.clone() };
    let wrong = [
        (changes("data", None, vec![task_move(&elsewhere, TaskStatus::Failed)]), 1),
        (changes("data", None, vec![task_move(&older, TaskStatus::Ready)]), 1),
        (changes("data", None, vec![task_move(&absent, TaskStatus::Ready)]), 1),
        (changes("data", Some(run_move(&queued, RunStatus::Running)), vec![]), 1),
        (
            changes(
                "data",
                Some(run_move(&queued, RunStatus::Running)),
                vec![task_move(&older, TaskStatus::Ready)],
            ),
            2,
        ),
    ];
    for (wrong, rows) in wrong {
        let third = changes("data", Some(run_birth(a_run("three", "data"))), vec![task_birth(0)]);
        let whole = batch(fence, vec![("one", good()), ("two", wrong), ("three", third)]);
        match store.commit(&whole).await {
            Err(StoreError::Conflict { count }) => assert_eq!(count, rows),
            other => panic!("{other:?} instead of a conflict"),
        }
        let now = (store.run(&one.id).await.expect("read"), store.run(&two.id).await.expect("read"));
        assert_eq!(now, before);
        assert_eq!(store.run(&run_id("three")).await.expect("read"), None);
        assert_eq!(store.position(fence.shard).await.expect("read"), fence);
        assert_eq!(store.history(&Entity::Run(one.id.clone()), 9).await.expect("read").len(), 1);
    }
    // And the good half alone goes through, under the same fence.
    store.commit(&batch(fence, vec![("one", good())])).await.expect("committed");
}

pub async fn a_second_birth_is_a_conflict(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let run = a_run("r", "data");
    let fence = with_runs(store.as_ref(), fence, std::slice::from_ref(&run)).await;
    let before = store.run(&run.id).await.expect("read");
    let again = [
        changes("data", Some(run_birth(RunRow { name: "another".into(), ..run.clone() })), vec![]),
        changes("data", None, vec![task_birth(1), task_birth(2)]),
    ];
    for again in again {
        let outcome = store.commit(&batch(fence, vec![("r", again)])).await;
        assert!(matches!(outcome, Err(StoreError::Conflict { count: 1 })), "{outcome:?}");
        assert_eq!(store.run(&run.id).await.expect("read"), before);
    }
}

pub async fn a_batch_writes_several_shards(bench: Bench) {
    let store = &bench.store;
    let mut whole = Batch::default();
    for (n, namespace) in namespaces(3).iter().enumerate() {
        let fence = prepare(store.as_ref(), namespace, "a").await;
        let id = format!("run-{n}");
        let births = (0..n as u32).map(task_birth).collect();
        whole.fences.insert(fence.shard, fence);
        whole.runs.insert(run_id(&id), changes(namespace, Some(run_birth(a_run(&id, namespace))), births));
    }
    store.commit(&whole).await.expect("committed");
    for (shard, fence) in &whole.fences {
        assert_eq!(store.position(*shard).await.expect("read"), after(*fence, &whole));
        assert_eq!(store.live_runs(*shard).await.expect("read").len(), 1);
    }
}

pub async fn a_batch_without_edges_leaves_the_position(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let fence = with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    store
        .commit(&batch(fence, vec![("r", changes("data", None, vec![task_birth(5)]))]))
        .await
        .expect("committed");
    assert_eq!(store.position(fence.shard).await.expect("read"), fence);
    assert_eq!(store.run(&run_id("r")).await.expect("read").expect("there").tasks.len(), 3);
}

pub async fn an_empty_batch_is_nothing(bench: Bench) {
    bench.store.commit(&Batch::default()).await.expect("nothing to do");
    let fence = prepare(bench.store.as_ref(), "data", "a").await;
    bench.store.commit(&batch(fence, vec![])).await.expect("nothing to do");
    assert_eq!(bench.store.position(fence.shard).await.expect("read"), fence);
}

pub async fn a_thousand_runs_fit_into_one_batch(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let born = |n: usize| {
        let id = format!("run-{n:04}");
        let tasks = (0..10).map(task_birth).collect();
        (run_id(&id), changes("data", Some(run_birth(a_run(&id, "data"))), tasks))
    };
    let births = Batch { fences: [(fence.shard, fence)].into(), runs: (0..1_000).map(born).collect() };
    store.commit(&births).await.expect("committed");
    let fence = after(fence, &births);
    assert_eq!(fence.seq, 1_000);
    let moved = |(id, _): (&relay::model::ids::RunId, _)| {
        let tasks = (0..10).map(|task| task_move(&task_birth(task).row, TaskStatus::Ready)).collect();
        (id.clone(), changes("data", None, tasks))
    };
    let moves =
        Batch { fences: [(fence.shard, fence)].into(), runs: births.runs.iter().map(moved).collect() };
    store.commit(&moves).await.expect("committed");
    assert_eq!(store.position(fence.shard).await.expect("read").seq, 11_000);
    assert_eq!(store.live_runs(fence.shard).await.expect("read").len(), 1_000);
    let last = store.run(&run_id("run-0999")).await.expect("read").expect("there");
    assert!(last.tasks.len() == 10 && last.tasks.iter().all(|row| row.status == TaskStatus::Ready));
}

pub async fn runs_are_read_many_at_once_each_as_alone(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let rows: Vec<RunRow> = (0..1_200).map(|n| a_run(&format!("run-{n:04}"), "data")).collect();
    let fence = with_runs(store.as_ref(), fence, &rows).await;
    let tasks = changes("data", None, (4..7).map(task_birth).collect());
    store.commit(&batch(fence, vec![("run-0001", tasks)])).await.expect("committed");
    let mut wanted: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    wanted[700] = run_id("nowhere");
    assert!(store.runs(&[]).await.expect("read").is_empty());
    let (mut rest, mut calls) = (wanted.as_slice(), 0);
    while !rest.is_empty() {
        let found = store.runs(rest).await.expect("read");
        assert!(!found.is_empty() && found.len() <= rest.len());
        for (id, record) in rest.iter().zip(&found) {
            assert_eq!(*record.as_ref().expect("read"), store.run(id).await.expect("read"), "{id}");
        }
        rest = &rest[found.len()..];
        calls += 1;
    }
    assert!((2..=20).contains(&calls), "{calls}");
    let two = store.runs(&wanted[1..3]).await.expect("read");
    let tasks = |n: usize| two[n].as_ref().expect("read").as_ref().expect("there").tasks.len();
    assert_eq!(tasks(0), tasks(1) + 3);
}

pub async fn live_runs_come_oldest_first(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let other =
        namespaces(2).into_iter().find(|name| ShardId::of_namespace(name) != fence.shard).expect("another");
    let elsewhere = prepare(store.as_ref(), &other, "a").await;
    with_runs(store.as_ref(), elsewhere, &[a_run("elsewhere", &other)]).await;
    let aged =
        |id: &str, created: i64, status| RunRow { created_at: at(created), status, ..a_run(id, "data") };
    let rows = [
        aged("a", 30, RunStatus::Running),
        aged("b", 10, RunStatus::Queued),
        aged("c", 20, RunStatus::Running),
        aged("d", 10, RunStatus::Running),
        aged("e", 5, RunStatus::Success),
        aged("f", 5, RunStatus::Failed),
        aged("g", 5, RunStatus::Cancelled),
    ];
    let fence = with_runs(store.as_ref(), fence, &rows).await;
    let live = async || -> Vec<String> {
        let ids = store.live_runs(fence.shard).await.expect("read");
        ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(live().await, ["b", "d", "c", "a"]);
    // One ends, another is opened again.
    let end = changes("data", Some(run_move(&rows[2], RunStatus::Success)), vec![]);
    let again = changes("data", Some(run_move(&rows[5], RunStatus::Running)), vec![]);
    store.commit(&batch(fence, vec![("c", end), ("f", again)])).await.expect("committed");
    assert_eq!(live().await, ["f", "b", "d", "a"]);
}

pub async fn the_oldest_finished_runs_are_forgotten(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let mut fence = with_runs(store.as_ref(), fence, &[a_run("live", "data")]).await;
    let id = |n: usize| format!("done-{n:04}");
    for n in 0..FINISHED_MAX + 3 {
        let row = RunRow { status: RunStatus::Success, ..a_run(&id(n), "data") };
        fence = with_runs(store.as_ref(), fence, &[row]).await;
    }
    let there = async |id: &str| store.run(&run_id(id)).await.expect("read").is_some();
    for n in 0..3 {
        assert!(!there(&id(n)).await, "{n} is still there");
        assert_eq!(store.history(&Entity::Run(run_id(&id(n))), 9).await.expect("read"), vec![]);
    }
    assert!(there(&id(3)).await && there(&id(FINISHED_MAX + 2)).await && there("live").await);
    // One that a retry opens again is live, and outlasts those that ended later.
    let row = RunRow { status: RunStatus::Success, ..a_run(&id(3), "data") };
    let reopened =
        batch(fence, vec![(&id(3), changes("data", Some(run_move(&row, RunStatus::Running)), vec![]))]);
    store.commit(&reopened).await.expect("committed");
    fence = after(fence, &reopened);
    for n in 0..10 {
        let row = RunRow { status: RunStatus::Failed, ..a_run(&format!("later-{n}"), "data") };
        fence = with_runs(store.as_ref(), fence, &[row]).await;
    }
    assert!(there(&id(3)).await && !there(&id(5)).await);
}
