//! Real faults on the real parts, with thousands of tasks in flight: nothing is lost, and no result counts twice.
//!
//! ```text
//!  Runs ──> API server ──> two operators ──> Redis ──> workers ──> tasks ──> ledger
//!                               └──> Postgres                                   │
//!                                        └───────────── oracle.rs ──────────────┘
//! ```
//!
//! A seed says what dies, when and for how long (plan.rs); house.rs keeps everybody alive as a kubelet would. Once all is
//! quiet, what Postgres says is held against what the tasks themselves wrote down.

mod books;
mod clock;
mod faults;
mod house;
mod ledger;
mod load;
mod look;
mod network;
mod oracle;
mod people;
mod plan;
mod process;
mod recovery;
mod side;
mod standby;
mod watch;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use house::House;
use load::Load;
use oracle::{Tally, Verdict};
use plan::{Fault, Step};
use recovery::{Report, Struck};

/// The seed of every test run. In its plan the worker dies first: what it held is lost after half a minute, and meanwhile
/// other things die.
const SEED: u64 = 46;
/// Faults between two judgements, when there is time for more than one.
const STEPS: usize = 12;

/// For how long, from which seed on: what `make chaos` says, else one round of the usual faults.
struct Length {
    minutes: Option<u64>,
    seed: u64,
}

impl Length {
    fn given() -> Length {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty());
            text.map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
        };
        Length { minutes: number("RELAY_CHAOS_MINUTES"), seed: number("RELAY_CHAOS_SEED").unwrap_or(SEED) }
    }

    fn plan(&self, round: u64) -> Vec<Step> {
        match self.minutes {
            Some(_) => plan::plan(self.seed + round, &Fault::ALL, STEPS, true),
            None => plan::plan(self.seed, &Fault::USUAL, Fault::USUAL.len(), false),
        }
    }

    fn is_over(&self, since: Instant) -> bool {
        self.minutes.is_none_or(|minutes| since.elapsed() >= Duration::from_secs(60 * minutes))
    }
}

#[test]
fn whatever_dies_with_thousands_of_tasks_in_flight_nothing_is_lost_and_nothing_counts_twice() {
    let mut course = Course::default();
    let (length, since) = (Length::given(), Instant::now());
    let mut house = House::start(length.minutes.is_some());
    let mut load = Load::new(&mut house);
    for round in 0.. {
        course.round(&mut house, &mut load, &length.plan(round), length.seed + round);
        course.write(&length, since);
        if length.is_over(since) {
            break;
        }
        load.next_round(&mut house);
    }
    if length.minutes.is_some() {
        course.last_act(&mut house, &mut load);
        course.write(&length, since);
    }
    let mut wrong = house.close();
    wrong.extend(books::complaints(&house, &mut course.judged, &course.faults));
    goes_well(&house, "the end", &wrong);
    println!("{}\n{}", course.all, course.report.table());
}

/// What happened so far.
#[derive(Default)]
struct Course {
    all: Tally,
    report: Report,
    /// Since logs were judged, and how far they were.
    faults: Vec<Fault>,
    judged: books::Judged,
    rounds: usize,
}

impl Course {
    /// A plan, and its judgement.
    fn round(&mut self, house: &mut House, load: &mut Load, plan: &[Step], seed: u64) {
        let mut struck = Vec::new();
        for step in plan {
            struck.extend(happens(house, load, *step));
        }
        self.faults.extend(struck.iter().map(|one| one.fault));
        comes_to_rest(house);
        let mut verdict = oracle::judge(house, load);
        verdict.wrong.extend(books::left_behind(house));
        verdict.wrong.extend(books::complaints(house, &mut self.judged, &self.faults));
        self.faults.clear();
        self.report.add(&struck, &house.watch.moments(), &verdict);
        println!("seed {seed}: {}", verdict.tally);
        self.all += verdict.tally;
        self.rounds += 1;
        goes_well(house, &format!("seed {seed}"), &verdict.wrong);
    }

    /// What nobody goes on from unasked.
    fn last_act(&mut self, house: &mut House, load: &mut Load) {
        let (struck, mut wrong) = standby::promoted(house, load);
        self.faults.push(struck.fault);
        comes_to_rest(house);
        wrong.extend(books::left_behind(house));
        self.report.add(&[struck], &house.watch.moments(), &Verdict::default());
        goes_well(house, "the last act", &wrong);
    }

    /// The figures so far, for a program, where RELAY_CHAOS_REPORT names a file.
    fn write(&self, length: &Length, since: Instant) {
        if let Some(path) = std::env::var_os("RELAY_CHAOS_REPORT") {
            let Tally { runs, tasks, attempts, again, unknown } = self.all;
            let figures = json!({
                "seed": length.seed, "seeds": self.rounds, "seconds": since.elapsed().as_secs(), "runs": runs,
                "tasks": tasks, "attempts": attempts, "tasks_again": again, "at_most_once_unknown": unknown, "faults": self.report.json(),
            });
            std::fs::write(path, format!("{figures:#}\n")).expect("the report's file");
        }
    }
}

#[track_caller]
fn goes_well(house: &House, when: &str, wrong: &[String]) {
    let lines = wrong.join("\n");
    assert!(wrong.is_empty(), "{when} is wrong:\n{lines}\n{}\n{}", house.told(), house.kept());
}

/// One step of a plan, with enough in flight, until transitions are committed again and every worker has work.
fn happens(house: &mut House, load: &mut Load, step: Step) -> Vec<Struck> {
    load.fill(house, step.time());
    let before = house.position().expect("Postgres is well");
    house.until("tasks run", |house| house.position().is_some_and(|now| now >= before + step.after));
    println!("{step:?}");
    let mut struck = faults::strike(house, step);
    let (then, length) = (house.position().unwrap_or(before), house.ledger_length());
    // Some faults last longer than the work that there was.
    load.refill(house);
    house.until("tasks run again", |house| house.position().is_some_and(|now| now > then));
    house.until("every worker has work", |house| house.is_busy(length));
    let survived = Instant::now();
    struck.iter_mut().for_each(|one| one.survived = Some(survived));
    struck
}

/// Every run has ended, its object says so, and the queue is empty.
fn comes_to_rest(house: &mut House) {
    let open = "select count(*) from runs where status in ('QUEUED', 'RUNNING')";
    house.until("who was told to end has ended", House::is_left);
    house.until("every run ends", |house| house.number(open) == Some(0));
    house.until("every object says so", |house| {
        let ended = |run: &Value| run["status"]["finishedAt"].is_string();
        house.runs().is_some_and(|runs| runs.iter().all(ended))
    });
    house.until("the queue is empty", |house| books::left_behind(house).is_empty());
    house.until("one leads and the other stands by", |house| {
        house.leader().is_some() && house.stands_by().is_some()
    });
}
