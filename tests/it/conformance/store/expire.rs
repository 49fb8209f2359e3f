//! What ended long ago goes whole, and nothing else does.

use relay::model::change::Fence;
use relay::model::ids::{ShardId, TaskKey, TaskRunId};
use relay::model::job::JobId;
use relay::model::log::{LogLine, LogQuery, Stream};
use relay::model::run::RunRow;
use relay::model::status::RunStatus;
use relay::store::{Cursor, Entity, Expiry, Removed, StoreError, Upkeep};

use super::Bench;
use super::rows::{a_run, after, at, batch, changes, namespaces, prepare, run_id, run_move, with_runs};

/// A whole pass.
pub async fn pass(store: &dyn Upkeep, ask: &Expiry) -> Result<Removed, StoreError> {
    let (mut removed, mut cursor) = (Removed::default(), Cursor::default());
    loop {
        let (more, next) = store.expire(ask, cursor).await?;
        removed = removed.and(more);
        match next {
            Some(next) => cursor = next,
            None => return Ok(removed),
        }
    }
}

pub fn ask(fences: &[Fence], before: i64) -> Expiry {
    Expiry { fences: fences.to_vec(), before: at(before), rows: 200 }
}

/// A run that ended so late, with two task runs.
pub fn ended(id: &str, namespace: &str, second: i64) -> RunRow {
    RunRow { status: RunStatus::Success, finished_at: Some(at(second)), ..a_run(id, namespace) }
}

pub fn a_line(id: &str) -> LogLine {
    let task_run = TaskRunId { run: run_id(id), key: TaskKey::of_task(0) };
    let text = format!("of {id}");
    let job = JobId { task_run, attempt: 1 };
    LogLine { job, stream: Stream::Stdout, number: 1, at: at(3), text, partial: false }
}

pub fn lines_of(id: &str) -> LogQuery {
    LogQuery { run: run_id(id), task: None, item: None, after: 0, limit: 10 }
}

pub async fn what_ended_before_goes_whole(bench: Bench) {
    let store = bench.upkeep.as_ref();
    let fence = prepare(store, "data", "a").await;
    let rows = [ended("old", "data", 10), ended("later", "data", 20), a_run("live", "data")];
    let fence = with_runs(store, fence, &rows).await;
    store.put_logs(&["old", "later", "live"].map(a_line)).await.expect("kept");
    let there = async |id: &str| -> [bool; 5] {
        let id_ = run_id(id);
        let named = store.find_runs("data", &format!("{id}-name"), 9).await.expect("read");
        [
            store.run(&id_).await.expect("read").is_some_and(|record| record.tasks.len() == 2),
            store.run_row(&id_).await.expect("read").is_some(),
            !named.is_empty(),
            !store.history(&Entity::Run(id_), 9).await.expect("read").is_empty(),
            !store.logs(&lines_of(id)).await.expect("read").is_empty(),
        ]
    };
    assert_eq!(
        pass(store, &ask(&[fence], 10)).await.expect("done"),
        Removed::default(),
        "it ended at that time"
    );
    let removed = pass(store, &ask(&[fence], 11)).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (1, 2));
    assert_eq!(there("old").await, [false; 5]);
    assert_eq!(there("later").await, [true; 5]);
    assert_eq!(there("live").await, [true; 5]);
    // What stays goes on as if nothing had been.
    let end =
        batch(fence, vec![("live", changes("data", Some(run_move(&rows[2], RunStatus::Failed)), vec![]))]);
    store.commit(&end).await.expect("committed");
    let removed = pass(store, &ask(&[after(fence, &end)], 1_000)).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (1, 2), "the live one never told when it ended");
    assert_eq!(there("later").await, [false; 5]);
}

pub async fn only_runs_of_a_leaders_own_shards_go(bench: Bench) {
    let store = bench.upkeep.as_ref();
    let [own, other] = namespaces(2).try_into().expect("two");
    let fence = prepare(store, &own, "a").await;
    let fence = with_runs(store, fence, &[ended("own", &own, 10)]).await;
    let theirs = prepare(store, &other, "b").await;
    with_runs(store, theirs, &[ended("other", &other, 10)]).await;
    let stale = Fence { epoch: fence.epoch - 1, ..fence };
    let removed = pass(store, &ask(&[stale], 1_000)).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (0, 0), "its epoch is over");
    let removed = pass(store, &ask(&[fence], 1_000)).await.expect("done");
    assert_eq!((removed.runs, removed.task_runs), (1, 2));
    assert!(store.run(&run_id("own")).await.expect("read").is_none());
    assert!(store.run(&run_id("other")).await.expect("read").is_some());
}

pub async fn many_runs_go_in_steps_of_so_many_rows(bench: Bench) {
    let store = bench.upkeep.as_ref();
    let fence = prepare(store, "data", "a").await;
    let rows: Vec<RunRow> = (0..200).map(|n| ended(&format!("r-{n}"), "data", n % 7)).collect();
    let fence = with_runs(store, fence, &rows).await;
    let small = Expiry { rows: 10, ..ask(&[fence], 1_000) };
    let (mut removed, mut cursor, mut steps) = (Removed::default(), Some(Cursor::default()), 0);
    while let Some(from) = cursor {
        let (more, next) = store.expire(&small, from).await.expect("done");
        assert!(more.task_runs <= 20 && more.runs <= 20, "{more:?}");
        (removed, cursor, steps) = (removed.and(more), next, steps + 1);
    }
    assert_eq!((removed.runs, removed.task_runs), (200, 400));
    assert!(steps >= 40, "{steps} steps");
    assert_eq!(ShardId::of_namespace("data"), fence.shard);
    assert_eq!(store.position(fence.shard).await.expect("read"), fence, "nothing of it is a transition");
}
