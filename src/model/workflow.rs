//! A Workflow as the engine runs it: one revision, checked, with its DAG as indices.
//!
//! `crd` turns manifests into this and reports what is wrong with positions; `Workflow::new` refuses what
//! would break the engine (an edge to nowhere, a cycle), so a `Workflow` in hand is valid.

use std::{collections::VecDeque, time::Duration};

use crate::model::{
    expr::Expr,
    ids::WorkflowId,
    names::words,
    task::{Task, TaskNo},
};

/// Bounds of a definition and of a run (design: Names).
pub mod limits {
    /// Tasks of a Workflow, finally included.
    pub const TASKS: usize = 2_000;
    /// Items of one forEach.
    pub const ITEMS: usize = 100_000;
    /// Rows of one run.
    pub const ROWS: usize = 200_000;
    /// Bytes of a manifest file.
    pub const FILE_BYTES: usize = 4 << 20;
    /// Bytes of the outputs of one task run.
    pub const OUTPUT_BYTES: usize = 256 << 10;
    /// Bytes of the log of one attempt.
    pub const LOG_BYTES: usize = 10 << 20;
    /// Levels of nesting of a value that comes in from outside or out of an expression: a param, an output, a result
    /// (`[]` has one). Relay wraps such values: an output in the object of its task's outputs, those of a forEach in a
    /// list too, items in `{"items": ...}`; at most two levels each, and what a store keeps may have 120, a parser 127.
    pub const JSON_DEPTH: usize = 100;
}

/// Is a value nested no deeper than `limits::JSON_DEPTH`? (Not a depth: a value may be deeper than a stack is long.)
pub fn is_shallow(value: &serde_json::Value) -> bool {
    fn within(value: &serde_json::Value, levels: usize) -> bool {
        use serde_json::Value;
        match (value, levels.checked_sub(1)) {
            (Value::Array(items), Some(left)) => items.iter().all(|item| within(item, left)),
            (Value::Object(fields), Some(left)) => fields.values().all(|field| within(field, left)),
            (Value::Array(_) | Value::Object(_), None) => false,
            _ => true,
        }
    }
    within(value, limits::JSON_DEPTH)
}

words! {
    /// The type of a param or of a declared output.
    ValueType {
        /// Text.
        String = "string",
        /// A whole number.
        Integer = "integer",
        /// A number; in CEL always a double.
        Number = "number",
        /// true or false.
        Boolean = "boolean",
        /// A list.
        Array = "array",
        /// A map with text keys.
        Object = "object",
    }
}

impl ValueType {
    /// Is `value` of this type?
    pub fn fits(self, value: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (self, value) {
            (ValueType::String, Value::String(_))
            | (ValueType::Number, Value::Number(_))
            | (ValueType::Boolean, Value::Bool(_))
            | (ValueType::Array, Value::Array(_))
            | (ValueType::Object, Value::Object(_)) => true,
            (ValueType::Integer, Value::Number(n)) => {
                n.is_i64() || n.as_f64().is_some_and(|f| f.fract() == 0.0 && f.abs() < 9e15)
            }
            _ => false,
        }
    }
}

/// A declared param. Values are checked when a run is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ValueType,
    /// A regular expression that a string must match.
    pub pattern: Option<String>,
    /// The values allowed, if they are listed.
    pub allowed: Option<Vec<serde_json::Value>>,
    /// The value when none is given; without it the param is required.
    pub default: Option<serde_json::Value>,
}

/// An output of the run: a name and what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutput {
    /// Its name.
    pub name: String,
    /// Evaluated when the run ends in SUCCESS.
    pub value: Expr,
}

/// How long a run may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the run to the end of its last task outside finally.
    pub run: Option<Duration>,
    /// From the start of the first finally task to the end of the last.
    pub finally: Option<Duration>,
}

/// A revision of a Workflow, ready to run.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// Which revision.
    pub id: WorkflowId,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Declared params.
    pub params: Vec<Param>,
    /// Declared outputs.
    pub outputs: Vec<RunOutput>,
    /// Tasks, then finally; a task's number is its place here.
    pub tasks: Vec<Task>,
    /// Stop new starts once a task has failed.
    pub fail_fast: bool,
    /// Most task runs at a time.
    pub max_parallel: Option<u32>,
    /// Bounds in time.
    pub timeouts: Timeouts,
}

/// Why a definition cannot be run at all. (`crd` finds these first, with their place in the file.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkflow {
    /// Nothing to run.
    #[error("a workflow needs at least one task")]
    NoTasks,
    /// Too much to run.
    #[error("{0} tasks, and {max} are allowed", max = limits::TASKS)]
    TooManyTasks(usize),
    /// A dependency out of range, on itself, or from a task on a finally task.
    #[error("task `{0}` depends on something that cannot be its upstream")]
    BadDependency(String),
    /// The tasks wait for each other.
    #[error("tasks wait for each other: {0}")]
    Cycle(String),
}

impl Workflow {
    /// Checks the DAG and fills in each task's dependents and number.
    pub fn new(mut parts: Workflow) -> Result<Workflow, InvalidWorkflow> {
        match parts.tasks.len() {
            0 => return Err(InvalidWorkflow::NoTasks),
            n if n > limits::TASKS => return Err(InvalidWorkflow::TooManyTasks(n)),
            _ => {}
        }
        let finally: Vec<bool> = parts.tasks.iter().map(|t| t.finally).collect();
        let mut dependents = vec![Vec::new(); parts.tasks.len()];
        for (no, task) in parts.tasks.iter_mut().enumerate() {
            task.no = no as TaskNo;
            task.depends_on.sort_unstable();
            task.depends_on.dedup();
            for up in &task.depends_on {
                let up = *up as usize;
                if up == no || finally.get(up) != Some(&task.finally) {
                    return Err(InvalidWorkflow::BadDependency(task.name.clone()));
                }
                dependents[up].push(no as TaskNo);
            }
        }
        for (task, dependents) in parts.tasks.iter_mut().zip(dependents) {
            task.dependents = dependents;
        }
        let sorted = topological(&parts.tasks);
        if sorted.len() < parts.tasks.len() {
            let stuck = parts.tasks.iter().filter(|t| !sorted.contains(&t.no)).map(|t| t.name.as_str());
            return Err(InvalidWorkflow::Cycle(stuck.collect::<Vec<_>>().join(", ")));
        }
        Ok(parts)
    }

    /// The task of this number.
    pub fn task(&self, no: TaskNo) -> Option<&Task> {
        self.tasks.get(no as usize)
    }

    /// The task of a number that came from this workflow.
    pub fn at(&self, no: TaskNo) -> &Task {
        &self.tasks[no as usize]
    }

    /// The task of this name.
    pub fn task_named(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.name == name)
    }

    /// The task that CEL calls `name` (`load_data` for `load-data`).
    pub fn task_in_cel(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.cel_name == name)
    }
}

/// Task numbers in an order in which each comes after its upstreams; those on a cycle are missing.
fn topological(tasks: &[Task]) -> Vec<TaskNo> {
    let mut open: Vec<usize> = tasks.iter().map(|t| t.depends_on.len()).collect();
    let mut ready: VecDeque<TaskNo> =
        tasks.iter().filter(|t| t.depends_on.is_empty()).map(|t| t.no).collect();
    let mut sorted = Vec::with_capacity(tasks.len());
    while let Some(no) = ready.pop_front() {
        sorted.push(no);
        for down in &tasks[no as usize].dependents {
            open[*down as usize] -= 1;
            if open[*down as usize] == 0 {
                ready.push_back(*down);
            }
        }
    }
    sorted
}
