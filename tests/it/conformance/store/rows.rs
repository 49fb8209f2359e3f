//! Rows for the cases: plain ones by hand, and ones with anything that a column can hold.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use relay::model::change::{Batch, Changes, Fence, RunChange, Step, TaskChange};
use relay::model::ids::{RunId, ShardId, TaskKey, WorkflowId};
use relay::model::json::Text;
use relay::model::reason::Reason;
use relay::model::run::{Actor, RunRow, Stop};
use relay::model::status::{RunStatus, TaskStatus};
use relay::model::task_run::{ApprovalRow, AttemptRow, Decision, TaskRow};
use relay::store::{Leadership, Revision, Store, TaskRecord};
use serde_json::{Value, json};

/// How many tasks the revision of `prepare` has.
pub const TASKS: u32 = 12;

pub fn at(second: i64) -> Timestamp {
    Timestamp::new(1_760_000_000 + second, 0).expect("a time")
}

pub fn run_id(text: &str) -> RunId {
    text.parse().expect("a run id")
}

/// Names of namespaces that fall into shards of their own.
pub fn namespaces(count: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in (0..10_000).map(|n| format!("ns-{n}")) {
        if found.len() == count {
            break;
        }
        if found.iter().all(|other| ShardId::of_namespace(other) != ShardId::of_namespace(&name)) {
            found.push(name);
        }
    }
    found
}

pub fn workflow(namespace: &str) -> WorkflowId {
    WorkflowId::new(namespace, "etl", "0123456789abcdef")
}

/// A chain: each task depends on the one before.
pub fn revision(namespace: &str) -> Revision {
    let name = |n: u32| format!("t{n}");
    let task = |n: u32| TaskRecord {
        name: name(n),
        config: json!({"command": ["echo", n]}),
        requires_approval: n == 3,
        depends_on: n.checked_sub(1).map(name).into_iter().collect(),
    };
    Revision {
        id: workflow(namespace),
        namespace: namespace.to_owned(),
        name: "etl".to_owned(),
        definition: json!({"tasks": ["as written"]}),
        tasks: (0..TASKS).map(task).collect(),
    }
}

/// The revision of a namespace in place, and its shard led by `holder`.
pub async fn prepare(store: &dyn Store, namespace: &str, holder: &str) -> Fence {
    store.put_revision(&revision(namespace)).await.expect("a revision is kept");
    lead(store, ShardId::of_namespace(namespace), holder).await
}

pub async fn lead(store: &dyn Store, shard: ShardId, holder: &str) -> Fence {
    match store.lead(&[shard], holder).await.expect("an answer") {
        Leadership::Won(fences) => fences[&shard],
        held => panic!("{holder} should lead: {held:?}"),
    }
}

pub fn a_run(id: &str, namespace: &str) -> RunRow {
    let name = format!("{id}-name");
    RunRow {
        params: Text::from(&json!({"n": 1})),
        started_at: at(1),
        ..RunRow::new(run_id(id), workflow(namespace), namespace.to_owned(), name, at(0))
    }
}

pub fn step<S>(from: Option<S>, to: S, attempt: u32) -> Step<S> {
    Step { from, to, attempt, reason: None, actor: Actor::Engine, at: at(2) }
}

pub fn run_birth(row: RunRow) -> RunChange {
    RunChange { expect: None, steps: vec![step(None, row.status, 0)], row }
}

/// The run, in its next status.
pub fn run_move(row: &RunRow, to: RunStatus) -> RunChange {
    let steps = vec![step(Some(row.status), to, 0)];
    RunChange { expect: Some(row.status), row: RunRow { status: to, ..row.clone() }, steps }
}

/// A birth in PENDING: no row of history.
pub fn task_birth(task: u32) -> TaskChange {
    TaskChange {
        expect: None,
        row: TaskRow::new(TaskKey::of_task(task), at(0)),
        steps: vec![],
        attempts: vec![],
    }
}

pub fn task_move(row: &TaskRow, to: TaskStatus) -> TaskChange {
    let steps = vec![step(Some(row.status), to, row.attempt)];
    let row_then = TaskRow { status: to, ..row.clone() };
    TaskChange { expect: Some((row.status, row.attempt)), row: row_then, steps, attempts: vec![] }
}

/// The changes of one run.
pub fn changes(namespace: &str, run: Option<RunChange>, tasks: Vec<TaskChange>) -> Changes {
    let mut out = Changes::new(ShardId::of_namespace(namespace));
    out.run = run.map(Box::new);
    out.tasks = tasks.into_iter().map(|change| (change.row.key, Box::new(change))).collect();
    out
}

/// A batch of one shard.
pub fn batch(fence: Fence, runs: Vec<(&str, Changes)>) -> Batch {
    Batch {
        fences: [(fence.shard, fence)].into(),
        runs: runs.into_iter().map(|(id, changes)| (run_id(id), changes)).collect(),
    }
}

/// The fence after a batch.
pub fn after(fence: Fence, batch: &Batch) -> Fence {
    Fence { seq: batch.seq_after(&fence), ..fence }
}

/// Commits births of runs with their tasks 0 and 1, PENDING.
pub async fn with_runs(store: &dyn Store, fence: Fence, rows: &[RunRow]) -> Fence {
    let born = |row: &RunRow| {
        changes(&row.namespace, Some(run_birth(row.clone())), vec![task_birth(0), task_birth(1)])
    };
    let births = Batch {
        fences: [(fence.shard, fence)].into(),
        runs: rows.iter().map(|row| (row.id.clone(), born(row))).collect(),
    };
    store.commit(&births).await.expect("runs are born");
    after(fence, &births)
}

/// A time as a store keeps it.
fn a_time() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000_000_000).prop_map(|us| Timestamp::from_microsecond(us).expect("a time"))
}

/// Any text but NUL, which has a case of its own.
fn a_text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', "\\u0000 '\";--"))
}

/// Any JSON. A float that is whole and large may come back as an integer of the same value: none of these here.
fn a_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("a float that stays one", |n| n.is_finite() && (n.fract() != 0.0 || n.abs() < 1e15))
            // A database knows no negative zero.
            .prop_map(|n| Value::from(n + 0.0)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        a_text().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(a_text(), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

fn a_reason() -> impl Strategy<Value = Option<Reason>> {
    option::of(select(Reason::ALL))
}

fn a_number() -> impl Strategy<Value = u32> {
    0u32..=i32::MAX as u32
}

/// Any run row with this id and namespace.
pub fn any_run(id: RunId, namespace: String) -> impl Strategy<Value = RunRow> {
    let stop = (select(Reason::ALL), any::<bool>()).prop_map(|(reason, finally)| Stop { reason, finally });
    let words = (select(RunStatus::ALL), a_reason(), option::of(a_text()), a_text());
    let values = (a_value(), option::of(a_value()), option::of(stop));
    let times = (a_time(), a_time(), option::of(a_time()), option::of(a_time()));
    let pauses = (option::of(a_time()), (0u64..4_000_000_000_000_000).prop_map(Duration::from_micros));
    (words, values, times, pauses).prop_map(move |(words, values, times, pauses)| RunRow {
        id: id.clone(),
        workflow: workflow(&namespace),
        namespace: namespace.clone(),
        name: words.3,
        status: words.0,
        reason: words.1,
        error: words.2,
        params: Text::from(&values.0),
        outputs: values.1.map(Arc::new),
        stop: values.2,
        paused_at: pauses.0,
        paused_for: pauses.1,
        created_at: times.0,
        started_at: times.1,
        finally_at: times.2,
        finished_at: times.3,
    })
}

/// Any task row under this key.
pub fn any_task(key: TaskKey) -> impl Strategy<Value = TaskRow> {
    let words = (select(TaskStatus::ALL), a_reason(), option::of(a_text()), option::of(a_text()));
    let numbers = (a_number(), a_number(), a_number(), option::of(any::<i32>()));
    let values = (option::of(a_value()), option::of(a_value()));
    let times =
        (option::of(a_time()), option::of(a_time()), option::of(a_time()), option::of(a_time()), a_time());
    (words, numbers, values, times).prop_map(move |(words, numbers, values, times)| TaskRow {
        key,
        status: words.0,
        attempt: numbers.0,
        failures: numbers.1,
        losses: numbers.2,
        reason: words.1,
        error: words.2,
        exit_code: numbers.3,
        input: values.0.map(|value| Text::from(&value)),
        output: values.1.map(Arc::new),
        worker: words.3.map(Arc::from),
        ready_at: times.0,
        due_at: times.1,
        started_at: times.2,
        finished_at: times.3,
        created_at: times.4,
    })
}

/// Any approval of this task run.
pub fn any_approval(key: TaskKey) -> impl Strategy<Value = ApprovalRow> {
    (a_text(), select(Decision::ALL), option::of(a_text()), any::<bool>(), a_time()).prop_map(
        move |(user, decision, note, verified, at)| ApprovalRow { key, user, decision, note, verified, at },
    )
}

/// Any attempt of this number.
pub fn any_attempt(attempt: u32) -> impl Strategy<Value = AttemptRow> {
    let times = (option::of(a_time()), option::of(a_time()));
    (option::of(a_text()), times, a_reason(), option::of(any::<i32>())).prop_map(
        move |(worker, (started_at, ended_at), reason, exit_code)| AttemptRow {
            attempt,
            worker: worker.map(Arc::from),
            started_at,
            ended_at,
            reason,
            exit_code,
        },
    )
}
