//! What a user sees while runs go on: a line for each state that matters, and each task's log with its name before it.
//!
//! ```text
//!    0.01s extract   RUNNING
//!    0.02s extract | 1200 rows
//!    0.02s extract   SUCCESS
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::{io::Write, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::feed::{Edge, Event, LogLine, Stream};
use crate::local::wide::Wide;
use crate::model::{
    ids::{RunId, TaskKey},
    reason::Reason,
    status::{RunStatus, TaskStatus},
    task::TaskNo,
    time::between,
    workflow::Workflow,
};

/// Names are padded to at most so many characters.
const LABEL_MAX: usize = 40;
/// Longest error text in a live line, in characters; the summary has all of it.
const ERROR_SHOWN: usize = 120;

struct Shown {
    name: String,
    workflow: Arc<Workflow>,
    started: Timestamp,
    /// Attempts whose start was told.
    told: BTreeSet<(TaskKey, u32)>,
    groups: BTreeMap<TaskNo, Wide>,
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
        let (name, told, groups) = (name.to_owned(), BTreeSet::new(), BTreeMap::new());
        self.runs.insert(id.clone(), Shown { name, workflow, started, told, groups });
        let names = |(id, shown): (&RunId, &Shown)| {
            let labels = shown.workflow.tasks.iter().map(|t| self.label(id, TaskKey::of_task(t.no)));
            labels.map(|label| label.chars().count()).max()
        };
        self.width = self.runs.iter().filter_map(names).max().unwrap_or(0).min(LABEL_MAX);
    }

    /// A sentence of Relay's own.
    pub(super) fn say(&mut self, text: &str) {
        // Whoever read this has gone away: that is no reason to stop the runs.
        self.gone = self.gone || writeln!(self.out, "{text}").and_then(|()| self.out.flush()).is_err();
    }

    /// A task's name, with its item, and with its run when there are several.
    fn label(&self, run: &RunId, key: TaskKey) -> String {
        let Some(shown) = self.runs.get(run) else { return run.to_string() };
        let task = shown.workflow.task(key.task).map_or("?", |t| t.name.as_str());
        let item = key.item.map(|i| format!("[{i}]")).unwrap_or_default();
        match self.runs.len() {
            1 => format!("{task}{item}"),
            _ => format!("{}/{task}{item}", shown.name),
        }
    }

    /// A line of a task's log. It may be there sooner than the news that its task has started, which is told first.
    pub(super) fn log(&mut self, line: &LogLine) {
        let id = &line.job.task_run;
        self.start(&id.run, id.key, line.job.attempt, line.at);
        let bar = match line.stream {
            Stream::Stdout => self.paint("2", "|"),
            Stream::Stderr => self.paint("31", "|"),
        };
        self.told(&id.run, id.key, line.at, &format!("{bar} {}", line.text));
    }

    /// A transition, if it is one that people wait for.
    pub(super) fn event(&mut self, event: &Event) {
        let Some(shown) = self.runs.get(&event.run) else { return };
        match event.edge {
            Edge::Task { key, attempt, from, to, .. } => self.task(event, key, attempt, (from, to)),
            // With one run its summary, which follows, says it.
            Edge::Run { to, .. } if to.is_final() && self.runs.len() > 1 => {
                let text = format!("{}{}", self.run_status(to), why(event));
                let (name, since) = (shown.name.clone(), between(shown.started, event.at));
                self.line(since, &name, &format!("  {text}"));
            }
            Edge::Run { .. } | Edge::SetAside => {}
        }
    }

    fn task(&mut self, event: &Event, key: TaskKey, attempt: u32, edge: (Option<TaskStatus>, TaskStatus)) {
        let to = edge.1;
        let Some(shown) = self.runs.get_mut(&event.run) else { return };
        if to.is_final() || to == TaskStatus::Retrying {
            shown.told.remove(&(key, attempt));
        }
        let quiet = key.item.is_some() && {
            let group = shown.groups.entry(key.task).or_default();
            group.follow(edge.0, to);
            group.is_wide() && to == TaskStatus::Success
        };
        let is_group = key.item.is_none() && shown.workflow.at(key.task).for_each.is_some();
        match to {
            TaskStatus::Running if !is_group => self.start(&event.run, key, attempt, event.at),
            TaskStatus::Blocked | TaskStatus::Retrying => self.state(event, key, attempt, to),
            TaskStatus::Ready if edge.0 == Some(TaskStatus::Blocked) => self.state(event, key, attempt, to),
            _ if to.is_final() && !quiet => self.state(event, key, attempt, to),
            _ => {}
        }
        self.progress(event, key);
    }

    /// A wide forEach says now and then how far it is.
    fn progress(&mut self, event: &Event, key: TaskKey) {
        let Some(shown) = self.runs.get_mut(&event.run).filter(|_| key.item.is_some()) else { return };
        let far = shown.groups.get_mut(&key.task).and_then(Wide::progress);
        if let Some(far) = far {
            let group = TaskKey { item: None, ..key };
            self.told(&event.run, group, event.at, &format!("  {far}"));
        }
    }

    fn state(&mut self, event: &Event, key: TaskKey, attempt: u32, to: TaskStatus) {
        let tries = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
        let text = format!("  {}{tries}{}", self.task_status(to), why(event));
        self.told(&event.run, key, event.at, &text);
    }

    /// Says once that an attempt runs; of the items of a wide forEach it does not.
    fn start(&mut self, run: &RunId, key: TaskKey, attempt: u32, at: Timestamp) {
        let Some(shown) = self.runs.get_mut(run) else { return };
        let wide = key.item.is_some() && shown.groups.get(&key.task).is_some_and(Wide::is_wide);
        if wide || !shown.told.insert((key, attempt)) {
            return;
        }
        let tries = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
        let text = format!("  {}{tries}", self.task_status(TaskStatus::Running));
        self.told(run, key, at, &text);
    }

    fn told(&mut self, run: &RunId, key: TaskKey, at: Timestamp, text: &str) {
        let since = self.runs.get(run).map_or(Duration::ZERO, |shown| between(shown.started, at));
        let label = self.label(run, key);
        self.line(since, &label, text);
    }

    fn line(&mut self, since: Duration, label: &str, text: &str) {
        // Items make names longer; from then on the column is as wide as they need.
        self.width = self.width.max(label.chars().count()).min(LABEL_MAX);
        let text = format!("{:>8} {label:<width$} {text}", since_start(since), width = self.width);
        self.say(&text);
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

    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A time since the start: hundredths, for lines that are read one below the other.
fn since_start(time: Duration) -> String {
    if time < Duration::from_secs(60) { format!("{:.2}s", time.as_secs_f64()) } else { lasted(time) }
}

/// How long something took, in three figures or so.
pub(super) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time < Duration::from_millis(1) => "<1ms".to_owned(),
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.2}s", time.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

fn why(event: &Event) -> String {
    match told_why(event.reason, event.error.as_deref()) {
        why if why.is_empty() => why,
        why => format!(": {}", shortened(&why)),
    }
}

/// A reason and what is to be said beyond it; where that says it all, it alone.
pub(super) fn told_why(reason: Option<Reason>, error: Option<&str>) -> String {
    match (reason, error) {
        (Some(Reason::ExitCode | Reason::Timeout | Reason::Rejected), Some(error)) => error.to_owned(),
        (Some(reason), Some(error)) => format!("{}: {error}", reason.sentence()),
        (Some(reason), None) => reason.sentence().to_owned(),
        (None, error) => error.unwrap_or_default().to_owned(),
    }
}

/// The first line, cut where it is long.
fn shortened(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let cut: String = first.chars().take(ERROR_SHOWN).collect();
    if cut.len() < text.len() { cut + " …" } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_people_would_use() {
        let told = |millis| lasted(Duration::from_millis(millis));
        let times = [0, 7, 999, 1_000, 59_990, 60_000, 3_599_999, 3_600_000, 90_000_000].map(told);
        assert_eq!(times, ["<1ms", "7ms", "999ms", "1.00s", "59.99s", "1m00s", "59m59s", "1h00m", "25h00m"]);
    }

    #[test]
    fn a_long_error_is_cut_in_a_live_line_and_marked_so() {
        let long = format!("{}\nsecond line", "x".repeat(300));
        assert_eq!(shortened(&long), format!("{} …", "x".repeat(ERROR_SHOWN)));
        assert_eq!(shortened("first\nsecond"), "first …");
        assert_eq!(shortened("short"), "short");
    }
}
