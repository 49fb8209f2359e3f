//! Fields that people bring along: Relay's own that are not built yet, and the words of other systems.

/// Fields of the design that do not act yet, by kind and place of what holds them.
const NOT_BUILT: [(&str, &[&str]); 6] = [
    (
        "Workflow/spec",
        &[
            "schedules",
            "concurrency",
            "suspend",
            "ttlSecondsAfterFinished",
            "historyLimits",
            "labels",
            "priority",
        ],
    ),
    ("Workflow/spec/defaults", &["queueTimeout", "onError", "pool", "env", "slots", "priority"]),
    (
        "Workflow/spec/tasks/items",
        &[
            "triggerRule",
            "queueTimeout",
            "slots",
            "priority",
            "pod",
            "workflowRef",
            "locks",
            "cache",
            "artifacts",
            "envFrom",
            "workingDir",
            "labels",
        ],
    ),
    ("Workflow/spec/tasks/items/env/items", &["valueFrom"]),
    ("Run/spec", &["requests", "rerunOf", "priority", "labels", "ttlSecondsAfterFinished"]),
    ("WorkerPool/spec", &["secrets", "configMaps", "capabilities"]),
];

/// Whether `key` is a field of Relay that is not built yet, in what [`holder`] gave.
pub(super) fn not_built(key: &str, holder: &str) -> bool {
    NOT_BUILT.iter().any(|(place, keys)| holder == *place && keys.contains(&key))
}

/// What Relay calls something that Argo Workflows, Tekton, Airflow and others call `key`.
pub(super) fn relays_word(key: &str, holder: &str) -> Option<&'static str> {
    let in_task = holder.ends_with("/tasks/items");
    Some(match key {
        "dependencies" | "depends" | "needs" | "runAfter" | "after" | "upstream" if in_task => {
            "use dependsOn"
        }
        "withItems" | "withParam" | "withSequence" | "matrix" | "loop" | "expand" if in_task => "use forEach",
        "if" | "condition" | "conditions" | "whenExpressions" if in_task => "use when",
        "retries" | "retryStrategy" | "backoff" | "retryPolicy" if in_task => {
            "use retry: {limit: 2, delay: 1s}"
        }
        "continueOn" | "ignoreErrors" | "continueOnError" if in_task => "use onError: Continue",
        "activeDeadlineSeconds" | "timeoutSeconds" if in_task => "use timeout: 10m",
        "activeDeadlineSeconds" => "use timeouts: {run: 1h}",
        "args" | "entrypoint" if in_task => "command is the whole argv: put the arguments there",
        "run" | "source" | "bash" | "sh" if in_task => "use script",
        "image" if in_task => "tasks run on warm workers: the image is that of the WorkerPool",
        // Many readers of YAML, kubectl's among them, take a bare `on` for true.
        "on" | "true" | "retryOn" if holder.ends_with("/retry") => "use onlyOn",
        "parameters" | "inputs" | "arguments" if in_task => "use env: [{name: X, value: $(params.x)}]",
        "parameters" | "arguments" | "inputs" => "use params",
        "onExit" | "exitHandler" | "teardown" => "use finally",
        "templates" | "steps" | "dag" | "jobs" | "nodes" => "use tasks",
        "parallelism" | "concurrencyLimit" => "use maxParallel",
        "workflowTemplateRef" | "pipelineRef" | "workflow" => "use workflowRef: {name: ...}",
        _ => return None,
    })
}

/// The object that the schema refused at `pointer`: `Workflow/spec/tasks/items`, where finally counts as tasks.
pub(super) fn holder(kind: &str, pointer: &str) -> String {
    let pointer = pointer.strip_suffix("/additionalProperties").unwrap_or(pointer);
    format!("{kind}{}", pointer.replace("/properties/", "/").replace("/finally/items", "/tasks/items"))
}
