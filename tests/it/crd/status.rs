//! What Relay writes into a status: within its bounds, whatever there is to say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relay::crd::definition::definition;
use relay::crd::schema::Kind;
use relay::crd::status::{
    Awaiting, Condition, ConditionStatus, Disregarded, Failed, Fitted, RunStatus, STATUS_BYTES_MAX,
    TaskCounts, WorkerPoolStatus, WorkflowStatus, shortened, status_of,
};
use relay::model::status::TaskStatus;
use serde_json::{Value, json};

fn condition(text: &str) -> Condition {
    Condition {
        kind: "Ready".to_string(),
        status: ConditionStatus::False,
        observed_generation: Some(4),
        last_transition_time: "2026-11-20T08:00:00Z".parse().expect("a time"),
        reason: "Invalid".to_string(),
        message: text.to_string(),
    }
}

/// A status with this text in every place and so many elements in every list.
fn full(text: &str, listed: usize, outputs: Value) -> RunStatus {
    let time = Some("2026-11-20T08:00:00.123456Z".parse().expect("a time"));
    let word = Some(text.to_string());
    let asking = Awaiting {
        task: text.to_string(),
        asking: 1,
        message: word.clone(),
        required: 2,
        approved_by: vec![text.to_string(); listed],
        since: time,
        until: time,
        command: word.clone(),
    };
    let failed = Failed {
        task: text.to_string(),
        item: Some(7),
        attempts: 3,
        reason: word.clone(),
        exit_code: Some(-1),
        message: word.clone(),
    };
    let disregarded =
        Disregarded { task: text.to_string(), value: text.to_string(), reason: text.to_string() };
    RunStatus {
        observed_generation: Some(i64::MAX),
        position: Some(i64::MAX),
        revision: word.clone(),
        state: word.clone(),
        message: word.clone(),
        desired: word,
        started_at: time,
        finished_at: time,
        tasks: Some(TaskCounts::from(&BTreeMap::from([
            (TaskStatus::Running, u32::MAX),
            (TaskStatus::Failed, 7),
        ]))),
        awaiting: vec![asking; listed],
        more_awaiting: None,
        failures: vec![failed; listed],
        more_failures: Some(2),
        outputs: outputs.as_object().cloned(),
        outputs_note: None,
        disregarded: vec![disregarded; listed],
        conditions: vec![condition(text); listed],
    }
}

fn written(status: &RunStatus) -> String {
    serde_json::to_string(status).expect("JSON")
}

#[test]
fn a_small_status_stays_as_it_is_and_reads_back() {
    let status = full("a short text", 3, json!({"rows": 5}));
    assert_eq!(status.clone().fitted(), status);
    let object = json!({"metadata": {}, "status": serde_json::to_value(&status).expect("JSON")});
    assert_eq!(status_of::<RunStatus>(&object), status);
}

#[test]
fn a_status_that_cannot_be_read_counts_as_none() {
    for object in [json!({}), json!({"status": 5}), json!({"status": {"tasks": "many"}}), json!([])] {
        assert_eq!(status_of::<RunStatus>(&object), RunStatus::default());
    }
    let newer = json!({"status": {"position": 5, "fieldOfTomorrow": {}}});
    assert_eq!(status_of::<RunStatus>(&newer).position, Some(5));
}

#[test]
fn what_is_absent_is_not_written() {
    assert_eq!(written(&RunStatus::default()), "{}");
    let status = WorkerPoolStatus { replicas: Some(0), ..Default::default() };
    assert_eq!(serde_json::to_value(&status).expect("JSON"), json!({"replicas": 0}));
}

#[test]
fn long_lists_are_counted_and_long_texts_marked() {
    let status = full("é", 50, json!({})).fitted();
    assert_eq!((status.awaiting.len(), status.more_awaiting), (20, Some(30)));
    assert_eq!((status.failures.len(), status.more_failures), (20, Some(32)));
    let status = full(&"é".repeat(5_000), 1, json!({})).fitted();
    let message = status.failures[0].message.as_deref().expect("a message");
    assert!(message.ends_with("é…"), "{message}");
    assert_eq!(shortened("abc", 3), "abc");
    assert_eq!(shortened("abcd", 3), "ab…");
}

#[test]
fn large_outputs_are_left_out_and_that_is_said() {
    let status = full("x", 1, json!({"all": "y".repeat(20_000)})).fitted();
    assert_eq!(status.outputs, None);
    assert_eq!(
        status.outputs_note.as_deref(),
        Some("the outputs have 20010 bytes; 16384 bytes and 256 fields are shown at most")
    );
}

#[test]
fn tasks_are_counted_by_status() {
    let counts = BTreeMap::from([
        (TaskStatus::Success, 2),
        (TaskStatus::UpstreamFailed, 1),
        (TaskStatus::Retrying, 1),
        (TaskStatus::Blocked, 0),
    ]);
    assert_eq!(
        serde_json::to_value(TaskCounts::from(&counts)).expect("JSON"),
        json!({"total": 4, "done": 3, "progress": "3/4", "succeeded": 2, "upstreamFailed": 1, "retrying": 1})
    );
}

#[test]
fn other_statuses_are_bounded_too() {
    let text = "z".repeat(10_000);
    let workflow = WorkflowStatus {
        revision: Some(text.clone()),
        conditions: vec![condition(&text); 30],
        ..Default::default()
    };
    let workflow = workflow.fitted();
    assert_eq!((workflow.conditions.len(), workflow.conditions[0].message.chars().count()), (8, 4096));
    let pool = WorkerPoolStatus {
        selector: Some(text.clone()),
        conditions: vec![condition(&text)],
        ..Default::default()
    };
    assert_eq!(pool.fitted().selector.map(|selector| selector.len()), Some(255 + "…".len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Control characters take six bytes in JSON, others up to four.
    #[test]
    fn a_runs_status_stays_small(sign in any::<char>(), length in 0_usize..6_000, listed in 0_usize..60, outputs in 0_usize..30_000) {
        let status = full(&sign.to_string().repeat(length), listed, json!({"all": "y".repeat(outputs)}));
        let fitted = status.fitted();
        prop_assert!(written(&fitted).len() <= STATUS_BYTES_MAX);
        // What the API server refuses would be written again and again.
        let schema = &definition(Kind::Run)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let validator = jsonschema::validator_for(schema).expect("a schema");
        let json = serde_json::to_value(&fitted).expect("JSON");
        let refused: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        prop_assert!(refused.is_empty(), "{:?}", refused);
        prop_assert_eq!(fitted.clone().fitted(), fitted);
    }
}
