//! What the operator decides, without a cluster: acceptance, wishes, approvals, statuses, Events, the order of writes.

mod accept;
mod approvals;
mod desire;
mod desk;
mod events;
mod fresh;
mod patch;
mod pools;
mod pulse;
mod status;
mod waiting;
mod work;

use jiff::Timestamp;
use relay::model::ids::{RunId, WorkflowId};
use relay::model::run::RunRow;
use relay::model::view::RunView;
use relay::operator::api::{Object, ObjectName, Raw};
use serde_json::{Value, json};

/// So many seconds after every test's beginning.
pub fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time in 2027")
}

pub fn run_id() -> RunId {
    "0b5b5f8e-9f0e-4b8e-8d38-6f0e4b5f8e9f".parse().expect("an id")
}

pub fn name() -> ObjectName {
    ObjectName::new("data", "nightly")
}

/// A Run as the API server tells of it.
pub fn run_object(spec: Value, status: Value) -> Object {
    object("Run", spec, status)
}

pub fn object(kind: &str, spec: Value, status: Value) -> Object {
    let whole = json!({
        "apiVersion": "relay.works/v1alpha1", "kind": kind,
        "metadata": {
            "name": "nightly", "namespace": "data", "uid": run_id().as_str(), "generation": 3, "resourceVersion": "41",
            "managedFields": [{"manager": "kubectl"}], "annotations": {"a": "b"}, "labels": {"team": "x"},
        },
        "spec": spec, "status": status,
    });
    of_text(&whole.to_string())
}

pub fn of_text(text: &str) -> Object {
    Object::of(serde_json::from_str::<Raw>(text).expect("an object")).expect("a name and a uid")
}

/// A run that has just begun.
pub fn a_view() -> RunView {
    let workflow = WorkflowId::new("data", "etl", "0123456789abcdef");
    let row = RunRow::new(run_id(), workflow, "data".to_owned(), "nightly".to_owned(), second(0));
    RunView::bare(row, 7)
}
