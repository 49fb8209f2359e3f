//! The words of the model where they do more than hold values: batches, workflows, types, times.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use relay::{
    engine::{Event, Run},
    model::{
        change::{Batch, Fence},
        ids::{RunId, ShardId, TaskKey, WorkflowId},
        status::TaskStatus,
        time::{between, later},
        workflow::{InvalidWorkflow, ValueType, Workflow},
    },
};
use serde_json::json;

use crate::support::{Book, dawn, run_row, workflow};

#[test]
fn changes_that_are_merged_are_one_write_with_every_edge() {
    let flow = workflow("a -> b");
    let a = TaskKey::of_task(0);
    let (mut run, begun) = Run::begin(flow.clone(), run_row(&flow), dawn()).expect("it begins");
    let mut book = Book::default();
    book.commit(&begun).expect("a plan can be committed");
    let mut plan = run.apply(Event::Dispatched(a), dawn()).expect("it was offered");
    let started = Event::Started { key: a, attempt: 1, worker: "w".to_owned() };
    plan.changes.merge(run.apply(started, dawn()).expect("it is queued").changes);
    plan.changes.merge(run.apply(Event::Cancel { finally: false }, dawn()).expect("it runs").changes);
    plan.changes.merge(run.apply(Event::Lost { key: a, attempt: 1 }, dawn()).expect("it runs").changes);
    let change = &plan.changes.tasks[&a];
    assert_eq!(change.expect, Some((TaskStatus::Ready, 0)), "the state before the first of them");
    let edges: Vec<TaskStatus> = change.steps.iter().map(|s| s.to).collect();
    assert_eq!(edges, [TaskStatus::Queued, TaskStatus::Running, TaskStatus::Cancelled]);
    assert_eq!(plan.changes.history_rows(), 3 + 1 + 1, "a's, b's, the run's");
    plan.effects.clear();
    book.commit(&plan).expect("they can be committed as one");
    book.agrees(&run).expect("that is all that happened");
}

#[test]
fn a_batch_moves_each_shard_by_its_own_rows() {
    let flow = workflow("a");
    let (_, plan) = Run::begin(flow.clone(), run_row(&flow), dawn()).expect("it begins");
    let shard = plan.changes.shard;
    let other = ShardId::new((shard.number() + 1) % ShardId::COUNT).expect("a shard");
    let fence = |shard| Fence { shard, epoch: 3, seq: 40 };
    let mut batch = Batch::default();
    assert!(batch.is_empty());
    assert_eq!(plan.changes.history_rows(), 2, "the run RUNNING, a READY; a birth in PENDING is none");
    batch.runs = BTreeMap::from([("r-1".parse().expect("an id"), plan.changes)]);
    assert_eq!((batch.seq_after(&fence(shard)), batch.seq_after(&fence(other))), (42, 40));
    assert!(!batch.is_empty());
}

fn raw(edges: &[(usize, u32)]) -> Workflow {
    let mut flow = workflow("a; b; c; n(finally)").as_ref().clone();
    for (task, up) in edges {
        flow.tasks[*task].depends_on.push(*up);
    }
    flow
}

#[test]
fn workflows_that_would_break_the_engine_are_refused() {
    let refused = |edges: &[(usize, u32)]| Workflow::new(raw(edges)).map(|_| ());
    assert_eq!(refused(&[(1, 0), (2, 1), (2, 0), (2, 0)]), Ok(()));
    assert_eq!(refused(&[(0, 1), (1, 0)]), Err(InvalidWorkflow::Cycle("a, b".to_owned())));
    for (edge, name) in [((0, 0), "a"), ((0, 9), "a"), ((1, 3), "b"), ((3, 0), "n")] {
        assert_eq!(refused(&[edge]), Err(InvalidWorkflow::BadDependency(name.to_owned())));
    }
    let empty = Workflow { tasks: Vec::new(), ..raw(&[]) };
    assert_eq!(Workflow::new(empty).map(|_| ()), Err(InvalidWorkflow::NoTasks));
    let one = raw(&[]).tasks.remove(0);
    let many = Workflow { tasks: vec![one; 2_001], ..raw(&[]) };
    assert_eq!(Workflow::new(many).map(|_| ()), Err(InvalidWorkflow::TooManyTasks(2_001)));
}

#[test]
fn integers_may_be_written_with_a_fraction_of_nothing() {
    for whole in [json!(1), json!(-1), json!(1.0), json!(1e3), json!(i64::MAX)] {
        assert!(ValueType::Integer.fits(&whole), "{whole}");
    }
    for other in [json!(1.5), json!(u64::MAX), json!(1e300), json!("1"), json!(null), json!(true)] {
        assert!(!ValueType::Integer.fits(&other), "{other}");
    }
    assert!(ValueType::Number.fits(&json!(1)) && ValueType::Number.fits(&json!(1.5)));
    assert!(!ValueType::String.fits(&json!(1)) && !ValueType::Object.fits(&json!([])));
}

#[test]
fn times_do_not_overflow() {
    assert_eq!(later(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
    assert_eq!(later(dawn(), Duration::MAX), Timestamp::MAX);
    let soon = later(dawn(), Duration::from_secs(5));
    assert_eq!((between(dawn(), soon), between(soon, dawn())), (Duration::from_secs(5), Duration::ZERO));
}

#[test]
fn workflow_ids_read_back() {
    let id = WorkflowId::new("data", "etl", "0123");
    assert_eq!(WorkflowId::parse(id.as_str()), Ok(id));
    for text in ["", "a/b", "a@b", "/b@c", "a/@c", "a/b@"] {
        assert!(WorkflowId::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_id_tells_whether_an_object_has_it() {
    let id = |text: &str| text.parse::<RunId>().expect("an id").is_of_an_object();
    assert!(id("0b5b5f8e-9f0e-4b8e-8d38-6f0e4b5f8e9f"));
    assert!(!id("0198f3a0-7c3a-7d10-9a52-1f2e3d4c5b6a"), "version 7 is of Relay itself");
    assert!(!id("4") && !id("0b5b5f8e-9f0e-4b8e-8d38") && !id("0b5b5f8e9f0e4b8e8d386f0e4b5f8e9f"));
}
