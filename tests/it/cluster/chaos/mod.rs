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

use house::House;
use load::Load;
use serde_json::Value;

use plan::{Fault, Step};
use recovery::Struck;

/// The seed of every test run.
const SEED: u64 = 1;

#[test]
fn whatever_dies_with_thousands_of_tasks_in_flight_nothing_is_lost_and_nothing_counts_twice() {
    let mut house = House::start();
    let mut load = Load::new(&house);
    let mut struck = Vec::new();
    for step in plan::plan(SEED, &Fault::USUAL) {
        struck.push(happens(&mut house, &mut load, step));
    }
    comes_to_rest(&mut house);
    let (mut wrong, tally) = oracle::judge(&house, &load);
    wrong.extend(books::left_behind(&house));
    wrong.extend(books::complaints(&house, &struck));
    println!("{tally}\n{}", recovery::table(&recovery::silences(&house, &struck)));
    assert!(wrong.is_empty(), "seed {SEED} is wrong:\n{}\n{}", wrong.join("\n"), house.told());
}

/// One step of a plan, with enough in flight, until transitions are committed again.
fn happens(house: &mut House, load: &mut Load, step: Step) -> Struck {
    load.top_up(house);
    let before = house.position().expect("Postgres is well");
    house.until("tasks run", |house| house.position().is_some_and(|now| now >= before + step.after));
    let struck = faults::strike(house, step);
    let then = house.position().unwrap_or(before);
    house.until("tasks run again", |house| house.position().is_some_and(|now| now > then));
    struck
}

/// Every run has ended, its object says so, and the queue is empty.
fn comes_to_rest(house: &mut House) {
    let open = "select count(*) from runs where status in ('QUEUED', 'RUNNING')";
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
