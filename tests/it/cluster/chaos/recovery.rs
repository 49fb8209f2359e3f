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

/// Milliseconds of silence by fault: the longest time without a committed transition that began between a fault and the
/// next one.
pub fn silences(house: &House, struck: &[Struck]) -> BTreeMap<Fault, Vec<i64>> {
    let question = "select (extract(epoch from changed_at) * 1000)::bigint from state_history order by 1";
    let rows = house.ask(question).expect("Postgres is well");
    let changes: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let mut silences: BTreeMap<Fault, Vec<i64>> = BTreeMap::new();
    for (n, one) in struck.iter().enumerate() {
        let from = one.at.as_millisecond();
        let to = struck.get(n + 1).map_or(i64::MAX, |next| next.at.as_millisecond()).min(from + OWN);
        let since = changes.partition_point(|at| *at < from);
        let after = &changes[since..];
        let before = std::iter::once(from).chain(after.iter().copied()).take_while(|at| *at < to);
        let longest = before.zip(after).map(|(before, after)| after - before).max().unwrap_or(0);
        silences.entry(one.fault).or_default().push(longest);
    }
    silences
}

/// The same as lines: how often, median, worst.
pub fn table(silences: &BTreeMap<Fault, Vec<i64>>) -> String {
    let mut text = String::from("fault, times, longest silence in ms: median, worst\n");
    for (fault, times) in silences {
        let mut times = times.clone();
        times.sort_unstable();
        let worst = times.last().copied().unwrap_or(0);
        writeln!(text, "{fault:?}, {}, {}, {worst}", times.len(), times[times.len() / 2]).expect("a text");
    }
    text
}
