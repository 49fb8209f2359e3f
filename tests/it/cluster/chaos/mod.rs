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
mod faults;
mod house;
mod ledger;
mod load;
mod oracle;
mod plan;
mod process;
mod recovery;
mod side;

use std::time::{Duration, Instant};

use house::House;
use load::Load;
use oracle::Tally;
use serde_json::Value;

use plan::{Fault, Step};
use recovery::Struck;

/// The seed of every test run.
const SEED: u64 = 1;
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
            Some(_) => plan::plan(self.seed + round, &Fault::ALL, STEPS),
            None => plan::plan(self.seed, &Fault::USUAL, Fault::USUAL.len()),
        }
    }

    fn is_over(&self, since: Instant) -> bool {
        self.minutes.is_none_or(|minutes| since.elapsed() >= Duration::from_secs(60 * minutes))
    }
}

#[test]
fn whatever_dies_with_thousands_of_tasks_in_flight_nothing_is_lost_and_nothing_counts_twice() {
    let (length, since) = (Length::given(), Instant::now());
    let mut house = House::start(length.minutes.is_some());
    let mut load = Load::new(&house);
    let (mut all, mut struck) = (Tally::default(), Vec::new());
    for round in 0.. {
        for step in length.plan(round) {
            struck.push(happens(&mut house, &mut load, step));
        }
        comes_to_rest(&mut house);
        let (mut wrong, tally) = oracle::judge(&house, &load);
        wrong.extend(books::left_behind(&house));
        wrong.extend(books::complaints(&house, &struck));
        let seed = length.seed + round;
        println!("seed {seed}: {tally}");
        all += tally;
        if !wrong.is_empty() {
            let told = house.told();
            panic!("seed {seed} is wrong:\n{}\n{told}\n{}", wrong.join("\n"), house.kept());
        }
        if length.is_over(since) {
            break;
        }
        load.next_round(&house);
    }
    println!("{all}\n{}", recovery::table(&recovery::times(&house, &struck)));
}

/// One step of a plan, with enough in flight, until transitions are committed again.
fn happens(house: &mut House, load: &mut Load, step: Step) -> Struck {
    load.top_up(house);
    let before = house.position().expect("Postgres is well");
    house.until("tasks run", |house| house.position().is_some_and(|now| now >= before + step.after));
    println!("{step:?}");
    let struck = faults::strike(house, step);
    // Some faults last longer than the work that there was.
    load.top_up(house);
    let then = house.position().unwrap_or(before);
    house.until("tasks run again", |house| house.position().is_some_and(|now| now > then));
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
