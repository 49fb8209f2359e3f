//! The door: what others ask of the conductor, and what they are answered once it is committed.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::conductor::behind::Positions;
use crate::engine::{Event, Refused};
use crate::model::{ids::RunId, run::RunRow, task_run::Decision, view::RunView, workflow::Workflow};
use crate::store::Revision;

/// A run to be made.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The definition, to be kept.
    pub revision: Revision,
    /// The same, ready to run.
    pub workflow: Arc<Workflow>,
    /// The run's row as it shall be born; with `paused_at`, it is born paused.
    pub run: RunRow,
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The run.
    pub run: RunId,
    /// The task's name.
    pub task: String,
    /// Which asking; none for the one that is open.
    pub asking: Option<u32>,
    /// Who.
    pub user: String,
    /// What.
    pub decision: Decision,
    /// Why.
    pub note: Option<String>,
    /// Did the API server's admission policy vouch for the user? False wherever nobody did, as on a laptop.
    pub verified: bool,
}

/// Why a run was not accepted. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Its namespace belongs to another leader.
    #[error("this process does not lead the shard of namespace `{0}`")]
    NotLeader(String),
    /// The store is behind what was told of the namespace's shard.
    #[error("the store is behind what was told of the shard of namespace `{0}`, so the shard stops")]
    Behind(String),
    /// Too many.
    #[error("{0} runs are live already")]
    TooMany(usize),
    /// The store said no.
    #[error("the run could not be written: {0}")]
    Store(String),
    /// The conductor has stopped.
    #[error("the conductor has stopped")]
    Stopped,
}

/// Why a verdict, a cancel or a pause changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// No such live run here.
    #[error("run {0} is not live here")]
    NoSuchRun(RunId),
    /// No such task.
    #[error("run {run} has no task `{task}`")]
    NoSuchTask {
        /// The run.
        run: RunId,
        /// The name.
        task: String,
    },
    /// The engine said why.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The run is set aside, and could not be loaded again to take it, or could not be written with it.
    #[error("run {run} is set aside: {why}")]
    Aside {
        /// The run.
        run: RunId,
        /// Why it cannot go on.
        why: String,
    },
    /// The conductor has stopped.
    #[error("the conductor has stopped")]
    Stopped,
}

/// A run that is live in this conductor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRun {
    /// Its id.
    pub id: RunId,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

pub(super) enum Message {
    View(RunId, oneshot::Sender<Option<Box<RunView>>>),
    WhyAside(RunId, oneshot::Sender<Option<String>>),
    Live(oneshot::Sender<Vec<LiveRun>>),
    /// What others were told of how far the shards have come; `all` of them, or so far.
    Told {
        positions: Positions,
        all: bool,
        reply: oneshot::Sender<()>,
    },
    Submit(Box<Submission>, oneshot::Sender<Result<(), SubmitError>>),
    /// A user's cancel, pause or resume.
    Steer {
        run: RunId,
        event: Event,
        reply: oneshot::Sender<Result<(), DecideError>>,
    },
    Decide(Verdict, oneshot::Sender<Result<(), DecideError>>),
}

/// Speaks to a conductor. Every answer comes after the commit.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
}

impl Handle {
    pub(super) fn new(sender: mpsc::Sender<Message>) -> Handle {
        Handle { sender }
    }

    /// Makes a run. A run that is there already is left as it is, so this may be said again.
    pub async fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Submit(Box::new(submission), reply);
        self.sender.send(message).await.map_err(|_| SubmitError::Stopped)?;
        answer.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Cancels a run, with or without its finally tasks. It ends a pause. A run that is set aside is loaded again for it,
    /// as for a pause or its end.
    pub async fn cancel(&self, run: RunId, finally: bool) -> Result<(), DecideError> {
        self.steer(run, Event::Cancel { finally }).await
    }

    /// Pauses a run: nothing further of it is published, what runs goes on, and its timeout stands still. Said again it
    /// changes nothing. Refused (`Refused::Stopping`) for a run that is being stopped.
    pub async fn pause(&self, run: RunId) -> Result<(), DecideError> {
        self.steer(run, Event::Pause).await
    }

    /// Lets a paused run go on; another is left as it is.
    pub async fn resume(&self, run: RunId) -> Result<(), DecideError> {
        self.steer(run, Event::Resume).await
    }

    async fn steer(&self, run: RunId, event: Event) -> Result<(), DecideError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Steer { run, event, reply }).await.map_err(|_| DecideError::Stopped)?;
        answer.await.unwrap_or(Err(DecideError::Stopped))
    }

    /// What there is to say of a live run, as committed; none when it is not live here (then the store knows).
    pub async fn view(&self, run: RunId) -> Option<RunView> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::View(run, reply)).await.ok()?;
        answer.await.ok().flatten().map(|view| *view)
    }

    /// Why a run was set aside; none when it was not, as far as this process knows.
    pub async fn why_aside(&self, run: RunId) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::WhyAside(run, reply)).await.ok()?;
        answer.await.ok().flatten()
    }

    /// The world outside was told that these shards have come so far. A shard of which the store knows less stops (`Older`).
    /// Answered once that is done. A conductor that waits for `told_all` goes on waiting.
    pub async fn told(&self, positions: Positions) {
        self.tell(positions, false).await;
    }

    /// The same, and there is no more to be told than this: whoever waited for it begins.
    pub async fn told_all(&self, positions: Positions) {
        self.tell(positions, true).await;
    }

    async fn tell(&self, positions: Positions, all: bool) {
        let (reply, answer) = oneshot::channel();
        if self.sender.send(Message::Told { positions, all, reply }).await.is_ok() {
            // No answer: the conductor has stopped, and every shard with it.
            drop(answer.await);
        }
    }

    /// All live runs; none when the conductor has stopped.
    pub async fn live(&self) -> Option<Vec<LiveRun>> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Live(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Approves or rejects.
    pub async fn decide(&self, verdict: Verdict) -> Result<(), DecideError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Decide(verdict, reply)).await.map_err(|_| DecideError::Stopped)?;
        answer.await.unwrap_or(Err(DecideError::Stopped))
    }
}
