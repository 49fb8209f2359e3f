//! Plays a story: each line is something that happens, and what came of it.
//!
//! ```text
//! story("a -> b(ask)", "
//!     begin            => a QUEUED#1
//!     a ok             => a SUCCESS#1; b BLOCKED(AwaitingApproval)
//!     approve b by ann => b QUEUED#1
//! ");
//! ```
//! The driver stands in for the conductor: what is offered is dispatched at once (`hold` stops that), what is to be
//! removed and was not started is removed. Every story is played twice, the second time with a restart after each line.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use relay::{
    engine::{Effect, Event, Plan, Refused, Run},
    model::{
        ids::TaskKey,
        job::Outcome,
        status::TaskStatus,
        task::FailureKind,
        task_run::{AttemptRow, Decision, TaskRow},
    },
};

use super::{Book, dawn, duration, run_row, workflow};

/// Plays `script` on `flow`; panics with the whole story where it goes differently.
#[track_caller]
pub fn story(flow: &str, script: &str) {
    for restarts in [false, true] {
        let lines = lines(script);
        assert_eq!(lines.first().map(|(command, _)| command.as_str()), Some("begin"), "a story begins");
        let (mut play, first) = Play::begin(flow);
        let (mut wanted, mut got) = (String::new(), String::new());
        for (n, (command, came)) in lines.iter().enumerate() {
            let actual = if n == 0 { first.clone() } else { play.command(command) };
            wanted += &format!("{command} => {came}\n");
            got += &format!("{command} => {actual}\n");
            if restarts {
                play.restart();
            }
        }
        assert!(wanted == got, "restarts: {restarts}\nwanted:\n{wanted}\ngot:\n{got}");
    }
}

/// Commands and what shall come of them; a line without an arrow goes on with the one before.
fn lines(script: &str) -> Vec<(String, String)> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<(String, String)> = Vec::new();
    for line in script.lines() {
        match (line.split_once("=>"), lines.last_mut()) {
            (Some((command, came)), _) => lines.push((words(command), words(came))),
            (None, Some((_, came))) => *came = words(&format!("{came} {line}")),
            (None, None) => {}
        }
    }
    lines
}

struct Play {
    run: Run,
    book: Book,
    now: Timestamp,
    hold: bool,
    offered: BTreeSet<TaskKey>,
    /// What came of the present line.
    changed: BTreeMap<TaskKey, String>,
    told: Vec<String>,
    todo: VecDeque<Effect>,
}

impl Play {
    fn begin(flow: &str) -> (Play, String) {
        let flow = workflow(flow);
        let row = run_row(&flow);
        let (run, plan) = Run::begin(flow, row, dawn()).expect("a story can begin");
        let mut play = Play {
            run,
            book: Book::default(),
            now: dawn(),
            hold: false,
            offered: BTreeSet::new(),
            changed: BTreeMap::new(),
            told: Vec::new(),
            todo: VecDeque::new(),
        };
        play.take(plan);
        let told = play.settle();
        (play, told)
    }

    fn command(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        // No two events at once, except that a tick comes at its very moment.
        let moment =
            if let ["tick", time] = words.as_slice() { duration(time) } else { Duration::from_millis(1) };
        self.now = self.now.checked_add(moment).expect("a story is short");
        match words.as_slice() {
            ["hold"] => self.hold = true,
            ["go"] => {
                self.hold = false;
                let offered = self.offered.clone();
                self.todo.extend(offered.into_iter().map(Effect::Offer));
            }
            ["restart"] => self.restart(),
            ["wait", time] => self.now = self.now.checked_add(duration(time)).expect("a story is short"),
            ["tick", _] => self.event(Event::Tick),
            ["pause"] => self.event(Event::Pause),
            ["resume"] => self.event(Event::Resume),
            ["cancel"] => self.event(Event::Cancel { finally: false }),
            ["cancel", "with", "finally"] => self.event(Event::Cancel { finally: true }),
            ["approve", task, "by", user] => self.decide(task, user, Decision::Approved),
            ["reject", task, "by", user] => self.decide(task, user, Decision::Rejected),
            ["dispatch", task] => {
                let key = self.key(task);
                self.event(Event::Dispatched(key));
                if self.run.task_run(key).is_some_and(|r| r.status == TaskStatus::Queued) {
                    self.offered.remove(&key);
                }
            }
            ["attempts", task] => {
                let key = self.key(task);
                let made = self.book.attempts.range((key, 0)..=(key, u32::MAX));
                self.told.extend(made.map(|(_, made)| attempt(made)));
            }
            ["expand", task] => self.event(Event::Expand(self.key(task))),
            [task, rest @ ..] => self.report(task, rest),
            [] => panic!("a line without a command"),
        }
        self.settle()
    }

    fn decide(&mut self, task: &str, user: &str, decision: Decision) {
        let (task, asking) = task.split_once('#').unwrap_or((task, "1"));
        let asking = asking.parse().expect("the number of an asking");
        self.event(Event::Decided {
            task: self.key(task).task,
            asking,
            user: user.to_owned(),
            decision,
            note: None,
            verified: false,
        });
    }

    fn report(&mut self, task: &str, news: &[&str]) {
        let (task, attempt) = task.split_once('#').unwrap_or((task, ""));
        let key = self.key(task);
        let current = self.run.task_run(key).map_or(0, |r| r.attempt);
        let attempt = attempt.parse().unwrap_or(current);
        let failed = |kind, exit_code, message: &str| Outcome::Failed {
            kind,
            output_invalid: message == "bad outputs",
            exit_code,
            message: message.to_owned(),
        };
        let outcome = match news {
            ["started"] => return self.event(Event::Started { key, attempt, worker: "w".to_owned() }),
            ["started", "by", other] => {
                return self.event(Event::Started { key, attempt, worker: (*other).to_owned() });
            }
            ["stopped", "by", other] => {
                let (worker, outcome) = ((*other).to_owned(), Outcome::Cancelled);
                return self.event(Event::Ended { key, attempt, worker, outcome });
            }
            ["lost"] => return self.event(Event::Lost { key, attempt }),
            ["removed"] => return self.event(Event::Removed { key, attempt }),
            ["forgotten"] => return self.event(Event::Forgotten { key, attempt }),
            ["ok"] => Outcome::Success { outputs: BTreeMap::new() },
            ["ok", output] => {
                let (name, value) = output.split_once('=').expect("name=json");
                let value = serde_json::from_str(value).expect("json");
                Outcome::Success { outputs: BTreeMap::from([(name.to_owned(), value)]) }
            }
            ["fail"] => failed(FailureKind::ExitCode, Some(1), "it failed"),
            ["fail", code] => {
                failed(FailureKind::ExitCode, Some(code.parse().expect("a number")), "it failed")
            }
            ["error"] => failed(FailureKind::Error, None, "no such file"),
            ["outputs"] => failed(FailureKind::Error, Some(0), "bad outputs"),
            ["timeout"] => failed(FailureKind::Timeout, None, "too slow"),
            ["stopped"] => Outcome::Cancelled,
            other => panic!("nothing is known of {other:?}"),
        };
        self.event(Event::Ended { key, attempt, worker: "w".to_owned(), outcome });
    }

    fn event(&mut self, event: Event) {
        let refused =
            |why: Refused| format!("{why:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
        match self.run.apply(event, self.now) {
            Ok(plan) => self.take(plan),
            Err(why) => {
                self.book.agrees(&self.run).expect("a refused event changes nothing");
                self.told.push(format!("refused {}", refused(why)));
            }
        }
    }

    fn take(&mut self, plan: Plan) {
        let stop = self.book.run.as_ref().and_then(|r| r.stop.clone());
        let paused = self.book.run.as_ref().and_then(|r| r.paused_at);
        self.book.commit(&plan).expect("a plan can be committed");
        self.book.agrees(&self.run).expect("memory holds what was committed");
        for (key, change) in plan.changes.tasks.iter().filter(|(_, change)| !change.steps.is_empty()) {
            self.changed.insert(*key, state(&change.row));
        }
        if let Some(change) = plan.changes.run {
            if change.row.paused_at != paused {
                self.told.push(if paused.is_none() { "paused" } else { "resumed" }.to_owned());
            }
            if change.row.stop != stop {
                self.told.push("stopping".to_owned());
            }
            if change.row.status.is_final() {
                let reason = change.row.reason.map(|r| format!("({r})")).unwrap_or_default();
                let outputs = change.row.outputs.map(|o| format!(" {o}")).unwrap_or_default();
                self.told.push(format!("run {}{reason}{outputs}", change.row.status));
            }
        }
        self.todo.extend(plan.effects);
    }

    /// Does what the plans ask for, and tells what came of the line.
    fn settle(&mut self) -> String {
        while let Some(effect) = self.todo.pop_front() {
            match effect {
                Effect::Offer(key) if self.hold => {
                    self.offered.insert(key);
                    self.told.push(format!("offer {}", self.name(key)));
                }
                Effect::Offer(key) => {
                    self.offered.remove(&key);
                    self.event(Event::Dispatched(key));
                }
                Effect::Withdraw(key) => {
                    self.offered.remove(&key);
                }
                Effect::Expand(key) if self.hold => self.told.push(format!("expand {}", self.name(key))),
                Effect::Expand(key) => self.event(Event::Expand(key)),
                Effect::Remove { key, attempt, kill } => self.remove(key, attempt, kill),
                Effect::Go { key, attempt } => self.told.push(format!("go {}#{attempt}", self.name(key))),
                Effect::Publish(_) | Effect::Republish(_) | Effect::Ended => {}
            }
        }
        let mut parts = self.rows_in_ranges();
        parts.append(&mut self.told);
        self.changed.clear();
        parts.join("; ")
    }

    fn remove(&mut self, key: TaskKey, attempt: u32, kill: bool) {
        let queued = self.run.task_run(key).is_some_and(|r| r.status == TaskStatus::Queued);
        if queued && !self.hold {
            return self.event(Event::Removed { key, attempt });
        }
        self.told.push(format!("{} {}", if kill { "kill" } else { "remove" }, self.name(key)));
    }

    /// A new conductor: it offers what the old one offered, and has nothing to write.
    fn restart(&mut self) {
        let due = self.run.next_due();
        if due.is_some_and(|due| due <= self.now) {
            return;
        }
        let (run, plan) = self.book.restore(&self.run, self.now);
        assert!(plan.changes.is_empty(), "a restart wrote {:#?}", plan.changes);
        assert_eq!(run.next_due(), due, "a restart forgets or invents a timer");
        let offers =
            plan.effects.iter().filter_map(|e| if let Effect::Offer(key) = e { Some(*key) } else { None });
        assert_eq!(offers.collect::<BTreeSet<_>>(), self.offered, "a restart offers something else");
        self.run = run;
    }

    fn key(&self, text: &str) -> TaskKey {
        let (name, item) = text.split_once('.').unwrap_or((text, ""));
        let Some(task) = self.run.workflow().task_named(name) else { return TaskKey::of_task(u32::MAX) };
        let key = TaskKey::of_task(task.no);
        item.parse().map_or(key, |item| key.with_item(item))
    }

    fn name(&self, key: TaskKey) -> String {
        let name = &self.run.workflow().at(key.task).name;
        key.item.map_or(name.clone(), |item| format!("{name}.{item}"))
    }

    /// `e.0-3 QUEUED#1` for four neighbours.
    fn rows_in_ranges(&self) -> Vec<String> {
        let mut ranges: Vec<(TaskKey, TaskKey, &String)> = Vec::new();
        for (key, state) in &self.changed {
            match ranges.last_mut() {
                Some((_, last, same)) if *same == state && last.item.is_some() && next(*last) == *key => {
                    *last = *key
                }
                _ => ranges.push((*key, *key, state)),
            }
        }
        let range = |(first, last, state): (TaskKey, TaskKey, &String)| match last.item {
            Some(item) if first != last => format!("{}-{item} {state}", self.name(first)),
            _ => format!("{} {state}", self.name(first)),
        };
        ranges.into_iter().map(range).collect()
    }
}

fn next(key: TaskKey) -> TaskKey {
    TaskKey { item: key.item.map(|i| i + 1), ..key }
}

fn state(row: &TaskRow) -> String {
    let attempt = if row.attempt > 0 { format!("#{}", row.attempt) } else { String::new() };
    let reason = row.reason.map(|r| format!("({r})")).unwrap_or_default();
    format!("{}{attempt}{reason}", row.status)
}

fn attempt(made: &AttemptRow) -> String {
    let who = made.worker.as_deref().unwrap_or("nobody");
    let how = match (made.ended_at, made.reason) {
        (None, _) => " runs".to_owned(),
        (Some(_), reason) => reason.map(|r| format!(" {r}")).unwrap_or_default(),
    };
    let code = made.exit_code.map(|code| format!(" exit {code}")).unwrap_or_default();
    format!("#{} {who}{how}{code}", made.attempt)
}
