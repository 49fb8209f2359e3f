//! What a user sees while runs go on: a line for each state that matters, and each task's log with its name before it.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use jiff::Timestamp;

use crate::feed::{Edge, Event, LogLine};
use crate::model::{
    ids::{RunId, TaskKey},
    reason::Reason,
    status::{RunStatus, TaskStatus},
    time::between,
    workflow::Workflow,
};

/// Labels are padded to at most so many characters.
const LABEL_MAX: usize = 32;

struct Shown {
    name: String,
    workflow: Arc<Workflow>,
    started: Timestamp,
}

/// Where lines go.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    colour: bool,
    runs: BTreeMap<RunId, Shown>,
    width: usize,
    /// The reader has gone (a closed pipe): the runs go on unseen.
    gone: bool,
}

impl Screen {
    pub(super) fn new(out: Box<dyn Write + Send>, colour: bool) -> Screen {
        Screen { out, colour, runs: BTreeMap::new(), width: 0, gone: false }
    }

    /// A run will be shown.
    pub(super) fn add(&mut self, id: &RunId, name: &str, workflow: Arc<Workflow>, started: Timestamp) {
        self.runs.insert(id.clone(), Shown { name: name.to_owned(), workflow, started });
        let labels: Vec<usize> = self
            .runs
            .iter()
            .flat_map(|(id, shown)| {
                shown.workflow.tasks.iter().map(|t| TaskKey::of_task(t.no)).map(move |k| (id, k))
            })
            .map(|(id, key)| self.label(id, key).chars().count())
            .collect();
        self.width = labels.into_iter().max().unwrap_or(0).min(LABEL_MAX);
    }

    /// A sentence of Relay's own.
    pub(super) fn say(&mut self, text: &str) {
        self.line(text);
    }

    /// A task's name, with its item, and with its run when there are several.
    pub(super) fn label(&self, run: &RunId, key: TaskKey) -> String {
        let Some(shown) = self.runs.get(run) else { return run.to_string() };
        let task = shown.workflow.task(key.task).map_or("?", |t| t.name.as_str());
        let item = key.item.map(|i| format!("[{i}]")).unwrap_or_default();
        match self.runs.len() {
            1 => format!("{task}{item}"),
            _ => format!("{}/{task}{item}", shown.name),
        }
    }

    /// A line of a task's log.
    pub(super) fn log(&mut self, line: &LogLine) {
        let id = &line.job.task_run;
        let label = self.label(&id.run, id.key);
        let bar = self.paint("2", "|");
        let text = format!("{label:<width$} {bar} {}", line.text, width = self.width);
        self.line(&text);
    }

    /// A transition, if it is one that people wait for.
    pub(super) fn event(&mut self, event: &Event) {
        let Some(shown) = self.runs.get(&event.run) else { return };
        let since = between(shown.started, event.at).as_secs_f64();
        let (label, status, more) = match &event.edge {
            Edge::Task { key, attempt, to, .. } => {
                let group = key.item.is_none() && shown.workflow.at(key.task).for_each.is_some();
                let told = to.is_final()
                    || matches!(to, TaskStatus::Running | TaskStatus::Blocked | TaskStatus::Retrying);
                if !told || (group && *to == TaskStatus::Running) {
                    return;
                }
                let tries = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                (self.label(&event.run, *key), self.task_status(*to), format!("{tries}{}", why(event)))
            }
            Edge::Run { to, .. } if to.is_final() => (shown.name.clone(), self.run_status(*to), why(event)),
            Edge::Run { .. } | Edge::SetAside => return,
        };
        let text = format!("[{since:>8.2}s] {label:<width$} {status}{more}", width = self.width);
        self.line(&text);
    }

    pub(super) fn task_status(&self, status: TaskStatus) -> String {
        let code = match status {
            TaskStatus::Success => "32",
            TaskStatus::Failed => "31",
            TaskStatus::Blocked | TaskStatus::Retrying => "33",
            _ => "2",
        };
        self.paint(code, status.as_str())
    }

    pub(super) fn run_status(&self, status: RunStatus) -> String {
        let code = match status {
            RunStatus::Success => "1;32",
            RunStatus::Failed | RunStatus::Cancelled => "1;31",
            _ => "1",
        };
        self.paint(code, status.as_str())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        // Whoever read this has gone away: that is no reason to stop the runs.
        self.gone = self.gone || writeln!(self.out, "{text}").and_then(|()| self.out.flush()).is_err();
    }
}

fn why(event: &Event) -> String {
    let reason = match event.reason {
        Some(Reason::Approved | Reason::AwaitingApproval) | None => String::new(),
        Some(reason) => format!(": {}", reason.sentence()),
    };
    match &event.error {
        Some(error) if !reason.is_empty() => format!("{reason}: {}", first_line(error)),
        _ => reason,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
