//! Events of Runs and Workflows: what `kubectl describe` shows of what happened. They follow from two statuses, the one
//! that was there and the one that was written, so a restart tells nothing twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::crd::status::{RunStatus, WorkflowStatus};
use crate::operator::api::{ApiError, Cluster, within};
use crate::operator::conditions::finished;
use crate::operator::status::failure_in_words;

/// Who reports.
const REPORTER: &str = "relay.works/operator";
/// Bytes of a text; the API server takes 1,024.
const NOTE_BYTES: usize = 1_000;
/// Events that wait to be sent; more are dropped, for they are news and not the truth.
const WAITING_MAX: usize = 1_000;
/// Between two Events: at most 33 a second, for they are news, and with 66 statuses that is what the API server is asked for.
pub const PACE: Duration = Duration::from_millis(30);
/// Events that are remembered, to be counted if they come again: each takes some kilobytes for minutes, so that those of
/// many Runs at once would take more than the Runs.
const REMEMBERED_MAX: usize = 500;
/// Events on their way at a time.
const AT_ONCE: usize = 4;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In one word.
    pub reason: &'static str,
    /// Is it worth a look?
    pub warning: bool,
    /// What it is about within the object: a task's name, or nothing. Events of one reason about different things
    /// are not counted together.
    pub about: String,
    /// In words.
    pub note: String,
}

impl Told {
    /// Something that went as it should.
    pub fn normal(reason: &'static str, about: &str, note: String) -> Told {
        Told { reason, warning: false, about: about.to_owned(), note }
    }

    /// Something to look at.
    pub fn warning(reason: &'static str, about: &str, note: String) -> Told {
        Told { reason, warning: true, about: about.to_owned(), note }
    }
}

/// What happened to a Run between two statuses of it.
pub fn of_run(before: &RunStatus, now: &RunStatus) -> Vec<Told> {
    let (state, message) =
        (now.state.as_deref().unwrap_or_default(), now.message.clone().unwrap_or_default());
    if finished(&now.conditions) {
        return if finished(&before.conditions) { Vec::new() } else { vec![ending(state, now, message)] };
    }
    let mut told = Vec::new();
    if before.started_at.is_none() && now.started_at.is_some() {
        let revision = now.revision.as_deref().unwrap_or_default();
        told.push(Told::normal("Started", "", format!("accepted as {revision}")));
    }
    let known =
        |task: &str, asking: u32| before.awaiting.iter().any(|a| a.task == task && a.asking == asking);
    for asking in now.awaiting.iter().filter(|asking| !known(&asking.task, asking.asking)) {
        let command = asking.command.as_deref().unwrap_or_default();
        let question = asking.message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let note = format!("task {} waits for an approval{question}; to approve: {command}", asking.task);
        told.push(Told::normal("AwaitingApproval", &asking.task, note));
    }
    let fresh: Vec<_> = now
        .failures
        .iter()
        .filter(|failure| {
            !before.failures.iter().any(|old| old.task == failure.task && old.item == failure.item)
        })
        .collect();
    if let Some(first) = fresh.first() {
        let more = if fresh.len() > 1 { format!(", and {} more", fresh.len() - 1) } else { String::new() };
        let note = format!("{}{more}", failure_in_words(first));
        told.push(Told::warning("TaskFailed", &first.task, note));
    }
    if before.state != now.state {
        told.extend(entered(state, message));
    }
    told
}

fn entered(state: &str, message: String) -> Option<Told> {
    let reason = match state {
        "WorkflowMissing" => "WorkflowMissing",
        "WorkflowInvalid" => "WorkflowInvalid",
        "WorkflowPending" => "WorkflowPending",
        "PoolMissing" => "PoolMissing",
        "NoCapacity" => "NoCapacity",
        "PoolStalled" => "PoolStalled",
        "Invalid" => "Invalid",
        "NotAccepted" => "NotAccepted",
        "SetAside" => "SetAside",
        "StoreBehind" => "StoreBehind",
        "LimitReached" => "LimitReached",
        "Cancelling" => return Some(Told::normal("Cancelling", "", message)),
        "Paused" => return Some(Told::normal("Paused", "", message)),
        _ => return None,
    };
    Some(Told::warning(reason, "", message))
}

fn ending(state: &str, now: &RunStatus, message: String) -> Told {
    match state {
        "Succeeded" => Told::normal("Succeeded", "", message),
        "Cancelled" => Told::normal("Cancelled", "", message),
        _ => {
            let refused = now.conditions.iter().any(|known| known.reason == "InvalidParams");
            // Findings repeat what was given, and values do not belong into Events.
            let note =
                if refused { "its params were refused: see status.message".to_owned() } else { message };
            Told::warning("Failed", "", note)
        }
    }
}

/// What happened to a Workflow between two statuses of it.
pub fn of_workflow(before: &WorkflowStatus, now: &WorkflowStatus) -> Vec<Told> {
    let why = |status: &WorkflowStatus| {
        let ready = status.conditions.iter().find(|known| known.kind == "Ready")?;
        let event = match ready.reason.as_str() {
            "Invalid" => "WorkflowInvalid",
            "NotStored" => "WorkflowNotStored",
            _ => return None,
        };
        Some((event, ready.message.clone()))
    };
    match (why(before), why(now)) {
        (before, Some((event, why))) if before.as_ref() != Some(&(event, why.clone())) => {
            vec![Told::warning(event, "", why)]
        }
        (Some(_), None) => vec![Told::normal("WorkflowValid", "", "it can run".to_owned())],
        _ => Vec::new(),
    }
}

/// Takes Events to be sent; never waits.
#[derive(Clone, Debug)]
pub struct Herald {
    sender: mpsc::Sender<(ObjectReference, Told)>,
    dropped: Arc<AtomicU64>,
}

impl Herald {
    /// A herald, and what it hands over, for [`send`].
    pub fn new() -> (Herald, mpsc::Receiver<(ObjectReference, Told)>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Herald { sender, dropped: Arc::default() }, receiver)
    }

    /// Tells something of an object.
    pub fn tell(&self, of: &ObjectReference, told: Told) {
        if self.sender.try_send((of.clone(), told)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "Events were dropped: too many waited to be sent");
        }
    }
}

/// Sends Events until `stop`. One that cannot be sent is dropped, and said so.
pub async fn send(
    cluster: &Cluster,
    instance: &str,
    mut waiting: mpsc::Receiver<(ObjectReference, Told)>,
    stop: &CancellationToken,
) {
    let reporter = Reporter { controller: REPORTER.to_owned(), instance: Some(instance.to_owned()) };
    // A new one remembers nothing.
    let recorder = || Arc::new(Recorder::new(cluster.client().clone(), reporter.clone()));
    let (mut remembering, mut remembered) = (recorder(), 0);
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = sending.join_next() => {}
            Some((of, told)) = waiting.recv(), if sending.len() < AT_ONCE => {
                if remembered == REMEMBERED_MAX {
                    (remembering, remembered) = (recorder(), 0);
                }
                remembered += 1;
                let recorder = remembering.clone();
                sending.spawn(async move { publish(&recorder, &of, told).await });
                tokio::time::sleep(PACE).await;
            }
        }
    }
    sending.shutdown().await;
}

async fn publish(recorder: &Recorder, of: &ObjectReference, told: Told) {
    let action = if told.about.is_empty() { told.reason.to_owned() } else { told.about };
    let event = Event {
        type_: if told.warning { EventType::Warning } else { EventType::Normal },
        reason: told.reason.to_owned(),
        note: Some(cut(told.note, NOTE_BYTES)),
        action: cut(action, 128),
        secondary: None,
    };
    let sent: Result<(), ApiError> = within(recorder.publish(&event, of)).await;
    if let Err(error) = sent {
        let object = of.name.as_deref().unwrap_or_default();
        tracing::warn!(object, reason = told.reason, %error, error.label = error.label(), "An Event could not be sent");
    }
}

/// A text of at most so many bytes.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let mut end = bytes.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
