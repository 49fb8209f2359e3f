//! What a worker is given: argv, environment, `$RELAY_INPUT`.

use std::{collections::BTreeMap, sync::Arc};

use relay::{
    engine::{Event, Run},
    model::{
        ids::TaskKey,
        job::{Job, Outcome, Program},
        task::{Action, Task},
        workflow::Workflow,
    },
};
use serde_json::json;

use crate::support::{dawn, run_row, workflow};

fn begin(flow: Arc<Workflow>) -> Run {
    let row = run_row(&flow);
    Run::begin(flow, row, dawn()).expect("it begins").0
}

fn job(run: &mut Run, key: TaskKey) -> Job {
    run.apply(Event::Dispatched(key), dawn()).expect("it was offered");
    run.job(key).expect("it has a process")
}

fn succeed(run: &mut Run, key: TaskKey, name: &str, value: serde_json::Value) {
    let outcome = Outcome::Success { outputs: BTreeMap::from([(name.to_owned(), value)]) };
    let attempt = run.task_run(key).map_or(0, |r| r.attempt);
    run.apply(Event::Ended { key, attempt, worker: "w".to_owned(), outcome }, dawn()).expect("it runs");
}

#[test]
fn a_job_carries_what_its_expressions_came_to() {
    let mut run = begin(workflow("a(env=$(params.n)/$(run.name)/$$(kept) pool=big)"));
    let job = job(&mut run, TaskKey::of_task(0));
    assert_eq!(job.id.to_string(), "r-1.0.-.1#1");
    assert_eq!(job.pool, "ns/big");
    assert_eq!(job.program, Program::Command(vec!["run".to_owned()]));
    assert_eq!(job.env, [("E".to_owned(), "2/r/$(kept)".to_owned())]);
    assert_eq!(job.rank, dawn().as_millisecond());
}

#[test]
fn a_script_is_never_interpolated() {
    let text = "echo $(date) $(params.n)";
    let flow = workflow("a");
    let script = |task: &Task| Task { action: Action::Script(text.into()), ..task.clone() };
    let flow = Workflow { tasks: flow.tasks.iter().map(script).collect(), ..flow.as_ref().clone() };
    let job = job(&mut begin(Arc::new(flow)), TaskKey::of_task(0));
    assert_eq!(job.program, Program::Script(text.into()));
}

#[test]
fn the_input_document_has_the_direct_upstreams_alone() {
    let (a, b, c) = (TaskKey::of_task(0), TaskKey::of_task(1), TaskKey::of_task(2));
    let mut run = begin(workflow("a -> b-x -> c"));
    job(&mut run, a);
    succeed(&mut run, a, "rows", json!(3));
    job(&mut run, b);
    succeed(&mut run, b, "ok", json!(true));
    let document = json!({
        "params": {"n": 2, "list": ["eu", "us"]},
        "run": {"id": "r-1", "name": "r", "namespace": "ns", "workflow": "w", "status": "RUNNING"},
        "item": null,
        "index": null,
        "tasks": {"b-x": {"status": "SUCCESS", "outputs": {"ok": true}}},
    });
    assert_eq!(file(&job(&mut run, c)), document);
}

/// What the task finds in `$RELAY_INPUT`.
fn file(job: &Job) -> serde_json::Value {
    serde_json::from_slice(&job.input_file().expect("it can be written")).expect("JSON")
}

#[test]
fn an_item_finds_its_element_and_the_outputs_of_a_for_each_are_a_list() {
    let (e, b) = (TaskKey::of_task(0), TaskKey::of_task(1));
    let mut run = begin(workflow("e(for=params.list env=$(x)-$(index) continue) -> b"));
    assert_eq!(run.job(e), None, "a group has no process");
    let first = job(&mut run, e.with_item(0));
    assert_eq!((&file(&first)["item"], &file(&first)["index"]), (&json!("eu"), &json!(0)));
    let second = job(&mut run, e.with_item(1));
    assert!(std::ptr::eq(first.input.raw(), second.input.raw()), "items share what does not differ");
    assert_eq!(second.env, [("E".to_owned(), "us-1".to_owned())]);
    assert_eq!(second.id.to_string(), "r-1.0.1.1#1");
    succeed(&mut run, e.with_item(1), "rows", json!(7));
    let attempt = 1;
    for _ in 0..4 {
        let attempt = run.task_run(e.with_item(0)).map_or(attempt, |r| r.attempt);
        run.apply(Event::Lost { key: e.with_item(0), attempt }, dawn()).expect("it was running");
        let _ = run.apply(Event::Dispatched(e.with_item(0)), dawn());
    }
    let document = file(&job(&mut run, b));
    assert_eq!(document["tasks"], json!({"e": {"status": "FAILED", "outputs": [null, {"rows": 7}]}}));
}

#[test]
fn finally_is_told_how_the_run_will_end() {
    let (a, n) = (TaskKey::of_task(0), TaskKey::of_task(1));
    let mut run = begin(workflow("a; n(finally env=$(run.status))"));
    job(&mut run, a);
    let failed = Event::Cancel { finally: true };
    run.apply(failed, dawn()).expect("it runs");
    run.apply(Event::Removed { key: a, attempt: 1 }, dawn()).expect("it is queued");
    let job = job(&mut run, n);
    assert_eq!(job.env, [("E".to_owned(), "CANCELLED".to_owned())]);
    assert_eq!(file(&job)["run"]["status"], json!("CANCELLED"));
}

#[test]
fn an_error_text_is_bounded() {
    let a = TaskKey::of_task(0);
    let mut run = begin(workflow("a"));
    job(&mut run, a);
    let kind = relay::model::task::FailureKind::Error;
    let outcome =
        Outcome::Failed { kind, output_invalid: false, exit_code: None, message: "é".repeat(5_000) };
    run.apply(Event::Ended { key: a, attempt: 1, worker: "w".to_owned(), outcome }, dawn()).expect("it runs");
    let kept = run.task_run(a).and_then(|r| r.error.clone()).expect("it failed");
    assert_eq!(kept.chars().count(), relay::engine::ERROR_CHARS + 2);
    assert!(kept.ends_with("é …"), "what is cut says so");
}
