//! A workflow in one line: `a -> b, c; b(retry=2 delay=10s) -> d; c -> d; notify(finally); ! failFast maxParallel=2`.
//!
//! Options of a task stand in parentheses after any one of its mentions, options of the workflow after `!`.

use std::{collections::BTreeMap, sync::Arc};

use relay::model::{
    expr::{Expr, Template},
    ids::WorkflowId,
    run::RunRow,
    task::{Action, Approval, FailureKind, ForEach, OnError, OnTimeout, OnWorkerLost, Retry, Task},
    workflow::{RunOutput, Timeouts, Workflow},
};
use serde_json::json;

use super::{dawn, duration};

/// The workflow that `text` draws.
pub fn workflow(text: &str) -> Arc<Workflow> {
    Arc::new(Workflow::new(parts(text)).expect("a story has a valid workflow"))
}

/// A run of it that was accepted just now.
pub fn run_row(workflow: &Workflow) -> RunRow {
    let (id, name) = ("r-1".parse().expect("an id"), "r".to_owned());
    RunRow {
        params: (&json!({ "n": 2, "list": ["eu", "us"] })).into(),
        ..RunRow::new(id, workflow.id.clone(), workflow.namespace.clone(), name, dawn())
    }
}

fn parts(text: &str) -> Workflow {
    let mut flow = Workflow {
        id: WorkflowId::new("ns", "w", "0123456789abcdef"),
        namespace: "ns".to_owned(),
        name: "w".to_owned(),
        params: Vec::new(),
        outputs: Vec::new(),
        tasks: Vec::new(),
        fail_fast: false,
        max_parallel: None,
        timeouts: Timeouts::default(),
    };
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    for segment in split(text, ";") {
        if let Some(options) = segment.strip_prefix('!') {
            split(options, " ").for_each(|option| workflow_option(&mut flow, option));
            continue;
        }
        let mut upstreams: Vec<u32> = Vec::new();
        for side in split(segment, "->") {
            let mentioned: Vec<u32> = split(side, ",").map(|m| mention(&mut flow, &mut names, m)).collect();
            for no in &mentioned {
                flow.tasks[*no as usize].depends_on.extend(&upstreams);
            }
            upstreams = mentioned;
        }
    }
    // Tasks, then finally: a story may mention them in any order.
    let mut order: Vec<usize> = (0..flow.tasks.len()).collect();
    order.sort_by_key(|no| flow.tasks[*no].finally);
    let place = |no: u32| order.iter().position(|n| *n == no as usize).expect("each has a place") as u32;
    let mut tasks: Vec<Task> = order.iter().map(|no| flow.tasks[*no].clone()).collect();
    for task in &mut tasks {
        task.depends_on = task.depends_on.iter().map(|no| place(*no)).collect();
    }
    Workflow { tasks, ..flow }
}

fn mention(flow: &mut Workflow, names: &mut BTreeMap<String, u32>, text: &str) -> u32 {
    let (name, options) = text.split_once('(').unwrap_or((text, ""));
    let no = *names.entry(name.to_owned()).or_insert_with(|| {
        flow.tasks.push(plain(name));
        flow.tasks.len() as u32 - 1
    });
    let options = options.strip_suffix(')').unwrap_or(options);
    split(options, " ").for_each(|option| task_option(&mut flow.tasks[no as usize], option));
    no
}

fn plain(name: &str) -> Task {
    Task {
        no: 0,
        name: name.to_owned(),
        cel_name: name.replace('-', "_"),
        finally: false,
        depends_on: Vec::new(),
        dependents: Vec::new(),
        pool: "default".to_owned(),
        when: None,
        for_each: None,
        env: Vec::new(),
        action: Action::Command(vec![template("run")]),
        approval: None,
        retry: Retry { jitter: false, ..Retry::default() },
        timeout: None,
        outputs: Vec::new(),
        on_error: OnError::Fail,
        on_worker_lost: OnWorkerLost::Retry,
    }
}

fn expr(source: &str) -> Expr {
    Expr::parse(source).expect("a story's expression can be parsed")
}

fn template(source: &str) -> Template {
    Template::parse(source).expect("a story's template can be parsed")
}

fn task_option(task: &mut Task, option: &str) {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let number = || value.parse::<u32>().expect("a number");
    match name {
        "finally" => task.finally = true,
        "gate" => task.action = Action::Gate,
        "continue" => task.on_error = OnError::Continue,
        "once" => task.on_worker_lost = OnWorkerLost::Fail,
        "when" => task.when = Some(expr(value)),
        "env" => task.env.push(("E".to_owned(), template(value))),
        "pool" => task.pool = value.to_owned(),
        "retry" => task.retry.limit = number(),
        "delay" => task.retry.delay = duration(value),
        "factor" => task.retry.factor = f64::from(number()),
        "maxDelay" => task.retry.max_delay = Some(duration(value)),
        "on" => task.retry.on.push(FailureKind::parse(value).expect("a kind of failure")),
        "exitCode" => task.retry.exit_codes.push(value.parse().expect("a number")),
        "for" => {
            let from = expr(value);
            task.for_each =
                Some(ForEach { from, as_name: "x".to_owned(), max_parallel: None, fail_fast: false });
        }
        "max" => task.for_each.as_mut().expect("`for` first").max_parallel = Some(number()),
        "failFast" => task.for_each.as_mut().expect("`for` first").fail_fast = true,
        "ask" => {
            let required = value.parse().unwrap_or(1);
            let on_timeout = OnTimeout::Fail;
            task.approval = Some(Approval { required, message: None, timeout: None, on_timeout });
        }
        "question" => task.approval.as_mut().expect("`ask` first").message = Some(template(value)),
        "within" => task.approval.as_mut().expect("`ask` first").timeout = Some(duration(value)),
        "elseSkip" => task.approval.as_mut().expect("`ask` first").on_timeout = OnTimeout::Skip,
        _ => panic!("`{option}` is no option of a task"),
    }
}

fn workflow_option(flow: &mut Workflow, option: &str) {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "failFast" => flow.fail_fast = true,
        "maxParallel" => flow.max_parallel = Some(value.parse().expect("a number")),
        "timeout" => flow.timeouts.run = Some(duration(value)),
        "finallyTimeout" => flow.timeouts.finally = Some(duration(value)),
        "output" => flow.outputs.push(RunOutput { name: "out".to_owned(), value: expr(value) }),
        _ => panic!("`{option}` is no option of a workflow"),
    }
}

/// The parts of `text` between separators that stand outside brackets; empty ones are left out.
fn split<'t>(text: &'t str, separator: &'t str) -> impl Iterator<Item = &'t str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(separator) => {
                found.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.into_iter().map(str::trim).filter(|part| !part.is_empty())
}
