//! Every edge once, in order, without gaps.

use std::collections::BTreeSet;

use relay::model::ids::{ShardId, TaskKey, TaskRunId};
use relay::model::reason::Reason;
use relay::model::run::Actor;
use relay::model::status::TaskStatus;
use relay::store::{Entity, HistoryRow};

use super::Bench;
use super::rows::*;

pub async fn positions_have_no_gaps_under_concurrent_batches(bench: Bench) {
    const BATCHES: usize = 20;
    let names = namespaces(4);
    let writers: Vec<_> = names
        .iter()
        .map(|namespace| {
            let (store, namespace) = (bench.store.clone(), namespace.clone());
            tokio::spawn(async move {
                let mut fence = prepare(store.as_ref(), &namespace, "a").await;
                for n in 0..BATCHES {
                    let id = format!("{namespace}-{n}");
                    let mut task = task_birth(0);
                    task.steps = vec![
                        step(None, TaskStatus::Pending, 0),
                        step(Some(TaskStatus::Pending), TaskStatus::Ready, 0),
                    ];
                    let birth = changes(&namespace, Some(run_birth(a_run(&id, &namespace))), vec![task]);
                    let batch = batch(fence, vec![(&id, birth)]);
                    store.commit(&batch).await.expect("committed");
                    fence = after(fence, &batch);
                }
                fence
            })
        })
        .collect();
    for (writer, namespace) in writers.into_iter().zip(&names) {
        let fence = writer.await.expect("ran");
        let mut seen = BTreeSet::new();
        for id in (0..BATCHES).map(|n| run_id(&format!("{namespace}-{n}"))) {
            let task = TaskRunId { run: id.clone(), key: TaskKey::of_task(0) };
            for entity in [Entity::Run(id), Entity::TaskRun(task)] {
                let rows = bench.store.history(&entity, 100).await.expect("read");
                assert!(rows.iter().all(|row| row.shard == ShardId::of_namespace(namespace)));
                seen.extend(rows.iter().map(|row| row.seq));
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (1..=3 * BATCHES as i64).collect::<Vec<_>>());
        assert_eq!(fence.seq, 3 * BATCHES as i64);
    }
}

/// Runs by id; of a run its own edges first, then those of its task runs by key.
pub async fn rows_stand_in_the_order_of_the_batch(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let edge = |n: u32| {
        let mut task = task_birth(n);
        task.steps = vec![step(Some(TaskStatus::Pending), TaskStatus::Ready, 0)];
        task.steps[0].reason = Some(Reason::Approved);
        task.steps[0].actor = Actor::User;
        task
    };
    let of_run = |id: &str, tasks| changes("data", Some(run_birth(a_run(id, "data"))), tasks);
    let whole =
        batch(fence, vec![("b", of_run("b", vec![edge(0)])), ("a", of_run("a", vec![edge(10), edge(2)]))]);
    store.commit(&whole).await.expect("committed");
    let position = async |entity: Entity| store.history(&entity, 9).await.expect("read")[0].seq;
    let task = |id: &str, n: u32| Entity::TaskRun(TaskRunId { run: run_id(id), key: TaskKey::of_task(n) });
    assert_eq!(position(Entity::Run(run_id("a"))).await, 1);
    assert_eq!(position(task("a", 2)).await, 2);
    assert_eq!(position(task("a", 10)).await, 3);
    assert_eq!(position(Entity::Run(run_id("b"))).await, 4);
    assert_eq!(position(task("b", 0)).await, 5);
    let wanted = HistoryRow {
        shard: fence.shard,
        seq: 5,
        entity: task("b", 0),
        old_state: Some("PENDING".into()),
        new_state: "READY".into(),
        attempt: 0,
        reason: Some(Reason::Approved),
        actor: Actor::User,
        changed_at: at(2),
    };
    assert_eq!(store.history(&task("b", 0), 9).await.expect("read"), vec![wanted]);
}

pub async fn the_newest_come_first_and_no_more_than_asked(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let fence = with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    let mut row = task_birth(0).row;
    let mut change = task_move(&row, TaskStatus::Ready);
    for (to, attempt) in [(TaskStatus::Queued, 1), (TaskStatus::Running, 1), (TaskStatus::Success, 1)] {
        change.steps.push(step(Some(change.row.status), to, attempt));
        (change.row.status, change.row.attempt) = (to, attempt);
    }
    row.status = TaskStatus::Success;
    store.commit(&batch(fence, vec![("r", changes("data", None, vec![change]))])).await.expect("committed");
    let entity = Entity::TaskRun(row.id(&run_id("r")));
    let states = async |limit| -> Vec<String> {
        let rows = store.history(&entity, limit).await.expect("read");
        rows.iter().map(|row| format!("{} #{}", row.new_state, row.attempt)).collect()
    };
    assert_eq!(states(100).await, ["SUCCESS #1", "RUNNING #1", "QUEUED #1", "READY #0"]);
    assert_eq!(states(2).await, ["SUCCESS #1", "RUNNING #1"]);
    assert_eq!(states(0).await, Vec::<String>::new());
}

/// A reader that asks page by page for as long as batches are committed, and once more at the end.
pub async fn a_reader_of_a_shard_misses_nothing_and_sees_nothing_twice(bench: Bench) {
    const BATCHES: i64 = 60;
    let shard = ShardId::of_namespace("data");
    let fence = prepare(bench.store.as_ref(), "data", "a").await;
    let writer = tokio::spawn({
        let store = bench.store.clone();
        async move {
            let mut fence = fence;
            for n in 0..BATCHES {
                let id = format!("r-{n}");
                let mut task = task_birth(0);
                task.steps = vec![
                    step(None, TaskStatus::Pending, 0),
                    step(Some(TaskStatus::Pending), TaskStatus::Ready, 0),
                ];
                let birth = changes("data", Some(run_birth(a_run(&id, "data"))), vec![task]);
                let batch = batch(fence, vec![(&id, birth)]);
                store.commit(&batch).await.expect("committed");
                fence = after(fence, &batch);
            }
        }
    });
    let mut read: Vec<HistoryRow> = Vec::new();
    // Pages of 1 to 7: they end within batches as well as between them.
    for limit in (1..8).cycle() {
        let ended = writer.is_finished();
        let position = read.last().map_or(0, |row| row.seq);
        let page = bench.store.transitions(shard, position, limit).await.expect("read");
        assert!(page.len() <= limit as usize);
        if page.is_empty() && ended {
            break;
        }
        read.extend(page);
        tokio::task::yield_now().await;
    }
    writer.await.expect("ran");
    assert_eq!(read.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=3 * BATCHES).collect::<Vec<_>>());
    assert!(read.iter().all(|row| row.shard == shard));
    // The same rows as those that are told of each run and task run.
    for row in &read {
        let of_entity = bench.store.history(&row.entity, 9).await.expect("read");
        assert!(of_entity.contains(row), "{row:?} is not in {of_entity:?}");
    }
    for (shard, after) in [(shard, 3 * BATCHES), (shard, i64::MAX), (ShardId::of_namespace("elsewhere"), 0)] {
        assert_eq!(bench.store.transitions(shard, after, 9).await.expect("read"), vec![]);
    }
    assert_eq!(bench.store.transitions(shard, 0, 0).await.expect("read"), vec![]);
    let all = bench.store.transitions(shard, i64::MIN, u32::MAX).await.expect("read");
    assert_eq!(all, read);
}
