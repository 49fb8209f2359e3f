//! Approvals on a laptop: given beforehand, or asked for at the terminal, one question at a time.

use std::{collections::VecDeque, io, sync::Arc};

use tokio::sync::mpsc;

use crate::conductor::Verdict;
use crate::local::Request;
use crate::model::{ids::RunId, task::Task, task_run::Decision, workflow::Workflow};

/// A task that waits for an answer.
struct Question {
    run: RunId,
    task: String,
    required: u32,
}

/// The questions that are open, and where their answers come from.
pub(super) struct Approvals {
    open: VecDeque<Question>,
    lines: Option<mpsc::Receiver<String>>,
    user: String,
}

/// What an asking comes to at once.
pub(super) enum Asked {
    /// It was decided beforehand.
    Decided(Vec<Verdict>),
    /// The user is asked this.
    Question(String),
}

impl Approvals {
    pub(super) fn new(request: &Request) -> Approvals {
        Approvals { open: VecDeque::new(), lines: None, user: request.user.clone() }
    }

    /// A task is BLOCKED.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        run: &RunId,
        workflow: &Arc<Workflow>,
        task: &Task,
    ) -> Asked {
        let required = task.approval.as_ref().map_or(1, |a| a.required.max(1));
        let question = Question { run: run.clone(), task: task.name.clone(), required };
        if request.approve.covers(&task.name) {
            return Asked::Decided(self.verdicts(question, Decision::Approved));
        }
        let message = task.approval.as_ref().and_then(|a| a.message.as_ref()).map(|m| m.source().to_owned());
        let message = message.map(|m| format!(" ({m})")).unwrap_or_default();
        let text = format!("? approve `{}` of {}{message}? [y/n]", task.name, workflow.name);
        self.open.push_back(question);
        self.lines.get_or_insert_with(read_lines);
        Asked::Question(text)
    }

    /// Waits for the user's answer to the oldest question; for ever while none is open. `Err`: not understood.
    pub(super) async fn answered(&mut self) -> Result<Vec<Verdict>, String> {
        let lines = match (&mut self.lines, self.open.is_empty()) {
            (Some(lines), false) => lines,
            _ => return std::future::pending().await,
        };
        let Some(line) = lines.recv().await else {
            // The terminal is gone: what is open stays open until it times out or the run is cancelled.
            self.lines = None;
            return Ok(Vec::new());
        };
        let decision = match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Decision::Approved,
            "n" | "no" => Decision::Rejected,
            _ => return Err("? please answer y (approve) or n (reject)".to_owned()),
        };
        let question = self.open.pop_front();
        Ok(question.map(|q| self.verdicts(q, decision)).unwrap_or_default())
    }

    /// A task waits no longer, however that came.
    pub(super) fn closed(&mut self, run: &RunId, task: &str) {
        self.open.retain(|q| q.run != *run || q.task != task);
    }

    /// One person sits here: for an approval that needs several they speak for all, numbered.
    fn verdicts(&self, question: Question, decision: Decision) -> Vec<Verdict> {
        let count = if decision == Decision::Approved { question.required } else { 1 };
        let user = |n: u32| if n == 1 { self.user.clone() } else { format!("{} ({n})", self.user) };
        let verdict = |n: u32| Verdict {
            run: question.run.clone(),
            task: question.task.clone(),
            asking: None,
            user: user(n),
            decision,
            note: Some("relay run".to_owned()),
        };
        (1..=count).map(verdict).collect()
    }
}

/// Reads the terminal in a thread of its own, which ends with the process: a read of a terminal cannot be called off.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        while io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
            if sender.blocking_send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}
