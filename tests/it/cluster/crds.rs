//! The definitions in a real API server: what it takes, what it refuses and in which words, what kubectl shows.

use std::collections::BTreeMap;
use std::process::Command;

use relay::crd::status::{Awaiting, RunStatus, TaskCounts};
use relay::crd::{Overrides, load, run_of, workflow_of};
use relay::model::status::TaskStatus;
use serde_json::Value;

use super::kubectl::{well, with_input};
use super::runs::control::{Control, control};
use crate::support::{read, repository};

fn kubectl(server: &Control, arguments: &[&str]) -> Command {
    let mut command = server.kubectl();
    command.args(arguments);
    command
}

/// Its output, when it ended well.
#[track_caller]
fn run(server: &Control, arguments: &[&str]) -> String {
    well(kubectl(server, arguments).output().expect("kubectl starts"))
}

/// Makes what manifests say.
#[track_caller]
fn create(server: &Control, manifests: &str) {
    well(with_input(&mut kubectl(server, &["create", "-f", "-"]), manifests));
}

/// What the server would keep of some manifests.
#[track_caller]
fn kept(server: &Control, manifests: &str) -> Vec<Value> {
    let arguments = ["create", "--dry-run=server", "--show-managed-fields", "-o", "json", "-f", "-"];
    let text = well(with_input(&mut kubectl(server, &arguments), manifests));
    serde_json::Deserializer::from_str(&text).into_iter().map(|object| object.expect("JSON")).collect()
}

/// What the server says of manifests that it refuses, each by itself.
#[track_caller]
fn refusals(server: &Control, manifests: &str) -> String {
    let output = with_input(&mut kubectl(server, &["create", "--dry-run=server", "-f", "-"]), manifests);
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "this was taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// kubectl reads YAML by other rules than Relay does: what it makes of an example must be the same.
#[test]
fn each_example_is_kept_as_relay_reads_it() {
    let (server, _turn) = control();
    for entry in std::fs::read_dir(repository("examples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        let text = read(&format!("examples/{name}"));
        let flags = Overrides::read(&["date=2026-11-20".to_string()], None).expect("a flag");
        let here = load(name, text.as_bytes(), &flags)
            .or_else(|_| load(name, text.as_bytes(), &Overrides::default()));
        let here = here.unwrap_or_else(|findings| panic!("{findings}"));
        let there = kept(server, &text);
        let of = |kind: &str| there.iter().filter(|o| o["kind"] == kind).cloned().collect::<Vec<_>>();
        for (object, manifest) in of("Workflow").iter().zip(&here.workflows) {
            let live = workflow_of(object).unwrap_or_else(|findings| panic!("{name}: {findings}"));
            assert_eq!(live.spec, manifest.spec, "{name}");
        }
        assert_eq!(of("Workflow").len(), here.workflows.len(), "{name}");
        for (object, manifest) in of("Run").iter().zip(&here.runs) {
            let live = run_of(object).unwrap_or_else(|findings| panic!("{name}: {findings}"));
            for (param, value) in &live.params {
                assert_eq!(manifest.params[param], *value, "{name}: {param}");
            }
        }
        assert_eq!((of("Run").len(), of("WorkerPool").len()), (here.runs.len(), here.pools.len()), "{name}");
    }
}

/// Names of Workflows, their specs, and what is said of them.
const WRONG_WORKFLOWS: [(&str, &str, &str); 22] = [
    ("empty", "{}", "spec.tasks: Required value"),
    ("none", "{tasks: []}", "spec.tasks: Invalid value: 0: spec.tasks in body should have at least 1 items"),
    (
        "misspelt",
        "{tasks: [{name: a, comand: [b]}]}",
        "strict decoding error: unknown field \"spec.tasks[0].comand\"",
    ),
    (
        "both",
        "{tasks: [{name: a, command: [b], script: c}]}",
        "spec.tasks[0].script: Forbidden: a task has one of command and script, not both: keep one of the two",
    ),
    (
        "idle",
        "{tasks: [{name: a, env: [{name: B, value: c}]}]}",
        "spec.tasks[0].command: Required value: env, outputs, retry, timeout and onWorkerLost have no effect on a task that runs nothing: add command or script, or remove them",
    ),
    (
        "idle2",
        "{tasks: [{name: a}], finally: [{name: b, timeout: 5s}]}",
        "spec.finally[0].command: Required value: env, outputs, retry, timeout and onWorkerLost",
    ),
    (
        "itself",
        "{tasks: [{name: a, dependsOn: [a]}]}",
        "spec.tasks[0].dependsOn: Invalid value: a task cannot depend on itself: remove it",
    ),
    (
        "twice",
        "{tasks: [{name: a}, {name: b}, {name: a}]}",
        "spec.tasks[2]: Duplicate value: {\"name\":\"a\"}",
    ),
    (
        "edges",
        "{tasks: [{name: a}, {name: b, dependsOn: [a, a]}]}",
        "spec.tasks[1].dependsOn[1]: Duplicate value: \"a\"",
    ),
    (
        "across",
        "{tasks: [{name: a}], finally: [{name: b}, {name: a}]}",
        "spec.finally: Invalid value: names are unique over tasks and finally: rename one of the two tasks",
    ),
    (
        "params",
        "{params: [{name: a}, {name: a}], tasks: [{name: a}]}",
        "spec.params[1]: Duplicate value: {\"name\":\"a\"}",
    ),
    (
        "mine",
        "{tasks: [{name: a, script: b, env: [{name: RELAY_X, value: c}]}]}",
        "spec.tasks[0].env[0].name: Forbidden: names with RELAY_ are set by the worker: choose another name",
    ),
    (
        "doubled",
        "{tasks: [{name: a, script: b, env: [{name: C, value: d}, {name: C, value: e}]}]}",
        "spec.tasks[0].env[1]: Duplicate value: {\"name\":\"C\"}",
    ),
    (
        "nobody",
        "{tasks: [{name: a, approval: {required: 21}}]}",
        "spec.tasks[0].approval.required in body should be less than or equal to 20",
    ),
    (
        "forever",
        "{tasks: [{name: a, approval: {onTimeout: Skip}}]}",
        "spec.tasks[0].approval.onTimeout: Forbidden: onTimeout has no effect without timeout: add timeout: 24h",
    ),
    (
        "taken",
        "{tasks: [{name: a, forEach: {from: '[1]', as: params}}]}",
        "spec.tasks[0].forEach.as: Invalid value: \"params\": this name means something else in expressions: choose another name",
    ),
    (
        "reserved",
        "{tasks: [{name: in}]}",
        "spec.tasks[0].name: Invalid value: \"in\": CEL keeps this word for itself: choose another name",
    ),
    (
        "pattern",
        "{params: [{name: a, type: array, pattern: b}], tasks: [{name: a}]}",
        "spec.params[0].pattern: Forbidden: a pattern has no meaning for another type than string: remove it, or make the type string",
    ),
    (
        "nothing",
        "{timeouts: {run: 0s}, tasks: [{name: a}]}",
        "spec.timeouts.run: Invalid value: \"0s\": write a duration such as 30s, 10m or 1h30m, of 8760h (a year) at most: leave it out for no bound",
    ),
    (
        "words",
        "{tasks: [{name: a, script: b, timeout: 10 minutes}]}",
        "write a duration such as 30s, 10m or 1h30m",
    ),
    (
        "waits",
        "{tasks: [{name: a, script: b, retry: {limit: 1, delay: 10m, maxDelay: 1m}}]}",
        "spec.tasks[0].retry.maxDelay: Invalid value: maxDelay is shorter than delay: make maxDelay the longer one",
    ),
    (
        "codes",
        "{defaults: {retry: {limit: 1, onlyOn: [Error], exitCodes: [1]}}, tasks: [{name: a}]}",
        "spec.defaults.retry.exitCodes: Forbidden: exitCodes has no effect: onlyOn does not name ExitCode: add it to onlyOn",
    ),
];

/// kubectl words the only error of a file in another way: at least two cases.
#[track_caller]
fn refused(server: &Control, kind: &str, cases: &[(&str, &str, &str)]) {
    let manifest = |(name, spec, _): &(&str, &str, &str)| {
        format!(
            "---\napiVersion: relay.works/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let said = refusals(server, &cases.iter().map(manifest).collect::<String>());
    let lines: Vec<&str> = said.split("Error from server").skip(1).collect();
    assert_eq!(lines.len(), cases.len(), "{said}");
    for (line, (name, _, expected)) in lines.iter().zip(cases) {
        assert!(line.contains(expected), "{name}: {line}");
    }
}

#[test]
fn a_wrong_workflow_is_refused_at_apply() {
    let (server, _turn) = control();
    refused(server, "Workflow", &WRONG_WORKFLOWS);
    let task = |list: &str, n: usize| format!("{{name: {list}{n}}}");
    let many = |list: &str, n: usize| (0..n).map(|n| task(list, n)).collect::<Vec<_>>().join(", ");
    let spec = format!("{{tasks: [{}], finally: [{}]}}", many("a", 1_990), many("b", 11));
    let too_many = "spec.tasks: Invalid value: 2000 tasks are allowed, finally tasks among them: use forEach for what repeats";
    let name = "n".repeat(64);
    let too_long = "metadata.name: Invalid value: the name may have 63 characters: shorten it";
    let cases = [("many", spec.as_str(), too_many), (&name, "{tasks: [{name: a}]}", too_long)];
    refused(server, "Workflow", &cases);
}

#[test]
fn a_wrong_pool_and_a_wrong_run_are_refused_at_apply() {
    let (server, _turn) = control();
    refused(
        server,
        "WorkerPool",
        &[
            ("a", "{}", "spec.image: Required value"),
            (
                "a.b",
                "{image: c}",
                "metadata.name: Invalid value: the name may have 57 lower-case letters, digits and -",
            ),
            (
                "c",
                "{image: d, minReplicas: 11}",
                "spec.minReplicas: Invalid value: minReplicas is more than maxReplicas, which is 10 when absent: raise maxReplicas",
            ),
            (
                "d",
                "{image: e, minReplicas: 3, maxReplicas: 2}",
                "spec.minReplicas: Invalid value: minReplicas is more than maxReplicas",
            ),
            (
                "e",
                "{image: f, scaleDownDelay: 9000h}",
                "spec.scaleDownDelay: Invalid value: \"9000h\": write a duration such as 30s or 5m, of 8760h (a year) at most",
            ),
            ("f", "{image: g, replicas: 1001}", "spec.replicas in body should be less than or equal to 1000"),
            ("g", "{image: h, slots: 3}", "unknown field \"spec.slots\""),
        ],
    );
    refused(
        server,
        "Run",
        &[
            ("a", "{workflowRef: {}}", "spec.workflowRef.name: Required value"),
            (
                "b",
                "{workflowRef: {name: w}, desiredState: Stopped}",
                "spec.desiredState: Unsupported value: \"Stopped\"",
            ),
            ("c", "{workflowRef: {name: w}, parms: {}}", "unknown field \"spec.parms\""),
        ],
    );
}

#[test]
fn a_run_keeps_its_workflow_and_may_be_told_what_to_do() {
    let (server, _turn) = control();
    create(
        server,
        "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {name: r}\nspec: {workflowRef: {name: nobody}, params: {a: 1}}\n",
    );
    let patched = |patch: &str| {
        kubectl(server, &["patch", "run", "r", "--type=merge", "-p", patch]).output().expect("kubectl starts")
    };
    let output = patched(r#"{"spec": {"workflowRef": {"name": "other"}}}"#);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("spec.workflowRef.name: Forbidden: a Run keeps its Workflow for life: make a new Run of the other one"),
        "{said}"
    );
    well(patched(r#"{"spec": {"desiredState": "Cancelled"}}"#));
    // A tool that keeps Runs in Git may put the old word back.
    well(patched(r#"{"spec": {"desiredState": "Running"}}"#));
}

/// An object of each kind, and one Run more.
const ONE_OF_EACH: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: w}
spec: {tasks: [{name: a}]}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: r}
spec: {workflowRef: {name: nobody}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: s}
spec: {workflowRef: {name: other}}
---
apiVersion: relay.works/v1alpha1
kind: WorkerPool
metadata: {name: p}
spec: {image: 'busybox:1.36'}
";

#[test]
fn kubectl_knows_short_names_columns_and_what_fields_mean() {
    let (server, _turn) = control();
    create(server, ONE_OF_EACH);
    let status = |object: &str, status: Value| {
        let patch = serde_json::json!({"status": status}).to_string();
        run(server, &["patch", object, "--subresource=status", "--type=merge", "-p", &patch]);
    };
    let ready = serde_json::json!({
        "type": "Ready", "status": "False", "reason": "Invalid", "message": "m",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    });
    status("rwf/w", serde_json::json!({"conditions": [ready]}));
    let asks = |task: &str| Awaiting { task: task.to_string(), asking: 1, required: 1, ..Default::default() };
    let told = RunStatus {
        state: Some("AwaitingApproval".to_string()),
        tasks: Some(TaskCounts::from(&BTreeMap::from([(TaskStatus::Success, 2), (TaskStatus::Blocked, 1)]))),
        awaiting: vec![asks("publish"), asks("later")],
        ..RunStatus::default()
    };
    status("rr/r", serde_json::to_value(told).expect("JSON"));
    status("rwp/p", serde_json::json!({"readyReplicas": 2, "running": 7, "queued": 3, "selector": "a=b"}));
    let columns = |arguments: &[&str]| {
        let table = run(server, &[&["get"], arguments].concat());
        let cells = |line: &str| {
            let cells = line.split("   ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.collect::<Vec<_>>().join("|")
        };
        table.lines().map(cells).collect::<Vec<_>>()
    };
    let table = columns(&["rwf"]);
    assert_eq!(table[0], "NAME|READY|REASON|AGE");
    assert!(table[1].starts_with("w|False|Invalid|"), "{table:?}");
    let table = columns(&["rr", "--field-selector", "status.state=AwaitingApproval"]);
    assert_eq!(table[0], "NAME|WORKFLOW|STATUS|TASKS|WAITING FOR|STARTED|FINISHED|AGE");
    assert!(table[1].starts_with("r|nobody|AwaitingApproval|2/3|publish|"), "{table:?}");
    let table = columns(&["rwp"]);
    assert_eq!(table[0], "NAME|READY|WORKERS|BUSY|QUEUED|IMAGE|AGE");
    assert!(table[1].starts_with("p|2|7|3|busybox:1.36|"), "{table:?}");
}

#[test]
fn kubectl_lists_all_kinds_selects_scales_and_explains() {
    let (server, _turn) = control();
    create(server, ONE_OF_EACH);
    let names = run(server, &["get", "relay", "-o", "name"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    let all =
        ["run.relay.works/r", "run.relay.works/s", "workerpool.relay.works/p", "workflow.relay.works/w"];
    assert_eq!(names, all);
    let of_other = ["get", "rr", "--field-selector", "spec.workflowRef.name=other", "-o", "name"];
    assert_eq!(run(server, &of_other), "run.relay.works/s\n");

    run(server, &["scale", "rwp/p", "--replicas=0"]);
    assert_eq!(run(server, &["get", "rwp/p", "-o", "jsonpath={.spec.replicas}"]), "0");

    let told = run(server, &["explain", "workflow.spec.tasks.retry.limit"]);
    assert!(told.contains("How many attempts are made after the first"), "{told}");
    let told = run(server, &["explain", "rwp.spec.slotsPerWorker"]);
    assert!(told.contains("4 when absent."), "{told}");
}

/// What a user puts into a free field is one field to whoever records owners, however deep it is.
#[test]
fn owners_of_free_values_are_recorded_as_a_whole() {
    let (server, _turn) = control();
    let deep = (0..90).fold("1".to_string(), |inner, _| format!("{{a: {inner}}}"));
    let manifests = format!(
        "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: r}}\nspec: {{workflowRef: {{name: w}}, params: {{x: {deep}}}}}\n---\n\
         apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: w}}\nspec: {{params: [{{name: x, type: object, default: {deep}}}], tasks: [{{name: a}}]}}\n---\n\
         apiVersion: relay.works/v1alpha1\nkind: WorkerPool\nmetadata: {{name: p}}\nspec: {{image: i, template: {{spec: {deep}}}}}\n"
    );
    let objects = kept(server, &manifests);
    let owned = |object: &Value, field: &str| {
        object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"].pointer(field).cloned()
    };
    let whole = Some(serde_json::json!({}));
    assert_eq!(owned(&objects[0], "/f:params"), whole);
    assert_eq!(owned(&objects[1], "/f:params/k:{\"name\":\"x\"}"), whole);
    assert_eq!(owned(&objects[2], "/f:template/f:spec"), whole);
}
