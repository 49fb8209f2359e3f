//! What the tasks themselves say: who started, and who came to its end.

use std::collections::BTreeMap;

/// A task run, as a task knows itself: run, task and item.
pub type Who = (String, String, String);

/// One attempt: how often it started, and how often it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When, in nanoseconds since 1970.
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
}

/// All attempts of all task runs.
#[derive(Debug, Default)]
pub struct Ledger(pub BTreeMap<Who, BTreeMap<i32, Told>>);

impl Ledger {
    /// Reads lines `<run> <task> <item> <attempt> start|end <nanoseconds>`; a line of another shape is an error.
    pub fn read(text: &str) -> Result<Ledger, String> {
        let mut ledger = Ledger::default();
        for line in text.lines() {
            let wrong = || format!("a line of the ledger is {line:?}");
            let words: Vec<&str> = line.split(' ').collect();
            let [run, task, item, attempt, what, at] = words[..] else { return Err(wrong()) };
            let who = (run.to_owned(), task.to_owned(), item.to_owned());
            let attempt = attempt.parse().map_err(|_| wrong())?;
            let told = ledger.0.entry(who).or_default().entry(attempt).or_default();
            let at = at.parse().map_err(|_| wrong())?;
            match what {
                "start" => told.starts.push(at),
                "end" => told.ends.push(at),
                _ => return Err(wrong()),
            }
        }
        Ok(ledger)
    }
}
