//! Live objects, as the API server gives them: the words of `relay run` without a place in a file.

use std::time::Duration;

use proptest::prelude::*;
use relay::crd::run::DesiredState;
use relay::crd::{Findings, RunObject, params_of, pool_of, revision, run_of, workflow_of};
use serde_json::{Map, Value, json};

use super::{COMPLETE, read};

fn lines(findings: Findings) -> Vec<String> {
    assert!(findings.list.iter().all(|f| f.line == 0 && f.column == 0 && f.file.is_empty()));
    findings.list.iter().map(ToString::to_string).collect()
}

/// An object as a server keeps it, with everything around the spec that is none of ours.
fn live(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "relay.works/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name, "namespace": "data", "uid": "0b5b5f8e-9f0e-4b8e-8d38-6f0e4b5f8e9f", "generation": 3,
            "resourceVersion": "41", "creationTimestamp": "2026-11-20T08:00:00Z", "selfLink": "",
            "finalizers": ["foregroundDeletion"], "ownerReferences": [{"kind": "X", "uid": "x"}],
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            "labels": {"app.kubernetes.io/part-of": "x", "UPPER": "", "long": "l".repeat(500)},
            "annotations": {"approval.relay.works/publish": "approved", "a\u{0}b": "\u{7}", "size": "x".repeat(9999)},
            "somethingNew": {"in": "Kubernetes 2"},
        },
        "spec": spec,
        "status": {"conditions": [{"type": "Ready"}], "anything": [1, null]},
    })
}

fn document(number: usize) -> Value {
    let documents = serde_saphyr::from_multiple::<Value>(COMPLETE).expect("YAML");
    documents[number]["spec"].clone()
}

fn workflow() -> Value {
    live("Workflow", "nightly-etl", &document(0))
}

fn run(params: &Value) -> RunObject {
    let spec = json!({"workflowRef": {"name": "nightly-etl"}, "params": params});
    run_of(&live("Run", "nightly-etl-x2x4z", &spec)).expect("valid")
}

#[test]
fn a_live_workflow_is_the_revision_that_its_file_is() {
    let of_file = read(COMPLETE).expect("valid").workflows.remove(0);
    let of_server = workflow_of(&workflow()).expect("valid");
    assert_eq!(of_server.workflow.id, of_file.workflow.id);
    assert_eq!(of_server.labels["UPPER"], "");
    let revision = revision(&of_server);
    assert_eq!(revision.definition, document(0));
    let tasks: Vec<_> = revision.tasks.iter().map(|t| (t.name.as_str(), t.requires_approval)).collect();
    assert_eq!(tasks, [("extract", false), ("check", false), ("publish", true), ("notify", false)]);
    for task in &revision.tasks {
        assert_eq!(task.config["name"], task.name, "a row holds its own task");
    }
    assert_eq!(revision.tasks[2].depends_on, ["check"]);
}

#[test]
fn a_wrong_workflow_is_told_in_the_words_of_a_file() {
    let mut spec = document(0);
    spec["tasks"][1]["dependsOn"] = json!(["extrat"]);
    spec["tasks"][2]["comand"] = json!(["x"]);
    spec["tasks"][0]["timeout"] = json!("10 minutes");
    let findings = workflow_of(&live("Workflow", "w", &spec)).expect_err("refused");
    assert_eq!(
        lines(findings),
        [
            "spec.tasks[0].timeout: \"10 minutes\" is no duration; write it as Go does: 500ms, 10s, 5m, 1h30m (no days: 24h)",
            "spec.tasks[1].dependsOn[0]: unknown task \"extrat\"; did you mean \"extract\"?",
            "spec.tasks[2].comand: unknown field \"comand\"; did you mean \"command\"?",
        ]
    );
}

#[test]
fn what_has_no_lines_is_told_by_its_path() {
    let spec = json!({"tasks": [{"name": "a"}, {"name": "b"}], "finally": [{"name": "b"}]});
    assert_eq!(
        lines(workflow_of(&live("Workflow", "w", &spec)).expect_err("refused")),
        [
            "spec.finally[0].name: a second task called \"b\", the first is spec.tasks[1].name; names are unique over tasks and finally: rename one"
        ]
    );
}

#[test]
fn findings_of_many_tasks_come_in_their_order() {
    let tasks: Vec<Value> = (0..12).map(|n| json!({"name": format!("t{n}"), "when": "1 +"})).collect();
    let findings = workflow_of(&live("Workflow", "w", &json!({"tasks": tasks}))).expect_err("refused");
    let paths: Vec<&str> = findings.list.iter().map(|finding| finding.path.as_str()).collect();
    let expected: Vec<String> = (0..12).map(|n| format!("spec.tasks[{n}].when")).collect();
    assert_eq!(paths, expected);
}

#[test]
fn a_live_run_tells_what_its_user_wants() {
    let found = run(&json!({"date": "2026-11-20"}));
    assert_eq!((found.namespace.as_str(), found.name.as_str()), ("data", "nightly-etl-x2x4z"));
    assert_eq!(found.uid.as_deref(), Some("0b5b5f8e-9f0e-4b8e-8d38-6f0e4b5f8e9f"));
    assert_eq!((found.workflow.as_str(), found.desired), ("nightly-etl", DesiredState::Running));
    for state in ["Running", "Paused", "Cancelled", "CancelledRunFinally"] {
        let spec = json!({"workflowRef": {"name": "w"}, "desiredState": state});
        assert_eq!(run_of(&live("Run", "r", &spec)).expect("valid").desired.as_str(), state);
    }
    let spec = json!({"workflowRef": {"nam": "w"}, "desiredState": "Stopped"});
    assert_eq!(
        lines(run_of(&live("Run", "r", &spec)).expect_err("refused")),
        [
            "spec.desiredState: \"Stopped\" is not known here: it must be Running, Paused, Cancelled or CancelledRunFinally",
            "spec.workflowRef.name: this field is required; add name: the Workflow's name",
            "spec.workflowRef.nam: unknown field \"nam\"; did you mean \"name\"?",
        ]
    );
}

#[test]
fn params_of_a_live_run_are_completed_or_refused() {
    let workflow = workflow_of(&workflow()).expect("valid");
    let values = params_of(&run(&json!({"date": "2026-11-20"})), &workflow).expect("they fit");
    assert_eq!(json!(values), json!({"date": "2026-11-20", "regions": ["eu", "us"]}));
    let findings = params_of(&run(&json!({"regions": "eu", "dat": "x"})), &workflow).expect_err("refused");
    assert_eq!(
        lines(findings),
        [
            "spec.params.date: param \"date\" has no value and no default (text); give it in spec.params of a new Run",
            "spec.params.dat: unknown param \"dat\"; did you mean \"date\"?",
            "spec.params.regions: a list is expected for \"regions\", not the text \"eu\"",
        ]
    );
}

#[test]
fn a_live_pool_has_its_defaults() {
    let pool = |spec: Value| pool_of(&live("WorkerPool", "default", &spec));
    let found = pool(json!({"image": "registry.example/etl:1"})).expect("valid");
    assert_eq!((found.namespace.as_str(), found.name.as_str()), ("data", "default"));
    let spec = found.spec;
    assert_eq!(
        (spec.slots_per_worker, spec.min_replicas, spec.max_replicas, spec.replicas),
        (4, 0, 10, None)
    );
    assert_eq!(spec.scale_down_delay, Duration::from_secs(60));
    assert!(spec.template.metadata.is_none() && spec.template.spec.is_none());

    let all = json!({
        "image": "x", "slotsPerWorker": 1, "minReplicas": 2, "maxReplicas": 2, "replicas": 0, "scaleDownDelay": "0s",
        "template": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"nodeSelector": {"e": "f"}}},
    });
    let spec = pool(all.clone()).expect("valid").spec;
    assert_eq!((spec.min_replicas, spec.max_replicas, spec.replicas), (2, 2, Some(0)));
    assert_eq!(spec.scale_down_delay, Duration::ZERO);
    assert_eq!(serde_json::to_value(&spec.template).expect("JSON"), all["template"]);
}

#[test]
fn a_pool_that_makes_no_sense_is_refused() {
    let pool =
        |name: &str, spec: Value| lines(pool_of(&live("WorkerPool", name, &spec)).expect_err("refused"));
    assert_eq!(
        pool(
            "p",
            json!({"image": "x", "minReplicas": 11, "slotsPerWorker": 0, "replicas": 1001, "scaleDownDelay": 60})
        ),
        [
            "spec.minReplicas: 11 is more than maxReplicas, which is 10 when absent; set maxReplicas to 11 or more",
            "spec.replicas: 1001 is too large; 1000 is the most",
            "spec.scaleDownDelay: a duration is expected, not the number 60; write 60s for 60 seconds",
            "spec.slotsPerWorker: 0 is too small; 1 is the least",
        ]
    );
    let missing = "spec.image: this field is required; add image: the image whose programs tasks run";
    assert_eq!(pool("p", json!({})), [missing]);
    assert_eq!(
        pool("p", json!({"image": "x", "minReplicas": 3, "maxReplicas": 2, "scaleDownDelay": "9000h"})),
        [
            "spec.minReplicas: 3 is more than maxReplicas, 2; set maxReplicas to 3 or more",
            "spec.scaleDownDelay: 9000h is too long; 8760h is the most",
        ]
    );
    assert_eq!(
        pool("a.b", json!({"image": "x", "secrets": [], "template": {"spec": 5, "metdata": {}}})),
        [
            "metadata.name: \"a.b\" does not fit: lower-case letters, digits and -, from and to a letter or digit; for example \"a-b\"",
            "spec.secrets: secrets is not supported yet; remove it",
            "spec.template.metdata: unknown field \"metdata\"; did you mean \"metadata\"?",
            "spec.template.spec: an object is expected, not the number 5",
        ]
    );
}

#[test]
fn a_name_that_only_a_cluster_allows_is_told() {
    let name = "n".repeat(253);
    let findings = run_of(&live("Run", &name, &json!({"workflowRef": {"name": "w"}}))).expect_err("refused");
    assert_eq!(lines(findings), ["metadata.name: 253 characters, and 63 are allowed; shorten it"]);
}

/// `[[[...]]]`
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn depth_is_bounded_before_anything_goes_down() {
    let deep = nested(1_000);
    let mut spec = json!({"workflowRef": {"name": "w"}, "params": {"date": deep}});
    let findings = run_of(&live("Run", "r", &spec)).expect_err("refused");
    assert_eq!(lines(findings), ["spec: nested deeper than 100 levels; make it flatter"]);
    spec["params"] = json!({});
    let mut object = live("Run", "r", &spec);
    object["metadata"]["name"] = nested(1_000);
    let findings = run_of(&object).expect_err("refused");
    assert_eq!(lines(findings), ["metadata.name: nested deeper than 100 levels; make it flatter"]);

    let workflow = workflow_of(&workflow()).expect("valid");
    let mut run = run(&json!({"date": "2026-11-20"}));
    run.params.insert("regions".to_string(), nested(1_000));
    let findings = params_of(&run, &workflow).expect_err("refused");
    assert_eq!(lines(findings), ["spec.params.regions: nested deeper than 100 levels; make it flatter"]);
}

#[test]
fn a_huge_object_is_answered() {
    let tasks: Vec<Value> =
        (0..2_000).map(|n| json!({"name": format!("t{n}"), "script": "x".repeat(700)})).collect();
    let object = live("Workflow", "w", &json!({"tasks": tasks}));
    assert_eq!(workflow_of(&object).expect("valid").workflow.tasks.len(), 2_000);
    let strangers: Map<String, Value> = (0..100_000).map(|n| (format!("field{n}"), json!(n))).collect();
    let findings = workflow_of(&live("Workflow", "w", &Value::Object(strangers))).expect_err("refused");
    assert_eq!(findings.list.len(), 100);
    let wrong: Vec<Value> = (0..100_000).map(|n| json!({"name": n})).collect();
    let findings = workflow_of(&live("Workflow", "w", &json!({"tasks": wrong}))).expect_err("refused");
    assert!(findings.total() >= 100, "{}", findings.total());
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "metadata",
            "spec",
            "name",
            "namespace",
            "labels",
            "uid",
            "tasks",
            "params",
            "workflowRef",
            "image",
            "template",
            "finally",
            "env",
            "desiredState",
            "default",
            "enum",
            "kind",
            "status",
        ])
        .prop_map(str::to_string),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["$(params.x)", "tasks.a", "10s", "a", "9999999999999999h"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What holds of each answer, whatever was asked.
fn answered<T>(answer: Result<T, Findings>) {
    if let Err(findings) = answer {
        assert!(!findings.list.is_empty() && findings.list.len() <= 100);
        for finding in &findings.list {
            assert!(!finding.reason.is_empty());
            assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_json_gets_an_answer(whole in any_json(), spec in any_json(), metadata in any_json(), params in any_json()) {
        let workflow = workflow_of(&workflow()).expect("valid");
        let around = [whole, json!({"metadata": metadata, "spec": spec}), live("X", "x", &spec)];
        for object in &around {
            answered(workflow_of(object));
            answered(pool_of(object));
            answered(run_of(object).and_then(|run| params_of(&run, &workflow)));
        }
        let spec = json!({"workflowRef": {"name": "w"}, "params": params});
        answered(run_of(&live("Run", "r", &spec)).and_then(|run| params_of(&run, &workflow)));
    }
}
