//! Expressions: do they parse, and is every name in them known where they stand?

use crate::crd::convert::Source;
use crate::crd::convert::graph::Graph;
use crate::crd::finding::{Remark, Remarks, quoted};
use crate::crd::near;
use crate::crd::tree::Cursor;
use crate::model::expr::{Expr, ExprError, Refs, Template, WHOLE, cel_name};

/// Fields of `tasks.<name>`.
const TASK_FIELDS: [&str; 5] = ["status", "reason", "outputs", "attempt", "items"];

/// What expressions of one workflow can name.
pub(super) struct Exprs<'a> {
    pub source: &'a Source<'a>,
    pub graph: &'a Graph,
    /// Names of the declared params.
    pub params: Vec<&'a str>,
}

/// What one expression sees, by where it stands.
pub(super) struct Sight<'a> {
    /// The task it belongs to; None: the run's end, where every task is final.
    task: Option<usize>,
    /// The forEach variable in sight.
    variable: Option<&'a str>,
    /// The forEach variable not in sight yet, and the field that does not see it.
    hidden: Option<(&'a str, &'static str)>,
    /// A forEach was taken out by an earlier finding: any name may be its variable.
    variable_lost: bool,
}

impl<'a> Sight<'a> {
    /// A Workflow's outputs.
    pub(super) const END: Sight<'static> =
        Sight { task: None, variable: None, hidden: None, variable_lost: false };

    /// A field evaluated for each element: env, command.
    pub(super) fn of_items(exprs: &Exprs<'a>, no: usize) -> Self {
        let task = &exprs.source.tasks[no];
        let variable_lost = task.at.lost("forEach") || task.at.field("forEach").lost("as");
        Self { task: Some(no), variable: exprs.variable(no), hidden: None, variable_lost }
    }

    /// A field evaluated once, before a forEach expands.
    pub(super) fn before_items(exprs: &Exprs<'a>, no: usize, field: &'static str) -> Self {
        let hidden = exprs.variable(no).map(|variable| (variable, field));
        Self { task: Some(no), variable: None, hidden, variable_lost: false }
    }
}

impl<'a> Exprs<'a> {
    /// The name of the element of the task `no`, when it is a forEach.
    pub(super) fn variable(&self, no: usize) -> Option<&'a str> {
        let for_each = self.source.tasks[no].spec.for_each.as_ref()?;
        Some(for_each.variable.as_deref().unwrap_or("item"))
    }

    /// Bare CEL.
    pub(super) fn expr(
        &self,
        at: &Cursor<'_>,
        text: &str,
        sight: &Sight<'_>,
        remarks: &mut Remarks,
    ) -> Option<Expr> {
        match Expr::parse(text) {
            Ok(expr) => {
                self.check(expr.refs(), &Place { at, text }, sight, remarks);
                Some(expr)
            }
            Err(error) => {
                // `$( )` around a bare expression is the likeliest slip.
                let inner = text.trim().strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
                refuse(
                    at,
                    &error,
                    inner.map(|inner| format!("this field is CEL as it is: write {inner}")),
                    remarks,
                );
                None
            }
        }
    }

    /// Text with `$( CEL )` in it.
    pub(super) fn template(
        &self,
        at: &Cursor<'_>,
        text: &str,
        sight: &Sight<'_>,
        remarks: &mut Remarks,
    ) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                for expr in template.exprs() {
                    self.check(expr.refs(), &Place { at, text }, sight, remarks);
                }
                Some(template)
            }
            Err(error) => {
                refuse(at, &error, None, remarks);
                None
            }
        }
    }

    fn check(&self, refs: &Refs, place: &Place<'_>, sight: &Sight<'_>, remarks: &mut Remarks) {
        for root in &refs.roots {
            if let Some((reason, fix)) = self.root(root, sight) {
                place.remark(place.of(root), reason, fix, remarks);
            }
        }
        for name in &refs.params {
            if !self.params.contains(&name.as_str()) && !self.source.lost_param(name) {
                let fix = near::did_you_mean(name, self.params.iter().copied());
                let fix = fix.or_else(|| Some(format!("declare it: params: [{{name: {name}}}]")));
                place.remark(
                    place.of_member("params", name),
                    format!("unknown param {}", quoted(name)),
                    fix,
                    remarks,
                );
            }
        }
        for name in &refs.tasks {
            if let Some((reason, fix)) = self.task(name, sight, remarks.affords_advice()) {
                place.remark(place.of_member("tasks", name), reason, fix, remarks);
            }
        }
        // The engine hands an expression the tasks that it names and no others.
        if refs.whole_tasks {
            let reason = "tasks is used without the name of a task".to_string();
            place.remark(
                place.of("tasks"),
                reason,
                Some("name each: tasks.<name>.outputs".to_string()),
                remarks,
            );
        }
        for (task, fields) in &refs.task_fields {
            for field in
                fields.iter().filter(|field| *field != WHOLE && !TASK_FIELDS.contains(&field.as_str()))
            {
                let fix = near::did_you_mean(field, TASK_FIELDS);
                let fix = fix.unwrap_or_else(|| format!("known: {}", TASK_FIELDS.join(", ")));
                let reason = format!("tasks.{task} has no field {}", quoted(field));
                place.remark(place.of_member("tasks", task), reason, Some(fix), remarks);
            }
        }
    }

    fn root(&self, root: &str, sight: &Sight<'_>) -> Option<(String, Option<String>)> {
        let known = matches!(root, "params" | "tasks" | "run") || sight.variable == Some(root);
        if known || sight.variable_lost || (root == "index" && sight.variable.is_some()) {
            return None;
        }
        if let Some((variable, field)) = sight.hidden
            && (root == variable || root == "index")
        {
            let reason = format!("{field} does not see {root}: it is evaluated once, before forEach expands");
            return Some((
                reason,
                Some("use it in env or command, or filter the list in forEach.from".to_string()),
            ));
        }
        let reason = match root {
            "schedule" => "schedule is not supported yet".to_string(),
            "index" => "index is known in a task with forEach only".to_string(),
            _ => format!("unknown name {}", quoted(root)),
        };
        let names = ["params", "tasks", "run"].into_iter().chain(sight.variable);
        let fix = if self.params.contains(&root) {
            format!("did you mean params.{root}?")
        } else if self.graph.task(root).is_some() {
            format!("did you mean tasks.{root}?")
        } else {
            let known = names.clone().collect::<Vec<_>>().join(", ");
            near::did_you_mean(root, names).unwrap_or_else(|| format!("known here: {known}"))
        };
        Some((reason, Some(fix)))
    }

    fn task(&self, name: &str, sight: &Sight<'_>, advice: bool) -> Option<(String, Option<String>)> {
        let Some(other) = self.graph.task(name) else {
            let near = || near::did_you_mean(&cel_name(name), self.graph.cel_names());
            let unknown = (format!("unknown task {}", quoted(name)), advice.then(near).flatten());
            return (!self.source.lost_task(name)).then_some(unknown);
        };
        let no = sight.task?;
        let (task, other_task) = (&self.source.tasks[no], &self.source.tasks[other]);
        let (this, that) = (task.spec.name.as_str(), other_task.spec.name.as_str());
        if other == no {
            return Some((
                "a task does not see itself".to_string(),
                Some("use the results of others".to_string()),
            ));
        }
        if task.finally && !other_task.finally {
            return None;
        }
        if other_task.finally && !task.finally {
            let reason = format!("{} is a finally task: it comes after {}", quoted(that), quoted(this));
            return Some((reason, Some("move one of the two".to_string())));
        }
        if self.graph.is_ancestor(other, no).unwrap_or(true) {
            return None;
        }
        let reason =
            format!("{} does not come before {}, so its result is not there", quoted(that), quoted(this));
        let fix = match self.graph.is_ancestor(no, other) {
            Some(true) => format!("{that} waits for {this}: turn the dependency round"),
            _ => format!("add {that} to dependsOn of {this}"),
        };
        Some((reason, Some(fix)))
    }
}

/// An expression's field and its text, to point into.
struct Place<'a> {
    at: &'a Cursor<'a>,
    text: &'a str,
}

impl Place<'_> {
    fn remark(&self, offset: usize, reason: String, fix: Option<String>, remarks: &mut Remarks) {
        remarks.push(Remark { at: self.at.place_of(offset), path: self.at.path.clone(), reason, fix });
    }

    /// Where a name stands, in characters; the beginning when it cannot be told.
    fn of(&self, name: &str) -> usize {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let found = self.text.match_indices(name).find(|(at, _)| {
            !self.text[..*at].ends_with(word)
                && !self.text[at + name.len()..].starts_with(|c| word(c) && c != '.')
        });
        found.map_or(0, |(at, _)| self.text[..at].chars().count())
    }

    fn of_member(&self, root: &str, name: &str) -> usize {
        match self.of(&format!("{root}.{name}")) {
            0 if !self.text.starts_with(root) => self.of(root),
            offset => offset,
        }
    }
}

fn refuse(at: &Cursor<'_>, error: &ExprError, fix: Option<String>, remarks: &mut Remarks) {
    let place = error.at.map_or(at.at, |offset| at.place_of(offset));
    remarks.push(Remark { at: place, path: at.path.clone(), reason: error.message.clone(), fix });
}
