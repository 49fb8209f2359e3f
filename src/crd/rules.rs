//! What a schema cannot say by its shape and the API server can still refuse at apply: rules in CEL, each with its
//! message, its field and its reason. What they leave to the operator is the same that `relay run` checks in a file.

use serde_json::{Value as Json, json};

use crate::crd::limits::{DNS_LABEL, POOL_NAME};
use crate::crd::pool::MAX_REPLICAS;
use crate::crd::schema::Kind;
use crate::model::expr::{CEL_RESERVED, NOT_A_VARIABLE};
use crate::model::workflow::limits::TASKS;

/// The tasks of both lists, as places.
const TASKS_OF_BOTH: [&str; 2] = ["spec.tasks[]", "spec.finally[]"];

/// A rule and the value that it is about.
struct Rule {
    /// `spec.tasks[].approval`; empty: the whole object.
    place: String,
    rule: String,
    message: String,
    /// The field that is wrong, from the place on; none when it is the value itself.
    field: Option<&'static str>,
    reason: &'static str,
}

const INVALID: &str = "FieldValueInvalid";
const FORBIDDEN: &str = "FieldValueForbidden";
const REQUIRED: &str = "FieldValueRequired";

fn rule(
    place: impl Into<String>,
    field: impl Into<Option<&'static str>>,
    reason: &'static str,
    rule: impl Into<String>,
    message: impl Into<String>,
) -> Rule {
    Rule { place: place.into(), rule: rule.into(), message: message.into(), field: field.into(), reason }
}

/// Writes the rules of a kind into its structural schema.
pub(super) fn write(kind: Kind, schema: &mut Json) {
    let rules = match kind {
        Kind::Workflow => workflow(),
        Kind::Run => run(),
        Kind::WorkerPool => pool(),
    };
    for rule in rules {
        let mut written = json!({"rule": rule.rule, "message": rule.message, "reason": rule.reason});
        if let Some(field) = rule.field {
            written["fieldPath"] = json!(field);
        }
        let holder = &mut at(schema, &rule.place)["x-kubernetes-validations"];
        match holder.as_array_mut() {
            Some(rules) => rules.push(written),
            None => *holder = json!([written]),
        }
    }
}

/// The schema of the value at a place; a test finds each.
fn at<'a>(schema: &'a mut Json, place: &str) -> &'a mut Json {
    place.split('.').filter(|step| !step.is_empty()).fold(schema, |schema, step| {
        match step.strip_suffix("[]") {
            Some(list) => &mut schema["properties"][list]["items"],
            None => &mut schema["properties"][step],
        }
    })
}

/// Longer names are no labels.
fn short_name() -> Rule {
    let message = "the name may have 63 characters: shorten it";
    rule("", ".metadata.name", INVALID, "size(self.metadata.name) <= 63", message)
}

fn workflow() -> Vec<Rule> {
    let total = "self.tasks.size() + (has(self.finally) ? self.finally.size() : 0)";
    let apart =
        "!has(self.finally) || !sets.intersects(self.tasks.map(t, t.name), self.finally.map(t, t.name))";
    let mut rules = vec![
        short_name(),
        rule(
            "spec",
            ".tasks",
            INVALID,
            format!("{total} <= {TASKS}"),
            format!("{TASKS} tasks are allowed, finally tasks among them: use forEach for what repeats"),
        ),
        rule(
            "spec",
            ".finally",
            INVALID,
            apart,
            "names are unique over tasks and finally: rename one of the two tasks",
        ),
        rule(
            "spec.params[]",
            ".pattern",
            FORBIDDEN,
            "!has(self.pattern) || !has(self.type) || self.type == 'string'",
            "a pattern has no meaning for another type than string: remove it, or make the type string",
        ),
        reserved("spec.params[].name"),
        bound("spec.timeouts.run"),
        bound("spec.timeouts.finally"),
        bound("spec.defaults.timeout"),
    ];
    rules.extend(retry("spec.defaults.retry"));
    TASKS_OF_BOTH.into_iter().for_each(|place| rules.extend(task(place)));
    rules
}

fn task(place: &str) -> Vec<Rule> {
    let inside = |field: &str| format!("{place}.{field}");
    let gate = "has(self.command) || has(self.script) || !(has(self.retry) || has(self.timeout) || has(self.onWorkerLost) \
                || (has(self.env) && self.env.size() > 0) || (has(self.outputs) && self.outputs.size() > 0))";
    let mut rules = vec![
        rule(
            place,
            ".script",
            FORBIDDEN,
            "!has(self.command) || !has(self.script)",
            "a task has one of command and script, not both: keep one of the two",
        ),
        rule(
            place,
            ".command",
            REQUIRED,
            gate,
            "env, outputs, retry, timeout and onWorkerLost have no effect on a task that runs nothing: add command or script, or \
             remove them",
        ),
        rule(
            place,
            ".dependsOn",
            INVALID,
            "!has(self.dependsOn) || !(self.name in self.dependsOn)",
            "a task cannot depend on itself: remove it",
        ),
        rule(
            inside("env[]"),
            ".name",
            FORBIDDEN,
            "!self.name.startsWith('RELAY_')",
            "names with RELAY_ are set by the worker: choose another name",
        ),
        rule(
            inside("approval"),
            ".onTimeout",
            FORBIDDEN,
            "!has(self.onTimeout) || has(self.timeout)",
            "onTimeout has no effect without timeout: add timeout: 24h",
        ),
        rule(
            inside("forEach.as"),
            None,
            INVALID,
            format!("!(self in [{}])", words(NOT_A_VARIABLE.iter().chain(CEL_RESERVED))),
            "this name means something else in expressions: choose another name",
        ),
        reserved(inside("name")),
        bound(inside("timeout")),
        bound(inside("approval.timeout")),
    ];
    rules.extend(retry(&inside("retry")));
    rules
}

fn retry(place: &str) -> Vec<Rule> {
    let wait = |field: &str| {
        let longest = "duration(self) <= duration('24h')";
        rule(
            format!("{place}.{field}"),
            None,
            INVALID,
            longest,
            "write a duration such as 500ms or 10s, of 24h at most",
        )
    };
    vec![
        rule(
            place,
            ".exitCodes",
            FORBIDDEN,
            "!has(self.exitCodes) || !has(self.onlyOn) || 'ExitCode' in self.onlyOn",
            "exitCodes has no effect: onlyOn does not name ExitCode: add it to onlyOn",
        ),
        rule(
            place,
            ".maxDelay",
            INVALID,
            "!has(self.delay) || !has(self.maxDelay) || duration(self.delay) <= duration(self.maxDelay)",
            "maxDelay is shorter than delay: make maxDelay the longer one",
        ),
        wait("delay"),
        wait("maxDelay"),
    ]
}

fn run() -> Vec<Rule> {
    vec![
        short_name(),
        rule(
            "spec.workflowRef",
            ".name",
            FORBIDDEN,
            "self.name == oldSelf.name",
            "a Run keeps its Workflow for life: make a new Run of the other one",
        ),
    ]
}

fn pool() -> Vec<Rule> {
    let name =
        format!("size(self.metadata.name) <= {POOL_NAME} && self.metadata.name.matches('{DNS_LABEL}')");
    let most = format!("(has(self.maxReplicas) ? self.maxReplicas : {MAX_REPLICAS})");
    vec![
        rule(
            "",
            ".metadata.name",
            INVALID,
            name,
            format!(
                "the name may have {POOL_NAME} lower-case letters, digits and -, from and to a letter or digit"
            ),
        ),
        rule(
            "spec",
            ".minReplicas",
            INVALID,
            format!("!has(self.minReplicas) || self.minReplicas <= {most}"),
            format!(
                "minReplicas is more than maxReplicas, which is {MAX_REPLICAS} when absent: raise maxReplicas"
            ),
        ),
        rule(
            "spec.scaleDownDelay",
            None,
            INVALID,
            "duration(self) <= duration('8760h')",
            "write a duration such as 30s or 5m, of 8760h (a year) at most",
        ),
    ]
}

/// A bound in time.
fn bound(place: impl Into<String>) -> Rule {
    let bounds = "duration(self) > duration('0s') && duration(self) <= duration('8760h')";
    rule(
        place,
        None,
        INVALID,
        bounds,
        "write a duration such as 30s, 10m or 1h30m, of 8760h (a year) at most: leave it out for no bound",
    )
}

/// A name that expressions use.
fn reserved(place: impl Into<String>) -> Rule {
    let not = format!("!(self in [{}])", words(CEL_RESERVED));
    rule(place, None, INVALID, not, "CEL keeps this word for itself: choose another name")
}

fn words<'a>(words: impl IntoIterator<Item = &'a &'a str>) -> String {
    words.into_iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(",")
}
