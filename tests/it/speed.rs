//! No gross loss of speed: ratios to what Postgres and Redis do alone in the same seconds, never times. `make test` runs these alone, one
//! after the other, with the program that the bed built for its image: it is optimised, but for Relay's own code, which is so a little.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::support::{Program, from_bed, postgres_url, redis_url, relay};

const LONG: Duration = Duration::from_secs(300);
/// One is measured at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// Somebody else may have been busy: once is enough.
const TRIES: usize = 3;

/// A workload's figure, and whether its ratio is far from what it should be. In a release build on a quiet machine a fan does
/// nine tenths of its commits alone, and a hop takes two to five floors.
type Bound = (&'static str, &'static str, fn(f64) -> bool);
const NOW: [Bound; 3] = [
    ("fan", "tasks", |ratio| ratio >= 0.25),
    ("diamonds", "tasks", |ratio| ratio >= 0.2),
    ("chain", "hop, p50", |ratio| (0.1..=12.0).contains(&ratio)),
];
/// After a million task runs, beside the empty database: in a release build the ratios lie about 1.
const LATER: [Bound; 3] = [
    ("history", "fan, tasks", |ratio| ratio >= 0.4),
    ("history", "diamonds, tasks", |ratio| ratio >= 0.4),
    ("history", "chain, a hop, p50", |ratio| (0.1..=2.5).contains(&ratio)),
];

/// What was measured once.
fn measured(workloads: &[&str]) -> Value {
    let mut command = std::process::Command::new(from_bed("RELAY_TEST_PROGRAM"));
    // As a user's, with nothing of the developer's own environment.
    command.env_clear().envs(relay().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("bench").args(workloads).args(["--times", "3", "--json", "-"]);
    command.env("RELAY_DATABASE_URL", postgres_url()).env("RELAY_REDIS_URL", redis_url());
    let ran = Program::start(&mut command).finish(LONG);
    assert!(ran.status.success(), "{}", ran.errors);
    serde_json::from_str(&ran.output).expect("JSON")
}

fn ratio(told: &Value, workload: &str, name: &str) -> f64 {
    let figures = told["figures"].as_array().into_iter().flatten();
    let mut found = figures.filter(|figure| figure["workload"] == workload && figure["name"] == name);
    found.find_map(|figure| figure["ratio"].as_f64()).unwrap_or(f64::NAN)
}

/// Each bound is kept in one of the tries.
fn hold(bounds: &[Bound], workloads: &[&str]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut open, mut told) = (bounds.to_vec(), Vec::new());
    for _ in 0..TRIES {
        let now = measured(workloads);
        open.retain(|(workload, name, is_well)| {
            let ratio = ratio(&now, workload, name);
            told.push(format!("{workload}, {name}: {ratio:.2} of what it is held against"));
            !is_well(ratio)
        });
        if open.is_empty() {
            return;
        }
    }
    panic!("{} of {} are far from what they were: {told:#?}", open.len(), bounds.len());
}

#[test]
fn nothing_is_many_times_slower_than_it_was() {
    hold(&NOW, &["fan", "diamonds", "chain"]);
}

#[test]
fn a_million_task_runs_of_the_past_make_nothing_many_times_slower() {
    hold(&LATER, &["history", "--rows", "1000000"]);
}
