//! The simulation: the real conductor and the real worker loop on one thread, a manual clock and seeded faults.
//!
//! ```text
//!  people ──> Conductor ──> FaultyStore ──> MemoryStore         cast.rs     who lives, and what befalls them
//!                │  └─────> FaultyQueue ─┐                      people.rs   who submits, cancels, approves
//!                │                       │                      pauses.rs   who pauses, and what a pause forbids
//!                │                       ├──> Server            executor.rs what processes do; the ledger
//!  Simulated <── Worker ──> FaultyJobs ──┘                      oracle.rs   what must hold at the end
//! ```
//!
//! `make sim SEEDS=5000` plays many seeds (RELAY_SIM_FIRST=5000: the next ones), `make sim SEED=417` one, with its
//! whole trace.

mod cast;
mod executor;
mod faults;
mod history;
mod life;
mod oracle;
mod pauses;
mod people;
mod play;
mod queue;
pub mod rng;
mod store;
mod stories;
mod trace;
mod workload;
mod world;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use faults::CrashAt;
use play::{Outcome, play};
use world::{Mutation, Settings};

/// Seeds of every test run.
const SEEDS: u64 = 300;
/// Lines of a failure's trace that are shown.
const LINES: usize = 80;
/// Seeds that once found a defect.
const REMEMBERED: &[u64] = &[];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn failure(outcome: &Outcome) -> String {
    let Outcome { seed, wrong, trace, .. } = outcome;
    let shown = trace.len().saturating_sub(LINES);
    let trace = trace[shown..].join("\n");
    let wrong = wrong.join("\n  ");
    format!("{trace}\nseed {seed} is wrong:\n  {wrong}\nmake sim SEED={seed}")
}

/// Plays all of them on two threads; the findings of those that went wrong.
fn play_all(seeds: &[u64]) -> Vec<String> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let outcome = play(Settings::of(*seed));
                    if !outcome.wrong.is_empty() {
                        found.lock().expect("no panic before").push(failure(&outcome));
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic before")
}

#[test]
fn whatever_goes_wrong_every_run_ends_as_it_must() {
    if let Some(seed) = number("RELAY_SIM_SEED") {
        let outcome = play(Settings::of(seed));
        println!("{}", outcome.trace.join("\n"));
        assert!(outcome.wrong.is_empty(), "{}", failure(&outcome));
        return;
    }
    let count = number("RELAY_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("RELAY_SIM_FIRST").unwrap_or(0);
    let seeds: Vec<u64> = REMEMBERED.iter().copied().chain(first..first + count).collect();
    let found = play_all(&seeds);
    if let Some(first) = found.first() {
        let last_two = |f: &'_ String| f.lines().rev().take(2).map(str::trim).collect::<Vec<_>>().join(" ");
        let others: Vec<String> = found.iter().map(last_two).collect();
        panic!("{first}\n{} of {} seeds went wrong:\n{}", found.len(), seeds.len(), others.join("\n"));
    }
}

#[test]
fn a_seed_says_everything() {
    for seed in 0..15 {
        let (first, second) = (play(Settings::of(seed)), play(Settings::of(seed)));
        assert!(first.trace.len() > 10, "nothing happened");
        assert_eq!(first.trace, second.trace, "make sim SEED={seed} would not replay");
    }
}

/// Before and after each await of a conductor that runs one small workflow.
#[test]
fn a_conductor_may_die_at_every_call() {
    let seed = 4;
    for after in [false, true] {
        let mut call = 1;
        loop {
            let outcome = play(Settings::crash(seed, CrashAt { call, after }));
            assert!(outcome.wrong.is_empty(), "dies at call {call}, after: {after}\n{}", failure(&outcome));
            if outcome.calls < call {
                break;
            }
            call += 1;
        }
        assert!(call > 50, "too little happened");
    }
}

/// Seeds among which one shows a mutation: of the rarest, one in some two hundred does.
const MUTANTS: u64 = 2_000;

/// The first seed that shows the mutation, by the finding that is meant for it, is not far.
fn bites(mutation: Mutation, finding: &str) {
    let shows = |seed: &u64| {
        let wrong = play(Settings::of(*seed).with(mutation)).wrong;
        wrong.iter().any(|found| found.contains(finding))
    };
    assert!((0..MUTANTS).any(|seed| shows(&seed)), "nobody noticed {mutation:?}");
}

#[test]
fn the_oracle_notices_results_that_count_for_another_attempt() {
    bites(Mutation::NoAttemptFence, "no execution of its attempt ended");
}

#[test]
fn the_oracle_notices_a_deposed_conductor_that_still_publishes() {
    bites(Mutation::NoQueueFence, "and the store says");
}

#[test]
fn the_oracle_notices_jobs_of_a_paused_run_that_were_not_taken_back() {
    bites(Mutation::RemovesNothing, "its run is paused");
}

#[test]
fn the_oracle_notices_a_worker_that_begins_before_it_may() {
    bites(Mutation::BeginsAtOnce, "is made at most once");
}

#[test]
fn the_oracle_notices_an_attempt_that_is_run_twice() {
    bites(Mutation::OneLife, "was run 2 times");
}
