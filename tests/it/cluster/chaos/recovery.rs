//! How long it took until work went on after each fault, and what was under way when it struck.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use super::house::House;
use super::ledger::Who;
use super::oracle::Verdict;
use super::plan::Fault;

/// A fault that was survived.
pub struct Struck {
    pub fault: Fault,
    pub begun: Instant,
    /// When it was undone, or over: servers that were restarted are there again.
    pub healed: Instant,
    /// When transitions were committed again and every worker had begun a task; nobody waited for it yet when none.
    pub survived: Option<Instant>,
    /// Runs under way when it began.
    runs: usize,
    /// Tasks of theirs that had not ended.
    open: BTreeSet<Who>,
}

impl Struck {
    /// It begins now.
    pub fn now(house: &House, fault: Fault) -> Struck {
        let open = house.open_tasks();
        let runs: BTreeSet<&String> = open.iter().map(|(run, ..)| run).collect();
        let (runs, begun) = (runs.len(), Instant::now());
        Struck { fault, begun, healed: begun, survived: None, runs, open }
    }

    /// Another one begins in the midst of this one, when nobody may be there to ask what is under way.
    pub fn meanwhile(&self, fault: Fault) -> Struck {
        let begun = Instant::now();
        Struck { fault, begun, healed: begun, survived: None, runs: self.runs, open: self.open.clone() }
    }
}

/// What is known of all faults of one kind. Times are in ms.
#[derive(Default)]
struct Figures {
    times: usize,
    runs: usize,
    tasks: usize,
    lost: usize,
    doubled: usize,
    /// The longest time without a transition, from its beginning until it was survived.
    silent: Vec<u128>,
    /// From when it was undone to the next transition.
    resumed: Vec<u128>,
    /// From when it was undone until every worker had begun a task.
    busy: Vec<u128>,
}

/// What is known of all faults.
#[derive(Default)]
pub struct Report(BTreeMap<Fault, Figures>);

impl Report {
    /// Adds the faults of a round, judged.
    pub fn add(&mut self, struck: &[Struck], moments: &[Instant], verdict: &Verdict) {
        for one in struck {
            let figures = self.0.entry(one.fault).or_default();
            figures.times += 1;
            figures.runs += one.runs;
            figures.tasks += one.open.len();
            figures.lost += one.open.intersection(&verdict.lost).count();
            figures.doubled += one.open.intersection(&verdict.doubled).count();
            let Some(survived) = one.survived else { continue };
            let after = &moments[moments.partition_point(|at| *at < one.begun)..];
            let within: Vec<Instant> = after.iter().copied().take_while(|at| *at < survived).collect();
            let from = std::iter::once(one.begun).chain(within.iter().copied());
            let to = within.iter().copied().chain([survived]);
            figures.silent.extend(from.zip(to).map(|(from, to)| (to - from).as_millis()).max());
            let next = after.iter().find(|at| **at >= one.healed);
            figures.resumed.extend(next.map(|at| (*at - one.healed).as_millis()));
            figures.busy.push((survived - one.healed).as_millis());
        }
    }

    /// As a person reads it.
    pub fn table(&self) -> String {
        let of = |times: &Vec<u128>| {
            let (median, worst) = median_and_worst(times);
            format!("{median:>6} {worst:>6}")
        };
        let mut text = format!(
            "{:18} {:>5} {:>6} {:>8} {:>4} {:>7} {:>13} {:>13} {:>13}\n",
            "fault", "times", "runs", "tasks", "lost", "doubled", "silent ms", "resumed ms", "all busy ms"
        );
        for (fault, f) in &self.0 {
            let name = format!("{fault:?}");
            let (times, runs, tasks, lost, doubled) = (f.times, f.runs, f.tasks, f.lost, f.doubled);
            let (silent, resumed, busy) = (of(&f.silent), of(&f.resumed), of(&f.busy));
            writeln!(
                text,
                "{name:18} {times:>5} {runs:>6} {tasks:>8} {lost:>4} {doubled:>7} {silent} {resumed} {busy}"
            )
            .expect("a text");
        }
        text + "runs and tasks: under way when it struck, summed. Times are the median and the worst: silent, the longest time without a \
                transition since it began; resumed, from its end to the next transition; all busy, from its end until every worker \
                had begun a task\n"
    }

    /// As a program reads it.
    pub fn json(&self) -> Value {
        let of = |times: &Vec<u128>| {
            let (median, worst) = median_and_worst(times);
            json!({"median": u64::try_from(median).ok(), "worst": u64::try_from(worst).ok()})
        };
        let row = |(fault, f): (&Fault, &Figures)| {
            json!({
                "fault": format!("{fault:?}"), "times": f.times, "runs": f.runs, "tasks": f.tasks,
                "lost": f.lost, "doubled": f.doubled,
                "silent_ms": of(&f.silent), "resumed_ms": of(&f.resumed), "busy_ms": of(&f.busy),
            })
        };
        self.0.iter().map(row).collect()
    }
}

fn median_and_worst(times: &[u128]) -> (u128, u128) {
    let mut times = times.to_vec();
    times.sort_unstable();
    (times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or(0), times.last().copied().unwrap_or(0))
}
