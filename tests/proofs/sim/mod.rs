//! The simulation: the real conductor and the real worker loop on one thread, a manual clock and seeded faults.
//!
//! ```text
//!  people ──> Conductor ──> FaultyStore ──> MemoryStore         cast.rs     who lives, and what befalls them
//!                │  └─────> FaultyQueue ─┐                      people.rs   who submits, cancels, approves
//!                │      or Leader ───────┤                      pauses.rs   who pauses, and what a pause forbids
//!                │                       ├──> Server or Redis   executor.rs what processes do; the ledger
//!  Simulated <── Worker ──> FaultyJobs ──┤                      oracle.rs   what must hold at the end
//!                       or Hand ─────────┘                      redis/      a Redis that loses what it holds
//! ```
//!
//! `make sim SEEDS=5000` plays many seeds (FROM=5000: the next ones), `make sim SEED=417` one, with its whole trace.

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
mod redis;
mod reign;
mod rows;
mod stage;
mod store;
mod stories;
mod stories_of_loss;
mod trace;
mod workload;
mod world;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use faults::{CrashAt, Fault};
use play::{Outcome, play};
use rows::Counts;
use world::{Mutation, Settings};

/// Seeds of every test run.
const SEEDS: u64 = 5_000;
/// Lines of a failure's trace that are shown.
const LINES: usize = 80;
/// Seeds that went wrong whose trace is kept.
const FOUND_MAX: usize = 3;
/// A long run says how far it is after so many.
const TOLD_EVERY: u64 = 1_000;
/// What must have happened somewhere among the usual seeds, or they prove less than they say.
const FAULTS: &[&str] = &[
    "a clock is put back",
    "a clock is put forward",
    "a kept result told again",
    "a look while workers tell what they hold",
    "a poisoned row",
    "a report said twice",
    "a worker tells a new life what it holds",
    "deposed from the queue",
    "done twice",
    "done, said to have failed",
    "is killed",
    "is paused",
    "is told to drain",
    "is told to stop",
    "its caller dies after",
    "its caller dies before",
    "its caller freezes",
    "lost",
    "not done, said to have failed",
    "said to have failed, done later",
    "slow",
    "the queue begins anew with what it had before",
    "the queue begins anew, empty",
    "the queue is down",
    "the queue loses its content",
    "the store is down",
];
/// Seeds that once found a defect.
const REMEMBERED: &[u64] = &[704, 2_197, 2_472, 3_228, 19_338, 155_449, 160_409];

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

/// What came of many seeds.
#[derive(Default)]
struct Played {
    /// What went wrong by itself, and how often.
    counts: Counts,
    /// The findings of those that went wrong; of a few of them whole.
    found: Vec<String>,
    wrong: u64,
    done: u64,
}

impl Played {
    fn add(&mut self, outcome: &Outcome, tell: bool) {
        for (what, times) in &outcome.counts {
            *self.counts.entry(*what).or_default() += times;
        }
        self.done += 1;
        if !outcome.wrong.is_empty() {
            self.wrong += 1;
            if self.found.len() < FOUND_MAX {
                self.found.push(failure(outcome));
            }
            let first = outcome.wrong.first().map_or("", String::as_str);
            println!("seed {} is wrong: {first}\n  make sim SEED={}", outcome.seed, outcome.seed);
        }
        if tell && self.done.is_multiple_of(TOLD_EVERY) {
            println!("{} seeds, {} of them wrong", self.done, self.wrong);
        }
    }

    /// As a table, the most frequent first.
    fn table(&self) -> String {
        let mut rows: Vec<(&(&str, &str), &u64)> = self.counts.iter().collect();
        rows.sort_by_key(|(what, times)| (what.0, std::cmp::Reverse(**times)));
        let line = |((what, place), times): (&(&str, &str), &u64)| format!("{times:>10}  {what}  {place}");
        rows.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn times(&self, what: &str) -> u64 {
        self.counts.iter().filter(|((word, _), _)| *word == what).map(|(_, times)| times).sum()
    }
}

/// Plays all of them, on as many threads as RELAY_SIM_THREADS says.
fn play_all(seeds: &[u64], tell: bool) -> Played {
    let (next, played) = (AtomicU64::new(0), Mutex::new(Played::default()));
    std::thread::scope(|scope| {
        for _ in 0..number("RELAY_SIM_THREADS").unwrap_or(2) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let outcome = play(Settings::of(*seed));
                    played.lock().expect("no panic before").add(&outcome, tell);
                }
            });
        }
    });
    played.into_inner().expect("no panic before")
}

#[test]
fn whatever_goes_wrong_every_run_ends_as_it_must() {
    if let Some(seed) = number("RELAY_SIM_SEED") {
        let outcome = play(Settings::of(seed));
        println!("{}", outcome.trace.join("\n"));
        assert!(outcome.wrong.is_empty(), "{}", failure(&outcome));
        return;
    }
    let asked = number("RELAY_SIM_SEEDS");
    let count = asked.unwrap_or(SEEDS);
    let first = number("RELAY_SIM_FIRST").unwrap_or(0);
    let seeds: Vec<u64> = REMEMBERED.iter().copied().chain(first..first + count).collect();
    let played = play_all(&seeds, asked.is_some());
    println!("{} seeds; what went wrong by itself:\n{}", played.done, played.table());
    if let Some(first) = played.found.first() {
        panic!("{first}\n{} of {} seeds went wrong", played.wrong, seeds.len());
    }
    if asked.is_none() {
        let never: Vec<&str> = FAULTS.iter().copied().filter(|what| played.times(what) == 0).collect();
        assert!(never.is_empty(), "among the usual seeds these never happened: {never:?}");
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

/// Before and after each await of a conductor that runs one small workflow; and each of them done, and said to have failed.
#[test]
fn a_conductor_may_die_at_every_call() {
    let seed = 4;
    let each = [Fault::DiesBefore, Fault::DiesAfter, Fault::Before, Fault::After];
    for (what, redis) in each.into_iter().flat_map(|what| [(what, false), (what, true)]) {
        let mut call = 1;
        loop {
            let outcome = play(Settings { redis, ..Settings::crash(seed, CrashAt { call, what }) });
            let when = format!("{what:?} at call {call}, Redis: {redis}");
            assert!(outcome.wrong.is_empty(), "{when}\n{}", failure(&outcome));
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

/// Some seed shows the mutation, by the finding that is meant for it. One that did is tried first.
fn bites(mutation: Mutation, first: u64, finding: &str) {
    let shows = |seed: &u64| {
        let wrong = play(Settings::of(*seed).with(mutation)).wrong;
        wrong.iter().any(|found| found.contains(finding))
    };
    let shown = std::iter::once(first).chain(0..MUTANTS).find(shows);
    println!("{mutation:?} shows in seed {}", shown.unwrap_or_else(|| panic!("nobody noticed {mutation:?}")));
}

#[test]
fn the_oracle_notices_results_that_count_for_another_attempt() {
    bites(Mutation::NoAttemptFence, 110, "no execution of its attempt ended");
}

#[test]
fn the_oracle_notices_a_deposed_conductor_that_still_publishes() {
    bites(Mutation::NoQueueFence, 479, "and the store says");
}

#[test]
fn the_oracle_notices_jobs_of_a_paused_run_that_were_not_taken_back() {
    bites(Mutation::RemovesNothing, 5, "its run is paused");
}

#[test]
fn the_oracle_notices_a_worker_that_begins_before_it_may() {
    bites(Mutation::BeginsAtOnce, 344, "is made at most once");
}

#[test]
fn the_oracle_notices_an_attempt_that_is_run_twice() {
    bites(Mutation::OneLife, 867, "was run 2 times");
}

#[test]
fn the_oracle_notices_what_is_offered_again_before_workers_could_tell_that_they_hold_it() {
    bites(Mutation::NoAnnouncing, 2685, "is still run by a worker that lives");
}

#[test]
fn the_oracle_notices_workers_that_do_not_tell_what_they_hold() {
    bites(Mutation::TellsNothing, 2, "lost a worker, and none was harmed");
}

#[test]
fn the_oracle_notices_results_that_nobody_keeps() {
    bites(Mutation::KeepsNothing, 2, "lost a worker, and none was harmed");
}

#[test]
fn the_oracle_notices_words_that_count_in_another_life_of_the_queue() {
    bites(Mutation::AnyLife, 10, "lost a worker, and none was harmed");
}

#[test]
fn the_oracle_notices_a_leadership_that_is_counted_by_a_clock_that_steps() {
    bites(Mutation::StoreClock, 47, "is won");
}

#[test]
fn the_oracle_notices_a_commit_of_whoever_leads_no_longer() {
    bites(Mutation::NoStoreFence, 21, "of another");
}

#[test]
fn the_oracle_notices_a_row_that_stops_others() {
    bites(Mutation::PoisonSpreads, 1, "an error was logged");
}
