//! What is said of a Run: a pure function of what is known of it.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::crd::run::DesiredState;
use crate::crd::status::{
    Awaiting, ConditionStatus, Disregarded, Failed, Fitted as _, RunStatus, TaskCounts,
};
use crate::model::{
    reason::Reason,
    status::{RunStatus as RunState, TaskStatus},
    task_run::Decision,
    view::{Asking, Failure, RunView},
};
use crate::operator::PoolState;
use crate::operator::api::ObjectName;
use crate::operator::conditions::{self, Standing};

/// Before the name of a task: the key of an annotation that approves it.
pub const APPROVAL_PREFIX: &str = "approval.relay.works/";

/// The state of a run that was set aside.
pub const SET_ASIDE: &str = "SetAside";
/// The state of a Run whose status tells more than the store knows.
pub const STORE_BEHIND: &str = "StoreBehind";

/// A Run that was not accepted, or does not go on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// In one word.
    pub reason: &'static str,
    /// In words for people, with what would help.
    pub message: String,
    /// Must somebody mend it? Else it goes on by itself.
    pub stalled: bool,
}

/// What there is to tell of a Run.
#[derive(Clone, Debug, PartialEq)]
pub enum Story {
    /// It is not accepted, or does not go on: what was said of it before stays.
    Waiting(Waiting),
    /// It was cancelled while there was nothing to run, and what is said of that.
    Withdrawn(&'static str),
    /// It was accepted, and this became of it.
    Accepted(Box<RunView>),
}

/// All that a status follows from.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    /// The object.
    pub name: &'a ObjectName,
    /// The generation of it that was looked at.
    pub generation: i64,
    /// What became of it.
    pub story: &'a Story,
    /// Pools that its tasks wait for and that cannot take them.
    pub pools: &'a [(String, PoolState)],
    /// The desiredState that was acted on last.
    pub desired: Option<DesiredState>,
    /// What else its user should know, a sentence each.
    pub notes: &'a [String],
    /// Approvals that decided nothing.
    pub disregarded: &'a [Disregarded],
    /// What was said before.
    pub before: &'a RunStatus,
    /// The time.
    pub now: Timestamp,
}

/// The status to be written.
pub fn of(telling: &Telling<'_>) -> RunStatus {
    let (state, succeeded, mut standing) = standing(telling);
    for note in telling.notes {
        standing.message = format!("{}; {note}", standing.message);
    }
    let conditions =
        conditions::of_run(succeeded, &standing, telling.generation, &telling.before.conditions, telling.now);
    let status = RunStatus {
        observed_generation: Some(telling.generation),
        state: Some(state.to_owned()),
        message: Some(standing.message),
        desired: telling.desired.map(|desired| desired.as_str().to_owned()),
        disregarded: telling.disregarded.to_vec(),
        conditions,
        ..telling.before.clone()
    };
    match telling.story {
        Story::Waiting(_) => status.fitted(),
        Story::Withdrawn(_) => {
            let finished_at = telling.before.finished_at.or(Some(telling.now));
            // Nobody is asked any longer.
            RunStatus { finished_at, awaiting: Vec::new(), more_awaiting: None, ..status }.fitted()
        }
        Story::Accepted(view) => with_view(status, telling.name, view).fitted(),
    }
}

/// A status of an earlier generation, said again of this one: what ended is not looked at any more.
pub fn again(before: &RunStatus, generation: i64) -> RunStatus {
    let mut status = RunStatus { observed_generation: Some(generation), ..before.clone() };
    for condition in &mut status.conditions {
        condition.observed_generation = Some(generation);
    }
    status
}

/// Do both say the same? The position alone tells nobody anything.
pub fn same(one: &RunStatus, other: &RunStatus) -> bool {
    RunStatus { position: other.position, ..one.clone() } == *other
}

fn with_view(status: RunStatus, name: &ObjectName, view: &RunView) -> RunStatus {
    let outputs = view.row.outputs.as_deref().map(without_nulls);
    let outputs = outputs.as_ref().and_then(Json::as_object).filter(|outputs| !outputs.is_empty());
    let more = |count: u32| (count > 0).then_some(count);
    RunStatus {
        position: Some(view.position),
        revision: Some(view.row.workflow.to_string()),
        started_at: Some(view.row.started_at),
        finished_at: view.row.finished_at,
        tasks: Some(TaskCounts::from(&view.tasks)),
        awaiting: view.askings.iter().map(|asking| awaiting(name, asking)).collect(),
        more_awaiting: more(view.more_askings),
        failures: view.failures.iter().map(failed).collect(),
        more_failures: more(view.more_failures),
        outputs: outputs.cloned(),
        outputs_note: None,
        ..status
    }
}

/// A merge patch cannot say that a member is null, so a status does not either. The store has it.
fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !value.is_null());
            Json::Object(said.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

fn awaiting(name: &ObjectName, asking: &Asking) -> Awaiting {
    let yes = asking.words.iter().filter(|word| word.decision == Decision::Approved);
    Awaiting {
        task: asking.task.clone(),
        asking: asking.number,
        message: asking.question.clone(),
        required: asking.required,
        approved_by: yes.map(|word| said_by(&word.user, word.verified)).collect(),
        since: asking.since,
        until: asking.until,
        command: Some(command(name, &asking.task)),
    }
}

/// Who said it, and whether the API server vouched for the name.
pub fn said_by(user: &str, verified: bool) -> String {
    if verified { user.to_owned() } else { format!("{user} (unverified)") }
}

/// The command that approves a task.
pub fn command(name: &ObjectName, task: &str) -> String {
    format!("kubectl annotate run {} -n {} {APPROVAL_PREFIX}{task}=approved", name.name, name.namespace)
}

fn failed(failure: &Failure) -> Failed {
    Failed {
        task: failure.task.clone(),
        item: failure.key.item,
        attempts: failure.attempts,
        reason: failure.reason.map(|reason| reason.as_str().to_owned()),
        exit_code: failure.exit_code,
        message: failure.error.clone().or_else(|| failure.reason.map(|reason| reason.sentence().to_owned())),
    }
}

/// The state in a word, whether it succeeded, and what else there is to say.
fn standing(telling: &Telling<'_>) -> (&'static str, ConditionStatus, Standing) {
    let view = match telling.story {
        Story::Accepted(view) => view,
        Story::Waiting(Waiting { reason, message, stalled }) => {
            let (reason, message) = (*reason, message.clone());
            let standing =
                Standing { reason: reason.to_owned(), message, reconciling: !stalled, stalled: *stalled };
            return (reason, ConditionStatus::Unknown, standing);
        }
        Story::Withdrawn(why) => {
            let message = (*why).to_owned();
            let reason = "Cancelled".to_owned();
            let standing = Standing { reason, message, reconciling: false, stalled: false };
            return ("Cancelled", ConditionStatus::False, standing);
        }
    };
    if let Some(why) = &view.aside {
        let (reason, message) = (SET_ASIDE.to_owned(), aside(why));
        let standing = Standing { reason, message, reconciling: false, stalled: true };
        return (SET_ASIDE, ConditionStatus::Unknown, standing);
    }
    match view.row.status {
        RunState::Queued | RunState::Running => {
            let (state, message) = live(telling, view);
            let reason = state.to_owned();
            (state, ConditionStatus::Unknown, Standing { reason, message, reconciling: true, stalled: false })
        }
        status => {
            let state = match status {
                RunState::Success => "Succeeded",
                RunState::Cancelled => "Cancelled",
                _ => "Failed",
            };
            let failed = state == "Failed";
            let reason = view.row.reason.filter(|_| state != "Succeeded").map_or(state, Reason::as_str);
            let succeeded = if state == "Succeeded" { ConditionStatus::True } else { ConditionStatus::False };
            let message = ended(view, state);
            let standing =
                Standing { reason: reason.to_owned(), message, reconciling: false, stalled: failed };
            (state, succeeded, standing)
        }
    }
}

/// Why a run that was set aside does not go on, and what to do.
pub fn aside(why: &str) -> String {
    format!(
        "it cannot go on: {why}; mend that in the database, then set desiredState to Paused and to Running again, which \
         loads the run anew; or end it: set desiredState to Cancelled, or delete the Run"
    )
}

/// How a live run stands, and behind that what it waits for.
fn live(telling: &Telling<'_>, view: &RunView) -> (&'static str, String) {
    let (mut state, mut message) = goes(telling, view);
    let namespace = &telling.name.namespace;
    for (pool, stands) in telling.pools {
        let (word, why) = match stands {
            PoolState::Works => continue,
            PoolState::Missing => (
                "PoolMissing",
                format!("which does not exist: create WorkerPool {pool} in namespace {namespace}"),
            ),
            PoolState::NoCapacity(why) => ("NoCapacity", format!("of which no worker can start: {why}")),
            PoolState::Stalled(why) => ("PoolStalled", format!("which does not work: {why}")),
        };
        if state == "Running" && view.row.stop.is_none() {
            state = word;
        }
        message = format!("{message}; tasks wait for pool {pool}, {why}");
    }
    (state, message)
}

fn goes(telling: &Telling<'_>, view: &RunView) -> (&'static str, String) {
    let counts = TaskCounts::from(&view.tasks);
    let running = counts.running.unwrap_or(0);
    let progress = format!("{} tasks are done, {running} run", counts.progress);
    match &view.row.stop {
        Some(stop) if stop.reason == Reason::Cancelled => {
            let finally = if stop.finally { ", then its finally tasks run" } else { "" };
            return ("Cancelling", format!("it is being cancelled{finally}; {progress}"));
        }
        Some(stop) => {
            return ("Running", format!("it is being stopped: {}; {progress}", stop.reason.sentence()));
        }
        None => {}
    }
    if view.row.paused_at.is_some() {
        return ("Paused", format!("nothing new starts until desiredState is Running; {progress}"));
    }
    if let Some(asking) = view.askings.first() {
        let more = view.askings.len() - 1 + view.more_askings as usize;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let command = command(telling.name, &asking.task);
        return ("AwaitingApproval", format!("task {}{more} waits for an approval: {command}", asking.task));
    }
    ("Running", progress)
}

fn ended(view: &RunView, state: &str) -> String {
    let counts = TaskCounts::from(&view.tasks);
    let why = match (&view.row.error, view.row.reason) {
        (Some(error), _) => error.clone(),
        (None, Some(reason)) => reason.sentence().to_owned(),
        (None, None) => String::new(),
    };
    match state {
        "Succeeded" => format!("all is done: {} tasks", counts.progress),
        "Cancelled" if view.tasks.is_empty() => "it was cancelled before it began".to_owned(),
        "Cancelled" => format!("it was cancelled; {} tasks had ended", ended_before(view)),
        _ => match view.failures.first() {
            None => why,
            Some(first) => {
                let more = view.failures.len() - 1 + view.more_failures as usize;
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                format!("{why}: {}{more}", failure_in_words(&failed(first)))
            }
        },
    }
}

/// Tasks that ended by themselves before a cancel.
fn ended_before(view: &RunView) -> String {
    let total: u32 = view.tasks.values().sum();
    let own = [TaskStatus::Success, TaskStatus::Failed, TaskStatus::Skipped, TaskStatus::UpstreamFailed];
    let ended: u32 = own.iter().filter_map(|status| view.tasks.get(status)).sum();
    format!("{ended} of {total}")
}

/// `load[3] (ExitCode 2)`. What the task itself said, which may be the end of its output, stands in `failures` alone.
pub fn failure_in_words(failure: &Failed) -> String {
    let item = failure.item.map(|item| format!("[{item}]")).unwrap_or_default();
    let reason = failure.reason.as_deref().unwrap_or("Failed");
    let code = failure.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{item} ({reason}{code})", failure.task)
}
