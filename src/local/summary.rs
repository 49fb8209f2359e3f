//! What it came to: which tasks ran, how long, how often, and why something did not.

use std::collections::BTreeMap;

use crate::local::screen::{Screen, lasted, told_why};
use crate::model::{
    reason::Reason,
    status::TaskStatus,
    task::{Task, TaskNo},
    task_run::TaskRow,
    time::between,
    workflow::Workflow,
};
use crate::store::RunRecord;

/// The rows of a run, by task: those of one task in the order of the record.
type Rows<'a> = BTreeMap<TaskNo, Vec<&'a TaskRow>>;

/// Items of a forEach that did not succeed are listed up to so many.
const ITEMS_LISTED: usize = 20;

struct Line {
    name: String,
    status: TaskStatus,
    tries: String,
    time: String,
    why: String,
}

/// Prints the summary of a run that has ended, from what is committed of it.
pub(super) fn summarize(screen: &mut Screen, workflow: &Workflow, record: &RunRecord) {
    screen.say("");
    table(screen, &lines(workflow, record));
    let run = &record.run;
    let took = run.finished_at.map_or_else(|| "-".to_owned(), |end| lasted(between(run.started_at, end)));
    let why = match told_why(run.reason, run.error.as_deref()) {
        why if why.is_empty() => why,
        why => format!(": {why}"),
    };
    screen.say(&format!("{}: {} in {took}{why}", run.name, screen.run_status(run.status)));
    if let Some(outputs) = run.outputs.as_ref().and_then(|o| o.as_object()) {
        for (name, value) in outputs {
            screen.say(&format!("  output {name} = {value}"));
        }
    }
}

fn table(screen: &mut Screen, lines: &[Line]) {
    let width = |of: fn(&Line) -> usize, least: usize| lines.iter().map(of).max().unwrap_or(0).max(least);
    let name = width(|l| l.name.chars().count(), 4);
    let status = width(|l| l.status.as_str().len(), 6);
    let time = width(|l| l.time.len(), 4);
    screen.say(&format!("{:<name$}  {:<status$}  TRIES  {:>time$}  WHY", "TASK", "STATUS", "TIME"));
    for line in lines {
        let padding = " ".repeat(status.saturating_sub(line.status.as_str().len()));
        let painted = screen.task_status(line.status);
        let mut why = line.why.lines();
        let text = format!(
            "{:<name$}  {painted}{padding}  {:>5}  {:>time$}  {}",
            line.name,
            line.tries,
            line.time,
            why.next().unwrap_or_default()
        );
        screen.say(text.trim_end());
        // A text of several lines goes on below its first, in the same column.
        let indent = name + 2 + status + 2 + "TRIES".len() + 2 + time + 2;
        why.for_each(|more| screen.say(&format!("{:indent$}{more}", "")));
    }
}

fn lines(workflow: &Workflow, record: &RunRecord) -> Vec<Line> {
    let mut rows = Rows::new();
    record.tasks.iter().for_each(|row| rows.entry(row.key.task).or_default().push(row));
    let mut lines = Vec::new();
    for task in &workflow.tasks {
        let Some(of_task) = rows.get(&task.no) else { continue };
        let round = of_task.iter().map(|t| t.key.round).max().unwrap_or(1);
        let (items, own): (Vec<&TaskRow>, Vec<&TaskRow>) =
            of_task.iter().copied().filter(|t| t.key.round == round).partition(|t| t.key.item.is_some());
        let Some(row) = own.first() else { continue };
        let mut line = line(task.name.clone(), row);
        if let Some(Reason::UpstreamFailed | Reason::UpstreamSkipped) = row.reason {
            line.why.push_str(&culprits(workflow, &rows, task));
        }
        if !items.is_empty() {
            let good = items.iter().filter(|i| i.status == TaskStatus::Success).count();
            let count = format!("{good} of {} items SUCCESS", items.len());
            line.tries = "-".to_owned();
            line.why = if line.why.is_empty() { count } else { format!("{}; {count}", line.why) };
        }
        lines.push(line);
        let bad: Vec<&&TaskRow> = items.iter().filter(|i| i.status != TaskStatus::Success).collect();
        lines.extend(bad.iter().take(ITEMS_LISTED).map(|item| {
            let name = format!("{}[{}]", task.name, item.key.item.unwrap_or_default());
            self::line(name, item)
        }));
        if let (more @ 1.., Some(last)) = (bad.len().saturating_sub(ITEMS_LISTED), lines.last_mut()) {
            last.why.push_str(&format!(" (and {more} more items)"));
        }
    }
    lines
}

/// Which of a task's upstreams kept it from running.
fn culprits(workflow: &Workflow, rows: &Rows<'_>, task: &Task) -> String {
    let upstreams = task.depends_on.iter().filter_map(|no| rows.get(no)).flatten();
    let kept = |row: &&&TaskRow| row.status != TaskStatus::Success && row.key.item.is_none();
    let named = |row: &&TaskRow| format!("`{}` is {}", workflow.at(row.key.task).name, row.status);
    let named: Vec<String> = upstreams.filter(kept).map(named).collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

fn line(name: String, row: &TaskRow) -> Line {
    let time = match (row.started_at, row.finished_at) {
        (Some(start), Some(end)) => lasted(between(start, end)),
        _ => "-".to_owned(),
    };
    // Of a success the reason would be that of an earlier try.
    let quiet = row.status == TaskStatus::Success;
    let why = if quiet { String::new() } else { told_why(row.reason, row.error.as_deref()) };
    let tries = if row.attempt == 0 { "-".to_owned() } else { row.attempt.to_string() };
    Line { name, status: row.status, tries, time, why }
}
