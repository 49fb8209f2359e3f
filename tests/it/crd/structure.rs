//! Manifests of the wrong shape: the schema's refusals in plain words.

use relay::crd::compile;
use relay::model::revision::Revision;

use super::{COMPLETE, findings, read, refused, tasks_refused, with_tasks};

#[test]
fn unknown_fields_are_named_with_what_was_meant() {
    tasks_refused(
        "- name: a\n  depends_on: []\n  retrry: {}\n  dependencies: []\n  withItems: []\n  image: x\n  args: [x]\n  zzz: 1",
        &[
            "8:7: spec.tasks[0].depends_on: unknown field \"depends_on\"; did you mean \"dependsOn\"?",
            "9:7: spec.tasks[0].retrry: unknown field \"retrry\"; did you mean \"retry\"?",
            "10:7: spec.tasks[0].dependencies: unknown field \"dependencies\"; use dependsOn",
            "11:7: spec.tasks[0].withItems: unknown field \"withItems\"; use forEach",
            "12:7: spec.tasks[0].image: unknown field \"image\"; tasks run on warm workers: the image is that of the WorkerPool",
            "13:7: spec.tasks[0].args: unknown field \"args\"; command is the whole argv: put the arguments there",
            "14:7: spec.tasks[0].zzz: unknown field \"zzz\"; known here: approval, command, dependsOn, env, forEach, name, onError, onWorkerLost, outputs, pool, retry, script, timeout, when",
        ],
    );
}

#[test]
fn a_field_that_kubectl_would_read_as_true_has_another_name() {
    tasks_refused(
        "- {name: a, script: x, retry: {limit: 1, on: [Error]}}",
        &["7:46: spec.tasks[0].retry.on: unknown field \"on\"; use onlyOn"],
    );
}

#[test]
fn fields_of_the_design_that_do_not_act_yet_are_not_accepted() {
    let text = with_tasks("- {name: a, triggerRule: AllDone, env: [{name: X, valueFrom: {}}], command: [x]}");
    refused(
        &text.replace("spec:\n", "spec:\n  schedules: []\n"),
        &[
            "5:3: spec.schedules: schedules is not supported yet; remove it",
            "8:17: spec.tasks[0].triggerRule: triggerRule is not supported yet; remove it",
            "8:55: spec.tasks[0].env[0].valueFrom: valueFrom is not supported yet; remove it",
        ],
    );
    let pool = "apiVersion: relay.works/v1alpha1\nkind: WorkerPool\nmetadata: {name: p}\nspec: {image: x, secrets: [a]}\n";
    assert_eq!(findings(pool), ["4:18: spec.secrets: secrets is not supported yet; remove it"]);
    let run = "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {name: p}\nspec: {workflowRef: {name: w}, requests: []}\n";
    let text = format!("{}---\n{run}", with_tasks("- name: a").replace("{name: date}, ", ""));
    assert_eq!(findings(&text), ["12:32: spec.requests: requests is not supported yet; remove it"]);
}

#[test]
fn what_only_a_cluster_does_is_said_once() {
    let pool = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: relay.works/v1alpha1\nkind: WorkerPool\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let run = "---\napiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {name: r}\nspec: {workflowRef: {name: w}, desiredState: Paused}\n";
    let workflow = with_tasks("- name: a").replace("{name: date}, ", "");
    let all = "{image: x, slotsPerWorker: 2, minReplicas: 1, maxReplicas: 3, replicas: 2, scaleDownDelay: 5m, template: {spec: {}}}";
    let text = format!("{workflow}{}{}{run}", pool("a", all), pool("b", "{image: x}"));
    let manifests = read(&text).expect("valid");
    assert_eq!(
        manifests.notices,
        [
            "WorkerPool: tasks run on this machine; what its spec says needs a cluster and is ignored here",
            "line 19: desiredState: Paused needs a cluster and is ignored here",
        ]
    );
    assert_eq!(manifests.pools[0].spec.slots_per_worker, 2);
    let text = format!("{workflow}{}", pool("a", "{image: x, minReplicas: 11}"));
    assert_eq!(
        findings(&text),
        [
            "12:31: spec.minReplicas: 11 is more than maxReplicas, which is 10 when absent; set maxReplicas to 11 or more"
        ]
    );
}

#[test]
fn wrong_types_tell_what_was_given_and_what_to_write() {
    tasks_refused(
        "- name: 5\n- name: a\n  command: echo hi\n  dependsOn: b\n  timeout: 10\n  env: [{name: X, value: 5}]\n  when:\n  retry: {limit: \"2\", delay: 5 s}\n\
         - name: c\n  timeout: \"10\"\n  forEach: {from: [x]}\n  approval: {required: 0}\n  onError: continue",
        &[
            "7:13: spec.tasks[0].name: text is expected, not the number 5; put it in quotes: \"5\"",
            "9:16: spec.tasks[1].command: a list is expected, not the text \"echo hi\"; command is a list of arguments without a shell: write [program, argument], or use script",
            "10:18: spec.tasks[1].dependsOn: a list is expected, not the text \"b\"; write a list: [b]",
            "11:16: spec.tasks[1].timeout: a duration is expected, not the number 10; write 10s for 10 seconds",
            "12:30: spec.tasks[1].env[0].value: text is expected, not the number 5; put it in quotes: \"5\"",
            "13:7: spec.tasks[1].when: this field has no value; give it one, or remove the field",
            "14:22: spec.tasks[1].retry.limit: a whole number is expected, not the text \"2\"; write it without quotes",
            "14:34: spec.tasks[1].retry.delay: \"5 s\" is no duration; write it as Go does: 500ms, 10s, 5m, 1h30m (no days: 24h)",
            "16:16: spec.tasks[2].timeout: \"10\" is no duration; add a unit: 10s, 10m",
            "17:23: spec.tasks[2].forEach.from: text is expected, not a list; from is CEL: write '[\"a\", \"b\"]', or params.x for a list that a Run gives",
            "18:28: spec.tasks[2].approval.required: 0 is too small; 1 is the least",
            "19:16: spec.tasks[2].onError: \"continue\" is not known here: it must be Fail or Continue; did you mean \"Continue\"?",
        ],
    );
}

#[test]
fn missing_fields_tell_what_they_are_for() {
    tasks_refused(
        "- {command: [x]}\n- {name: b, forEach: {as: x}, retry: {}}",
        &[
            "7:7: spec.tasks[0].name: this field is required; add name: its name, unique over tasks and finally",
            "8:26: spec.tasks[1].forEach.from: this field is required; add from: a CEL expression that gives the list",
            "8:42: spec.tasks[1].retry.limit: this field is required; add limit: how many attempts are made after the first",
        ],
    );
    refused(
        "kind: Workflow\nspec: {}\n",
        &[
            "1:1: apiVersion: this field is required; add apiVersion: relay.works/v1alpha1",
            "1:1: metadata: this field is required; add metadata: {name: ...}",
            "2:7: spec.tasks: this field is required; add tasks: the tasks, in any order",
        ],
    );
}

#[test]
fn lengths_and_counts_name_their_bound() {
    let text = with_tasks(&format!("- {{name: {}, script: \"\", command: []}}", "a".repeat(64)));
    let found = findings(&text.replace("spec:\n", &format!("spec:\n  description: {}\n", "d".repeat(5000))));
    let tails: Vec<&str> =
        found.iter().filter_map(|finding| finding.split_once(": spec.")).map(|pair| pair.1).collect();
    assert_eq!(tails[0], "description: 5000 characters, and 4096 are allowed; shorten it");
    assert!(tails[1].contains("does not fit: 1 to 63 lower-case letters"), "{}", tails[1]);
    assert_eq!(tails[2], "tasks[0].script: empty text; give it a value or remove the field");
    assert_eq!(tails[3], "tasks[0].command: 0 elements, and at least 1 must be there");
}

#[test]
fn kinds_and_versions_are_known() {
    refused(
        "apiVersion: relay.works/v1alpha1\nkind: Workfow\n---\napiVersion: relay.works/v1\nkind: Run\nmetadata: {name: r}\nspec: {workflowRef: {name: w}}\n\
         ---\nkind: Job\n---\n- a\n---\napiVersion: relay.work/v1alpha1\nkind: WorkerPool\nmetadata: {name: r}\nspec: {image: x}\n",
        &[
            "2:7: kind: unknown kind \"Workfow\"; did you mean \"Workflow\"?",
            "4:13: apiVersion: \"relay.works/v1\" is not known here; write relay.works/v1alpha1",
            "9:1: apiVersion: this field is required; add apiVersion: relay.works/v1alpha1",
            "11:1: a manifest is an object with apiVersion, kind, metadata and spec, not a list",
            "13:13: apiVersion: \"relay.work/v1alpha1\" is not known here; write relay.works/v1alpha1",
        ],
    );
}

#[test]
fn what_the_server_wrote_can_be_run_again() {
    let text = with_tasks("- name: a").replace(
        "metadata: {name: w}",
        "metadata: {name: w, uid: x, resourceVersion: '5', managedFields: [{}], labels: {a: b}}\nstatus: {conditions: []}",
    );
    let manifests = read(&text).expect("valid");
    assert_eq!(manifests.workflows[0].labels["a"], "b");
}

#[test]
fn objects_of_one_kind_and_namespace_have_names_of_their_own() {
    let one = with_tasks("- name: a");
    let other = one.replace("{name: w}", "{name: w, namespace: other}");
    assert!(read(&format!("{one}---\n{other}")).is_ok());
    let found = findings(&format!("{one}---\n{one}"));
    assert_eq!(
        found,
        ["11:18: metadata.name: a second Workflow called \"w\", the first is in line 1; rename one"]
    );
}

#[test]
fn a_revision_is_named_by_what_it_does() {
    let id = |text: &str| read(text).expect("valid").workflows[0].workflow.id.as_str().to_string();
    let text = with_tasks("- {name: a, command: [x]}");
    let described = text.replace("spec:\n", "spec:\n  description: new\n");
    let reordered = text.replace("{name: a, command: [x]}", "{command: [x], name: a}");
    assert_eq!(id(&text), id(&described));
    assert_eq!(id(&text), id(&reordered));
    assert_ne!(id(&text), id(&text.replace("[x]", "[y]")));
}

#[test]
fn a_stored_revision_is_the_workflow_that_was_stored() {
    let manifest = read(COMPLETE).expect("valid").workflows.remove(0);
    let mut revision = Revision {
        id: manifest.workflow.id.clone(),
        namespace: manifest.workflow.namespace.clone(),
        name: manifest.workflow.name.clone(),
        definition: manifest.spec,
        tasks: Vec::new(),
    };
    let compiled = compile(&revision).expect("valid");
    assert_eq!(format!("{compiled:?}"), format!("{:?}", manifest.workflow));
    revision.definition["pod"] = serde_json::json!({});
    let error = compile(&revision).expect_err("refused").to_string();
    assert!(error.starts_with(&format!("{}:1:1: spec.pod: unknown field", revision.id)), "{error}");
}
