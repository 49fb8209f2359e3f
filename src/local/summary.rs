//! What it came to: which tasks ran, how long, how often, and why something did not.

use crate::local::screen::Screen;
use crate::model::{status::TaskStatus, task_run::TaskRow, time::between, workflow::Workflow};
use crate::store::RunRecord;

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
    let lines = lines(workflow, record);
    let width = |of: fn(&Line) -> usize, least: usize| lines.iter().map(of).max().unwrap_or(0).max(least);
    let name = width(|l| l.name.chars().count(), 4);
    let status = width(|l| l.status.as_str().len(), 6);
    let time = width(|l| l.time.len(), 4);
    screen.say("");
    screen.say(&format!("{:<name$}  {:<status$}  TRIES  {:>time$}  WHY", "TASK", "STATUS", "TIME"));
    for line in &lines {
        let padding = " ".repeat(status.saturating_sub(line.status.as_str().len()));
        let painted = screen.task_status(line.status);
        let text = format!(
            "{:<name$}  {painted}{padding}  {:>5}  {:>time$}  {}",
            line.name, line.tries, line.time, line.why
        );
        screen.say(text.trim_end());
    }
    let run = &record.run;
    let took = run.finished_at.map_or(0.0, |end| between(run.started_at, end).as_secs_f64());
    let mut end = format!("{}: {} in {took:.2}s", run.name, screen.run_status(run.status));
    if let Some(reason) = run.reason {
        end.push_str(&format!(": {}", reason.sentence()));
    }
    if let Some(error) = &run.error {
        end.push_str(&format!(": {error}"));
    }
    screen.say(&end);
    if let Some(outputs) = run.outputs.as_ref().and_then(|o| o.as_object()) {
        for (name, value) in outputs {
            screen.say(&format!("  {name} = {value}"));
        }
    }
}

fn lines(workflow: &Workflow, record: &RunRecord) -> Vec<Line> {
    let mut lines = Vec::new();
    for task in &workflow.tasks {
        let of_task = record.tasks.iter().filter(|t| t.key.task == task.no);
        let round = of_task.clone().map(|t| t.key.round).max().unwrap_or(1);
        let (items, own): (Vec<&TaskRow>, Vec<&TaskRow>) =
            of_task.filter(|t| t.key.round == round).partition(|t| t.key.item.is_some());
        let Some(row) = own.first() else { continue };
        let mut line = line(task.name.clone(), row);
        if task.for_each.is_some() {
            let good = items.iter().filter(|i| i.status == TaskStatus::Success).count();
            line.tries = "-".to_owned();
            let count = format!("{good} of {} items SUCCESS", items.len());
            line.why = if line.why.is_empty() { count } else { format!("{}; {count}", line.why) };
        }
        lines.push(line);
        let bad: Vec<&&TaskRow> = items.iter().filter(|i| i.status != TaskStatus::Success).collect();
        lines.extend(bad.iter().take(ITEMS_LISTED).map(|item| {
            let name = format!("{}[{}]", task.name, item.key.item.unwrap_or_default());
            self::line(name, item)
        }));
        if let (Some(more), Some(last)) = (bad.len().checked_sub(ITEMS_LISTED + 1), lines.last_mut()) {
            last.why.push_str(&format!(" (and {} more items)", more + 1));
        }
    }
    lines
}

fn line(name: String, row: &TaskRow) -> Line {
    let time = match (row.started_at, row.finished_at) {
        (Some(start), Some(end)) => format!("{:.2}s", between(start, end).as_secs_f64()),
        _ => "-".to_owned(),
    };
    let quiet = row.status == TaskStatus::Success;
    let mut why = row.reason.filter(|_| !quiet).map(|r| r.sentence().to_owned()).unwrap_or_default();
    if let (false, Some(error)) = (quiet, &row.error) {
        why = if why.is_empty() { error.clone() } else { format!("{why}: {error}") };
    }
    let tries = if row.attempt == 0 { "-".to_owned() } else { row.attempt.to_string() };
    Line { name, status: row.status, tries, time, why: why.replace('\n', "; ") }
}
