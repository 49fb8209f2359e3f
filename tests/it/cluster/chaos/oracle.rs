//! What must hold once all is quiet: Postgres, the ledger, Redis, the objects and the logs against each other.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;

use super::house::House;
use super::ledger::{Ledger, Who};
use super::load::{Load, ONCE};
use crate::cluster::kubectl::condition;

/// What was looked at.
#[derive(Default)]
pub struct Tally {
    pub runs: usize,
    pub tasks: usize,
    pub attempts: usize,
    /// Task runs of which more than one attempt started.
    pub again: usize,
    /// Task runs that are made at most once, and FAILED for nobody can say how far they came.
    pub unknown: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.runs += other.runs;
        self.tasks += other.tasks;
        self.attempts += other.attempts;
        self.again += other.again;
        self.unknown += other.unknown;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { runs, tasks, attempts, again, unknown } = self;
        write!(
            out,
            "{runs} runs, {tasks} tasks, {attempts} attempts, {again} tasks again, {unknown} not again"
        )
    }
}

/// A task run that a worker runs, as Postgres has it.
struct Row {
    id: String,
    status: String,
    reason: Option<String>,
    attempt: i32,
    /// The attempts of its rows of history that say SUCCESS.
    successes: Vec<i32>,
    /// What its newest row of history says.
    newest: Option<String>,
    /// Who made the attempt that counts.
    worker: Option<String>,
}

/// What the oracle found.
#[derive(Default)]
pub struct Verdict {
    /// Everything that is wrong.
    pub wrong: Vec<String>,
    /// Tasks that have no SUCCESS.
    pub lost: BTreeSet<Who>,
    /// Tasks that have two, or of which an attempt ran that must not.
    pub doubled: BTreeSet<Who>,
    /// What was looked at.
    pub tally: Tally,
}

/// Judges the runs of a round.
pub fn judge(house: &House, load: &Load) -> Verdict {
    let mut verdict = Verdict::default();
    let text = std::fs::read_to_string(house.ledger()).expect("the ledger");
    let ledger = Ledger::read(&text).unwrap_or_else(|why| {
        verdict.wrong.push(why);
        Ledger::default()
    });
    runs_ended(house, load, &mut verdict.wrong);
    has_no_gaps(house, &mut verdict.wrong);
    let rows = rows(house, load);
    for (who, row) in &rows {
        if who.1 == ONCE {
            of_one_that_is_made_at_most_once(who, row, &ledger, &mut verdict);
        }
        if row.status != "FAILED" || who.1 != ONCE {
            of_task_run(who, row, &ledger, &mut verdict);
        }
    }
    for who in ledger.0.keys().filter(|who| !rows.contains_key(*who)) {
        verdict.wrong.push(format!("{who:?} ran, and Postgres does not know it"));
    }
    let strays = format!(
        "select count(*) from task_runs t join runs r on r.id = t.run_id where t.status <> 'SUCCESS' and t.task_id <> '{ONCE}' and {}",
        load.own()
    );
    if house.number(&strays) != Some(0) {
        verdict.wrong.push(format!("{:?} task runs are not SUCCESS", house.number(&strays)));
    }
    if rows.len() != load.tasks() {
        verdict.wrong.push(format!("{} tasks were asked for, and there are {}", load.tasks(), rows.len()));
    }
    verdict.tally = Tally {
        runs: load.names.len(),
        tasks: rows.len(),
        attempts: ledger.0.values().map(BTreeMap::len).sum(),
        again: ledger.0.values().filter(|attempts| attempts.len() > 1).count(),
        unknown: rows.values().filter(|row| row.status == "FAILED").count(),
    };
    verdict
}

/// Each run is SUCCESS with one row of history that says so, and its object says the same.
fn runs_ended(house: &House, load: &Load, wrong: &mut Vec<String>) {
    let question = format!(
        "select r.name, r.status, (select count(*) from state_history h where h.entity_type = 'run' \
        and h.entity_id = r.id and h.new_state = 'SUCCESS') from runs r where {}",
        load.own()
    );
    let rows = house.ask(&question).expect("Postgres is well");
    let rows: BTreeMap<String, (String, i64)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    let objects = house.runs().expect("the API server is well");
    for name in &load.names {
        match rows.get(name) {
            Some((status, 1)) if status == "SUCCESS" => {}
            other => wrong.push(format!("the run {name} is {other:?}")),
        }
        let object = objects.iter().find(|object| object["metadata"]["name"] == name.as_str());
        let told = object.and_then(|object| condition(object, "Succeeded"));
        if told.as_ref().is_none_or(|(status, ..)| status != "True") {
            wrong.push(format!("the object of {name} says {told:?}"));
        }
    }
    if rows.len() != load.names.len() {
        wrong.push(format!("{} runs were made, and Postgres has {}", load.names.len(), rows.len()));
    }
}

/// Each shard's history has every position up to its own, once.
fn has_no_gaps(house: &House, wrong: &mut Vec<String>) {
    let question = "select s.id::bigint, s.seq, count(h.seq) from shards s left join state_history h on h.shard = s.id \
        group by s.id, s.seq having s.seq <> count(h.seq) or s.seq <> coalesce(max(h.seq), 0)";
    for row in house.ask(question).expect("Postgres is well") {
        let (shard, position, rows): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        wrong.push(format!("shard {shard} is at {position}, and its history has {rows} rows"));
    }
}

/// One committed SUCCESS and nothing after it, of an attempt that came to its end; no attempt beyond it, and none that
/// started twice.
fn of_task_run(who: &Who, row: &Row, ledger: &Ledger, verdict: &mut Verdict) {
    let nothing = BTreeMap::new();
    let attempts = ledger.0.get(who).unwrap_or(&nothing);
    let (mut lost, mut doubled) = (Vec::new(), Vec::new());
    let counts = attempts.get(&row.attempt);
    if row.status != "SUCCESS" || row.successes.is_empty() {
        lost.push(format!("it is {} of attempt {}, by {:?}", row.status, row.attempt, row.successes));
    } else if row.successes != [row.attempt] || row.newest.as_deref() != Some("SUCCESS") {
        doubled.push(format!("it was SUCCESS by {:?}, and is {:?} then", row.successes, row.newest));
    }
    if counts.is_none_or(|told| told.ends.is_empty()) {
        lost.push(format!("attempt {} is SUCCESS, and did not end", row.attempt));
    }
    let (says, did) = (row.worker.as_deref().unwrap_or(""), counts.and_then(|told| told.workers.first()));
    if did.is_some_and(|did| says.strip_prefix(did.as_str()).is_none_or(|rest| !rest.starts_with('-'))) {
        doubled.push(format!("attempt {} was made by {did:?}, and its row says {says}", row.attempt));
    }
    for (attempt, told) in attempts {
        if *attempt > row.attempt {
            doubled.push(format!("attempt {attempt} ran, beyond the one that was SUCCESS"));
        }
        if told.starts.len() != 1 || told.ends.len() > 1 {
            doubled.push(format!("attempt {attempt} started {} times", told.starts.len()));
        }
    }
    verdict.lost.extend((!lost.is_empty()).then(|| who.clone()));
    verdict.doubled.extend((!doubled.is_empty()).then(|| who.clone()));
    let text = |what| format!("{who:?} ({}): {what}: {attempts:?}", row.id);
    verdict.wrong.extend(lost.into_iter().chain(doubled).map(text));
}

/// It started once at most, whatever came of it; what is FAILED is so because nobody knows.
fn of_one_that_is_made_at_most_once(who: &Who, row: &Row, ledger: &Ledger, verdict: &mut Verdict) {
    let told = ledger.0.get(who);
    let starts: usize = told.into_iter().flat_map(BTreeMap::values).map(|told| told.starts.len()).sum();
    if starts > 1 {
        verdict.doubled.insert(who.clone());
        verdict.wrong.push(format!("{who:?} is made at most once, and started {starts} times: {told:?}"));
    }
    if row.status == "FAILED" && (row.reason.as_deref() != Some("WorkerLost") || !row.successes.is_empty()) {
        verdict.lost.insert(who.clone());
        verdict
            .wrong
            .push(format!("{who:?} FAILED by {:?}, and was SUCCESS by {:?}", row.reason, row.successes));
    }
}

/// The task runs that workers run. A group runs nothing itself.
fn rows(house: &House, load: &Load) -> BTreeMap<Who, Row> {
    let question = format!(
        "select r.name, t.task_id, coalesce(t.item_index::text, '-'), t.id, t.status, t.attempt, \
        (select coalesce(array_agg(h.attempt), '{{}}') from state_history h where h.entity_type = 'task_run' \
         and h.entity_id = t.id and h.new_state = 'SUCCESS'), \
        (select h.new_state from state_history h where h.entity_type = 'task_run' and h.entity_id = t.id \
         order by h.seq desc limit 1), \
        (select a.worker from attempts a where a.task_run_id = t.id and a.attempt = t.attempt and a.exit_code = 0), \
        t.reason \
        from task_runs t join runs r on r.id = t.run_id where not (t.task_id in ('each', '{ONCE}') and t.item_index is null) and {}",
        load.own()
    );
    let rows = house.ask(&question).expect("Postgres is well");
    let row = |row: &sqlx::postgres::PgRow| {
        let of = Row {
            id: row.get(3),
            status: row.get(4),
            attempt: row.get(5),
            successes: row.get(6),
            newest: row.get(7),
            worker: row.get(8),
            reason: row.get(9),
        };
        ((row.get(0), row.get(1), row.get(2)), of)
    };
    rows.iter().map(row).collect()
}

/// A task run whose attempt 2 is SUCCESS.
fn success() -> Row {
    Row {
        id: "id".to_owned(),
        status: "SUCCESS".to_owned(),
        reason: None,
        attempt: 2,
        successes: vec![2],
        newest: Some("SUCCESS".to_owned()),
        worker: Some("w-1-abc".to_owned()),
    }
}

/// How often a task run counts as lost and as doubled, by these lines of the ledger.
fn found_by(judge: impl Fn(&Who, &Row, &Ledger, &mut Verdict), row: &Row, lines: &[&str]) -> (usize, usize) {
    let lines: String = lines.iter().map(|line| format!("run task 7 {line}\n")).collect();
    let ledger = Ledger::read(&lines).expect("a ledger");
    let mut verdict = Verdict::default();
    judge(&("run".to_owned(), "task".to_owned(), "7".to_owned()), row, &ledger, &mut verdict);
    (verdict.lost.len(), verdict.doubled.len())
}

#[test]
fn the_oracle_notices_what_must_not_be() {
    let found = |lines: &[&str]| found_by(of_task_run, &success(), lines);
    assert_eq!(found(&["1 w-2 start 1", "2 w-1 start 2", "2 w-1 end 3"]), (0, 0));
    assert_eq!(
        found(&["2 w-1 start 1", "2 w-1 end 2", "1 w-2 start 3", "1 w-2 end 4"]),
        (0, 0),
        "an older one may start later"
    );
    assert_eq!(found(&["1 w-1 start 1", "1 w-1 end 2"]), (1, 0), "the one that counts never ran");
    assert_eq!(found(&["2 w-1 start 1"]), (1, 0), "nor came to its end");
    assert_eq!(found(&["2 w-1 start 1", "2 w-1 end 2", "3 w-1 start 3"]), (0, 1), "one ran beyond it");
    assert_eq!(found(&["2 w-1 start 1", "2 w-1 start 2", "2 w-1 end 3"]), (0, 1), "it ran twice");
    assert_eq!(found(&["2 w-11 start 1", "2 w-11 end 2"]), (0, 1), "another worker made it");
}

#[test]
fn the_oracle_notices_what_was_made_more_than_once() {
    let failed = |reason: &str| Row {
        status: "FAILED".to_owned(),
        reason: Some(reason.to_owned()),
        successes: Vec::new(),
        ..success()
    };
    let found = |row: Row, lines: &[&str]| found_by(of_one_that_is_made_at_most_once, &row, lines);
    assert_eq!(found(success(), &["2 w-1 start 1", "2 w-1 end 2"]), (0, 0));
    assert_eq!(found(failed("WorkerLost"), &["1 w-1 start 1"]), (0, 0), "nobody knows how far it came");
    assert_eq!(found(failed("WorkerLost"), &[]), (0, 0), "nor whether it began");
    assert_eq!(found(failed("ExitCode"), &["1 w-1 start 1"]), (1, 0), "it does not fail by itself");
    assert_eq!(found(success(), &["1 w-1 start 1", "2 w-2 start 2"]), (0, 1), "two began");
}
