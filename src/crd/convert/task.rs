//! One task: what it runs, with which environment, how often.

use crate::crd::convert::exprs::{Exprs, Sight};
use crate::crd::convert::{POOL, SourceTask, bounds};
use crate::crd::finding::{Remark, Remarks, quoted};
use crate::crd::tree::Cursor;
use crate::crd::workflow as spec;
use crate::model::expr::{
    CEL_RESERVED, NOT_A_VARIABLE, Template, cel_name, find_interpolation, script_argument,
};
use crate::model::task::{Action, ForEach, OnError, OnWorkerLost, OutputDecl, Retry, Task, TaskNo};

/// Builds the task `no`; None when something in it left a remark.
pub(super) fn build(exprs: &Exprs<'_>, no: usize, remarks: &mut Remarks) -> Option<Task> {
    let before = remarks.len();
    let SourceTask { spec: task, at, finally } = &exprs.source.tasks[no];
    let defaults = exprs.source.spec.defaults.as_ref();
    let defaults_at = exprs.source.spec_at.field("defaults");
    let when_sight = Sight::before_items(exprs, no, "when");
    let action = action(exprs, no, remarks);
    let built = Task {
        no: TaskNo::try_from(no).unwrap_or(TaskNo::MAX),
        name: task.name.clone(),
        cel_name: cel_name(&task.name),
        finally: *finally,
        depends_on: exprs.graph.upstreams[no].iter().filter_map(|up| TaskNo::try_from(*up).ok()).collect(),
        dependents: Vec::new(),
        pool: task.pool.as_ref().or(exprs.source.spec.pool.as_ref()).map_or(POOL, String::as_str).to_string(),
        when: task.when.as_ref().and_then(|text| exprs.expr(&at.field("when"), text, &when_sight, remarks)),
        for_each: task.for_each.as_ref().and_then(|spec| for_each(exprs, no, spec, remarks)),
        env: env(exprs, no, remarks),
        action,
        approval: task
            .approval
            .as_ref()
            .map(|spec| bounds::approval(exprs, no, spec, &at.field("approval"), remarks)),
        retry: match (&task.retry, defaults.and_then(|defaults| defaults.retry.as_ref())) {
            (Some(own), _) => bounds::retry(own, &at.field("retry"), remarks),
            (None, Some(shared)) => bounds::retry(shared, &defaults_at.field("retry"), remarks),
            (None, None) => Retry::default(),
        },
        timeout: match (&task.timeout, defaults.and_then(|defaults| defaults.timeout.as_ref())) {
            (Some(own), _) => bounds::timeout(own, &at.field("timeout"), remarks),
            (None, Some(shared)) => bounds::timeout(shared, &defaults_at.field("timeout"), remarks),
            (None, None) => None,
        },
        outputs: outputs(&task.outputs, &at.field("outputs"), remarks),
        on_error: match task.on_error {
            Some(spec::OnError::Continue) => OnError::Continue,
            Some(spec::OnError::Fail) | None => OnError::Fail,
        },
        on_worker_lost: match task.on_worker_lost.or(defaults.and_then(|defaults| defaults.on_worker_lost)) {
            Some(spec::OnWorkerLost::Fail) => OnWorkerLost::Fail,
            Some(spec::OnWorkerLost::Retry) | None => OnWorkerLost::Retry,
        },
    };
    (remarks.len() == before).then_some(built)
}

fn for_each(
    exprs: &Exprs<'_>,
    no: usize,
    spec: &spec::ForEachSpec,
    remarks: &mut Remarks,
) -> Option<ForEach> {
    let at = exprs.source.tasks[no].at.field("forEach");
    let name = exprs.variable(no).unwrap_or_default();
    let taken = NOT_A_VARIABLE.contains(&name) || CEL_RESERVED.contains(&name);
    if taken {
        let reason = format!("{} means something else in expressions", quoted(name));
        remarks.at(&at.field("as"), reason, Some("choose another name".to_string()));
    }
    let sight = Sight::before_items(exprs, no, "forEach.from");
    let from = exprs.expr(&at.field("from"), &spec.from, &sight, remarks)?;
    Some(ForEach {
        from,
        as_name: name.to_string(),
        max_parallel: spec.max_parallel,
        fail_fast: spec.fail_fast.unwrap_or(false),
    })
}

fn env(exprs: &Exprs<'_>, no: usize, remarks: &mut Remarks) -> Vec<(String, Template)> {
    let list = exprs.source.tasks[no].at.field("env");
    let sight = Sight::of_items(exprs, no);
    let mut env: Vec<(String, Template)> = Vec::new();
    for (place, variable) in exprs.source.tasks[no].spec.env.iter().enumerate() {
        let at = list.item(place);
        let name = &variable.name;
        if env.iter().any(|(known, _)| known == name) {
            remarks.at(
                &at.field("name"),
                format!("a second variable called {}", quoted(name)),
                Some("keep one".into()),
            );
        }
        if name.starts_with("RELAY_") {
            let reason = format!("{} is Relay's: names with RELAY_ are set by the worker", quoted(name));
            remarks.at(&at.field("name"), reason, Some("choose another name".to_string()));
        }
        let value_at = at.field("value");
        if variable.value.contains('\0') {
            remarks.at(&value_at, "an environment variable cannot hold NUL", None);
        }
        if let Some(value) = exprs.template(&value_at, &variable.value, &sight, remarks) {
            env.push((name.clone(), value));
        }
    }
    env
}

fn action(exprs: &Exprs<'_>, no: usize, remarks: &mut Remarks) -> Action {
    let SourceTask { spec: task, at, .. } = &exprs.source.tasks[no];
    match (&task.command, &task.script) {
        (Some(argv), script) => {
            if script.is_some() {
                let reason = "a task has one of command and script, not both";
                let script_at = at.field("script");
                let fix = Some("keep one of the two".to_string());
                remarks.push(Remark {
                    at: script_at.key_at,
                    path: script_at.path,
                    reason: reason.to_string(),
                    fix,
                });
            }
            Action::Command(command(exprs, no, argv, remarks))
        }
        (None, Some(script)) => {
            refuse_interpolation(exprs, no, (&at.field("script"), script), remarks);
            if script.contains('\0') {
                remarks.at(&at.field("script"), "a script cannot hold NUL", None);
            }
            Action::Script(script.as_str().into())
        }
        (None, None) => {
            gate(task, at, remarks);
            Action::Gate
        }
    }
}

/// A gate runs nothing: fields for a process on it tell that command or script was forgotten.
fn gate(task: &spec::TaskSpec, at: &Cursor<'_>, remarks: &mut Remarks) {
    if at.lost("command") || at.lost("script") || at.lost("workflowRef") || at.lost("pod") {
        return;
    }
    let fields = [
        ("env", !task.env.is_empty()),
        ("outputs", !task.outputs.is_empty()),
        ("retry", task.retry.is_some()),
        ("timeout", task.timeout.is_some()),
        ("onWorkerLost", task.on_worker_lost.is_some()),
    ];
    for (key, _) in fields.iter().filter(|(_, written)| *written) {
        let field = at.field(key);
        let reason =
            format!("{key} has no effect: without command or script, {} runs nothing", quoted(&task.name));
        let fix = Some(format!("add command or script, or remove {key}"));
        remarks.push(Remark { at: field.key_at, path: field.path, reason, fix });
    }
}

fn command(exprs: &Exprs<'_>, no: usize, argv: &[String], remarks: &mut Remarks) -> Vec<Template> {
    let list = exprs.source.tasks[no].at.field("command");
    let sight = Sight::of_items(exprs, no);
    let script = script_argument(argv).filter(|_| !list.lost_any());
    let mut templates = Vec::with_capacity(argv.len());
    for (place, argument) in argv.iter().enumerate() {
        let at = list.item(place);
        if place == 0 && argument.trim().is_empty() {
            remarks.at(&at, "the program's name is empty", Some("name the program to run".to_string()));
        }
        if argument.contains('\0') {
            remarks.at(&at, "an argument cannot hold NUL", None);
        }
        if script == Some(place) {
            refuse_interpolation(exprs, no, (&at, argument), remarks);
            // `$(date)` is the shell's: escaped, it stays as it is.
            templates.extend(exprs.template(&at, &argument.replace("$(", "$$("), &sight, remarks));
        } else {
            templates.extend(exprs.template(&at, argument, &sight, remarks));
        }
    }
    templates
}

/// Script text is never interpolated; what can only be meant for Relay is refused with the way that works.
fn refuse_interpolation(
    exprs: &Exprs<'_>,
    no: usize,
    (at, text): (&Cursor<'_>, &str),
    remarks: &mut Remarks,
) {
    let Some((offset, _)) = find_interpolation(text, exprs.variable(no)) else { return };
    let inside: String = text.chars().skip(offset + 2).take(200).collect();
    let inside = inside.split(')').next().unwrap_or_default().trim();
    let name: String =
        inside.rsplit('.').next().unwrap_or(inside).chars().filter(char::is_ascii_alphanumeric).collect();
    let name = match name.to_ascii_uppercase() {
        name if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) => "VALUE".to_string(),
        name => name,
    };
    let shown = if inside.len() > 60 { "..." } else { inside };
    let fix = format!("add env: [{{name: {name}, value: $({shown})}}] and write \"${name}\"");
    let reason =
        format!("$({shown}) is not replaced in a script: values never become part of a program's text");
    remarks.push(Remark { at: at.place_of(offset), path: at.path.clone(), reason, fix: Some(fix) });
}

fn outputs(specs: &[spec::OutputSpec], list: &Cursor<'_>, remarks: &mut Remarks) -> Vec<OutputDecl> {
    let mut outputs: Vec<OutputDecl> = Vec::new();
    for (place, output) in specs.iter().enumerate() {
        let at = list.item(place).field("name");
        if outputs.iter().any(|known| known.name == output.name) {
            let reason = format!("a second output called {}", quoted(&output.name));
            remarks.at(&at, reason, Some("rename one".to_string()));
        }
        if CEL_RESERVED.contains(&output.name.as_str()) {
            let reason = format!("{} is a word that CEL keeps for itself", quoted(&output.name));
            remarks.at(&at, reason, Some(format!("for example {}_value", output.name)));
        }
        let kind = output.kind.unwrap_or(spec::ValueType::String);
        outputs.push(OutputDecl { name: output.name.clone(), kind: kind.into() });
    }
    outputs
}
