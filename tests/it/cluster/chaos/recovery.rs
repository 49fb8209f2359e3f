//! How long it took until work went on: from the history of transitions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use sqlx::Row as _;

use super::house::House;
use super::plan::Fault;

/// A fault, and when it began.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    pub fault: Fault,
    pub at: Timestamp,
}

/// Silences that began so long after a fault, in ms, are not its own.
const OWN: i64 = 20_000;

/// Milliseconds by fault: until the first transition after it, and the longest time without one that began between it and
/// the next fault.
pub fn times(house: &House, struck: &[Struck]) -> BTreeMap<Fault, Vec<(i64, i64)>> {
    let question = "select (extract(epoch from changed_at) * 1000)::bigint from state_history order by 1";
    let rows = house.ask(question).expect("Postgres is well");
    let changes: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let mut times: BTreeMap<Fault, Vec<(i64, i64)>> = BTreeMap::new();
    for (n, one) in struck.iter().enumerate() {
        let from = one.at.as_millisecond();
        let to = struck.get(n + 1).map_or(i64::MAX, |next| next.at.as_millisecond()).min(from + OWN);
        let since = changes.partition_point(|at| *at < from);
        let after = &changes[since..];
        let before = std::iter::once(from).chain(after.iter().copied()).take_while(|at| *at < to);
        let longest = before.zip(after).map(|(before, after)| after - before).max().unwrap_or(0);
        let first = after.first().map_or(0, |at| at - from);
        times.entry(one.fault).or_default().push((first, longest));
    }
    times
}

/// The same as lines: how often, and of both the median and the worst.
pub fn table(times: &BTreeMap<Fault, Vec<(i64, i64)>>) -> String {
    let of = |mut times: Vec<i64>| {
        times.sort_unstable();
        format!("{} {}", times[times.len() / 2], times[times.len() - 1])
    };
    let mut text =
        String::from("ms until the next transition, and of the longest silence: median and worst\n");
    for (fault, times) in times {
        let (first, longest) = times.iter().copied().unzip();
        writeln!(text, "{fault:?} x {}: {}, {}", times.len(), of(first), of(longest)).expect("a text");
    }
    text
}
