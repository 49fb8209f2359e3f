//! What the tasks themselves say: who started, and who came to its end.

use std::collections::BTreeMap;

/// A task run, as a task knows itself: run, task and item.
pub type Who = (String, String, String);

/// One attempt: how often it started, and how often it ended.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// When, in seconds since the machine started.
    pub starts: Vec<f64>,
    pub ends: Vec<f64>,
    /// Who started it.
    pub workers: Vec<String>,
}

/// All attempts of all task runs.
#[derive(Debug, Default)]
pub struct Ledger(pub BTreeMap<Who, BTreeMap<i32, Told>>);

impl Ledger {
    /// Reads lines `<run> <task> <item> <attempt> <worker> start|end <seconds>`; a line of another shape is an error.
    pub fn read(text: &str) -> Result<Ledger, String> {
        let mut ledger = Ledger::default();
        for line in text.lines() {
            let wrong = || format!("a line of the ledger is {line:?}");
            let words: Vec<&str> = line.split(' ').collect();
            let [run, task, item, attempt, worker, what, at] = words[..] else { return Err(wrong()) };
            let who = (run.to_owned(), task.to_owned(), item.to_owned());
            let attempt = attempt.parse().map_err(|_| wrong())?;
            let told = ledger.0.entry(who).or_default().entry(attempt).or_default();
            let at = at.parse().map_err(|_| wrong())?;
            match what {
                "start" => {
                    told.starts.push(at);
                    told.workers.push(worker.to_owned());
                }
                "end" => told.ends.push(at),
                _ => return Err(wrong()),
            }
        }
        Ok(ledger)
    }
}

/// The worker of a line that tells of a start.
pub fn worker_that_began(line: &str) -> Option<String> {
    let mut words = line.split(' ').skip(4);
    let worker = words.next()?;
    (words.next()? == "start").then(|| worker.to_owned())
}
