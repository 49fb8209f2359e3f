//! Who made each attempt, from when to when, and how it ended.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use relay::model::change::TaskChange;
use relay::model::ids::{TaskKey, TaskRunId};
use relay::model::reason::Reason;
use relay::model::status::TaskStatus;
use relay::model::task_run::AttemptRow;
use relay::store::StoreError;

use super::Bench;
use super::rows::*;

fn of(run: &str, task: u32) -> TaskRunId {
    TaskRunId { run: run_id(run), key: TaskKey::of_task(task) }
}

fn started(attempt: u32) -> AttemptRow {
    let (worker, started_at) = (Some(format!("w-{attempt}").into()), Some(at(i64::from(attempt))));
    AttemptRow { attempt, worker, started_at, ended_at: None, reason: None, exit_code: None }
}

fn with(mut change: TaskChange, rows: &[AttemptRow]) -> TaskChange {
    change.attempts = rows.to_vec();
    change
}

pub async fn an_attempt_is_written_at_its_start_and_at_its_end(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let mut fence = with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    let running = with(task_move(&task_birth(0).row, TaskStatus::Running), &[started(1)]);
    let ended = AttemptRow {
        ended_at: Some(at(9)),
        reason: Some(Reason::ExitCode),
        exit_code: Some(-3),
        ..started(1)
    };
    let again = with(task_move(&running.row, TaskStatus::Retrying), std::slice::from_ref(&ended));
    for (change, wanted) in [(running, started(1)), (again, ended)] {
        let batch = batch(fence, vec![("r", changes("data", None, vec![change]))]);
        store.commit(&batch).await.expect("committed");
        fence = after(fence, &batch);
        assert_eq!(store.attempts(&of("r", 0), 9).await.expect("read"), vec![wanted]);
    }
}

/// Also of its first breath: a run may be born, and its task end, in one commit.
pub async fn attempts_of_one_commit_come_back_newest_first(bench: Bench) {
    let (store, runner) = (&bench.store, &mut TestRunner::deterministic());
    let fence = prepare(store.as_ref(), "data", "a").await;
    let mut any = |attempt| any_attempt(attempt).new_tree(runner).expect("a value").current();
    let rows: Vec<AttemptRow> = (1..=5).map(&mut any).collect();
    let other = any(1);
    let tasks = vec![with(task_birth(0), &rows), with(task_birth(1), std::slice::from_ref(&other))];
    let born = changes("data", Some(run_birth(a_run("r", "data"))), tasks);
    store.commit(&batch(fence, vec![("r", born)])).await.expect("committed");
    let newest: Vec<AttemptRow> = rows.into_iter().rev().collect();
    assert_eq!(store.attempts(&of("r", 0), 100).await.expect("read"), newest);
    assert_eq!(store.attempts(&of("r", 0), 2).await.expect("read"), newest[..2]);
    assert_eq!(store.attempts(&of("r", 0), 0).await.expect("read"), vec![]);
    assert_eq!(store.attempts(&of("r", 1), 100).await.expect("read"), vec![other]);
    for unknown in [of("r", 2), of("x", 0)] {
        assert_eq!(store.attempts(&unknown, 100).await.expect("read"), vec![], "{unknown}");
    }
}

pub async fn a_commit_that_is_refused_leaves_no_attempt(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let fence = with_runs(store.as_ref(), fence, &[a_run("r", "data")]).await;
    let row = task_birth(0).row;
    let mut elsewhere = with(task_move(&row, TaskStatus::Running), &[started(1)]);
    elsewhere.expect = Some((TaskStatus::Queued, 1));
    let said = store.commit(&batch(fence, vec![("r", changes("data", None, vec![elsewhere]))])).await;
    assert!(matches!(said, Err(StoreError::Conflict { count: 1 })), "{said:?}");
    let zeroth = with(task_move(&row, TaskStatus::Running), &[started(0)]);
    let said = store.commit(&batch(fence, vec![("r", changes("data", None, vec![zeroth]))])).await;
    assert!(matches!(said, Err(StoreError::Refused(_))), "{said:?}");
    assert_eq!(store.attempts(&of("r", 0), 9).await.expect("read"), vec![]);
}
