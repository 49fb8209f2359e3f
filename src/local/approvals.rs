//! Approvals on a laptop: given beforehand, or asked for at the terminal, one question at a time.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc;

use crate::conductor::Verdict;
use crate::local::Request;
use crate::model::{ids::RunId, task::Task, task_run::Decision};

/// Said when an answer is neither.
const AGAIN: &str = "? please answer y (approve) or n (reject); Ctrl-C cancels the run";
/// Said when nobody can answer any more.
const NOBODY: &str =
    "note: the terminal's input has ended; what waits for an approval goes on waiting, Ctrl-C cancels";

/// A task that waits for a person.
pub(super) struct Asking<'a> {
    /// Of which run.
    pub(super) run: &'a RunId,
    /// Its name.
    pub(super) run_name: &'a str,
    /// Which task.
    pub(super) task: &'a Task,
    /// Its message, evaluated.
    pub(super) message: Option<&'a str>,
}

/// A question to the terminal.
struct Question {
    run: RunId,
    task: String,
    required: u32,
    text: String,
}

/// Where answers come from.
enum Terminal {
    /// Nothing was asked yet.
    Unread,
    /// A thread reads it, and says of each line how many questions were put before it.
    Read(mpsc::Receiver<(u64, String)>),
    /// It is gone.
    Ended,
}

/// The questions that are open. The first is the one that the user sees.
pub(super) struct Approvals {
    open: VecDeque<Question>,
    terminal: Terminal,
    /// Questions put so far.
    put: Arc<AtomicU64>,
    user: String,
}

impl Approvals {
    pub(super) fn new(request: &Request) -> Approvals {
        let (open, terminal, put) = (VecDeque::new(), Terminal::Unread, Arc::default());
        Approvals { open, terminal, put, user: request.user.clone() }
    }

    /// A task is BLOCKED. Gives what was decided beforehand; else the question waits for its turn.
    pub(super) fn ask(&mut self, request: &Request, asking: &Asking<'_>) -> Vec<Verdict> {
        let required = asking.task.approval.as_ref().map_or(1, |a| a.required.max(1));
        let (run, task) = (asking.run.clone(), asking.task.name.clone());
        let question = Question { run, task, required, text: worded(asking, required) };
        if request.approve.covers(&question.task) {
            return self.verdicts(&question, Decision::Approved, "--approve");
        }
        self.open.push_back(question);
        Vec::new()
    }

    /// The question that the user sees, when there is one.
    pub(super) fn first(&self) -> Option<&str> {
        self.open.front().map(|q| q.text.as_str())
    }

    /// What was typed before the question was there is no answer to it.
    pub(super) fn listen(&mut self) {
        // Where this does not work there is no terminal, and nothing was typed.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        // What was read already, by whomever it is held, is known by its number.
        self.put.fetch_add(1, Ordering::SeqCst);
        if let Terminal::Unread = self.terminal {
            self.terminal = Terminal::Read(read_lines(self.put.clone()));
        }
    }

    /// Waits for the user's answer to the first question; for ever while none is open. `Err`: what to say instead.
    pub(super) async fn answered(&mut self) -> Result<Vec<Verdict>, &'static str> {
        let lines = match (&mut self.terminal, self.open.is_empty()) {
            (Terminal::Read(lines), false) => lines,
            _ => return std::future::pending().await,
        };
        let line = loop {
            match lines.recv().await {
                Some((put, line)) if put == self.put.load(Ordering::SeqCst) => break line,
                Some(_) => {}
                None => {
                    self.terminal = Terminal::Ended;
                    return Err(NOBODY);
                }
            }
        };
        let decision = match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Decision::Approved,
            "n" | "no" => Decision::Rejected,
            _ => return Err(AGAIN),
        };
        let question = self.open.pop_front();
        Ok(question.map(|q| self.verdicts(&q, decision, "at the terminal")).unwrap_or_default())
    }

    /// A task waits no longer, however that came.
    pub(super) fn closed(&mut self, run: &RunId, task: &str) {
        self.open.retain(|q| q.run != *run || q.task != task);
    }

    /// One person sits here: for an approval that needs several they speak for all, numbered.
    fn verdicts(&self, question: &Question, decision: Decision, how: &str) -> Vec<Verdict> {
        let count = if decision == Decision::Approved { question.required } else { 1 };
        let user = |n: u32| if n == 1 { self.user.clone() } else { format!("{} ({n})", self.user) };
        let verdict = |n: u32| Verdict {
            run: question.run.clone(),
            task: question.task.clone(),
            asking: None,
            user: user(n),
            decision,
            note: Some(how.to_owned()),
            verified: false,
        };
        (1..=count).map(verdict).collect()
    }
}

/// The question as the user sees it: on one line, and without anything that moves the cursor.
fn worded(asking: &Asking<'_>, required: u32) -> String {
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let message = asking.message.map(|m| format!(": {}", plain(m))).unwrap_or_default();
    let several = match required {
        1 => String::new(),
        n => format!(" ({n} people must approve; here your answer counts for all)"),
    };
    format!("? approve `{}` of {}{several}{message} [y/n]", asking.task.name, asking.run_name)
}

/// Reads the terminal in a thread of its own, which ends with the process: a read of a terminal cannot be called off.
fn read_lines(put: Arc<AtomicU64>) -> mpsc::Receiver<(u64, String)> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        while io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
            let read = (put.load(Ordering::SeqCst), std::mem::take(&mut line));
            if sender.blocking_send(read).is_err() {
                return;
            }
        }
    });
    lines
}
