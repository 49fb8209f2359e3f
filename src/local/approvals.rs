//! Approvals on a laptop: given beforehand, or asked for at the terminal, one question at a time.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{QueueSelector, tcflush},
};
use tokio::sync::mpsc;

use crate::conductor::Verdict;
use crate::local::Request;
use crate::model::{ids::RunId, task::Task, task_run::Decision};

/// The longest line that is waited for, in bytes: more is cut off.
const LINE_MOST: usize = 4096;
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
    put: Arc<Mutex<u64>>,
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

    fn put(&self) -> MutexGuard<'_, u64> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was typed before the question was there is no answer to it.
    pub(super) fn listen(&mut self) {
        {
            let mut put = self.put();
            // Where this does not work there is no terminal, and nothing was typed.
            let _ = tcflush(io::stdin(), QueueSelector::IFlush);
            // What was read already, by whomever it is held, is known by its number.
            *put += 1;
        }
        if let Terminal::Unread = self.terminal {
            self.terminal = Terminal::Read(read_lines(self.put.clone()));
        }
    }

    /// Waits for the user's answer to the first question; for ever while none is open. `Err`: what to say instead.
    pub(super) async fn answered(&mut self) -> Result<Vec<Verdict>, &'static str> {
        let now = *self.put();
        let lines = match (&mut self.terminal, self.open.is_empty()) {
            (Terminal::Read(lines), false) => lines,
            _ => return std::future::pending().await,
        };
        let line = loop {
            match lines.recv().await {
                Some((put, line)) if put == now => break line,
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
fn read_lines(put: Arc<Mutex<u64>>) -> mpsc::Receiver<(u64, String)> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut typed = Vec::new();
        while let Some(put) = read_on(&put, &mut typed) {
            while let Some(end) = typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = typed.drain(..=end).collect();
                if sender.blocking_send((put, String::from_utf8_lossy(&line).into_owned())).is_err() {
                    return;
                }
            }
            typed.truncate(LINE_MOST);
        }
    });
    lines
}

/// Waits for something to be typed, and reads it; how many questions were put before it was read. None: the terminal is gone.
/// No question comes between the two, so that what was there before one is not taken for its answer.
fn read_on(put: &Mutex<u64>, typed: &mut Vec<u8>) -> Option<u64> {
    let stdin = io::stdin();
    let ready = |within: Option<&Timespec>| loop {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], within) {
            Err(Errno::INTR) => {}
            ready => return ready,
        }
    };
    loop {
        ready(None).ok()?;
        let put = put.lock().unwrap_or_else(PoisonError::into_inner);
        // A question may have thrown it away meanwhile.
        if ready(Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()? == 0 {
            continue;
        }
        let mut some = [0; 1024];
        match rustix::io::read(&stdin, &mut some) {
            Ok(0) => return None,
            Ok(n) => typed.extend_from_slice(some.get(..n)?),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return None,
        }
        return Some(*put);
    }
}
