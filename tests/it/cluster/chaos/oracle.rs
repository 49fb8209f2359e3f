//! What must hold once all is quiet: Postgres, the ledger, Redis, the objects and the logs against each other.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::house::House;
use super::ledger::{Ledger, Who};
use super::load::Load;
use crate::cluster::kubectl::condition;

/// What was looked at.
#[derive(Default)]
pub struct Tally {
    pub runs: usize,
    pub tasks: usize,
    pub attempts: usize,
    /// Task runs of which more than one attempt started.
    pub again: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.runs += other.runs;
        self.tasks += other.tasks;
        self.attempts += other.attempts;
        self.again += other.again;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { runs, tasks, attempts, again } = self;
        write!(out, "{runs} runs, {tasks} tasks, {attempts} attempts, {again} tasks again")
    }
}

/// A task run that a worker runs, as Postgres has it.
struct Row {
    id: String,
    status: String,
    attempt: i32,
    /// The attempts of its rows of history that say SUCCESS.
    successes: Vec<i32>,
}

/// Everything that is wrong, and what was looked at.
pub fn judge(house: &House, load: &Load) -> (Vec<String>, Tally) {
    let mut wrong = Vec::new();
    let text = std::fs::read_to_string(&load.ledger).expect("the ledger");
    let ledger = Ledger::read(&text).unwrap_or_else(|why| {
        wrong.push(why);
        Ledger::default()
    });
    runs_ended(house, load, &mut wrong);
    let rows = rows(house, load);
    for (who, row) in &rows {
        of_task_run(who, row, &ledger, &mut wrong);
    }
    for who in ledger.0.keys().filter(|who| !rows.contains_key(*who)) {
        wrong.push(format!("{who:?} ran, and Postgres does not know it"));
    }
    let strays = format!(
        "select count(*) from task_runs t join runs r on r.id = t.run_id where t.status <> 'SUCCESS' and {}",
        load.own()
    );
    if house.number(&strays) != Some(0) {
        wrong.push(format!("{:?} task runs are not SUCCESS", house.number(&strays)));
    }
    let tally = Tally {
        runs: load.names.len(),
        tasks: rows.len(),
        attempts: ledger.0.values().map(BTreeMap::len).sum(),
        again: ledger.0.values().filter(|attempts| attempts.len() > 1).count(),
    };
    (wrong, tally)
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

/// One committed SUCCESS, of an attempt that came to its end; no attempt beyond it, and none that started twice.
fn of_task_run(who: &Who, row: &Row, ledger: &Ledger, wrong: &mut Vec<String>) {
    let nothing = BTreeMap::new();
    let attempts = ledger.0.get(who).unwrap_or(&nothing);
    let mut found = Vec::new();
    if row.status != "SUCCESS" || row.successes != [row.attempt] {
        found.push(format!("it is {} of attempt {}, by {:?}", row.status, row.attempt, row.successes));
    }
    if attempts.get(&row.attempt).is_none_or(|told| told.ends.is_empty()) {
        found.push(format!("attempt {} is SUCCESS, and did not end", row.attempt));
    }
    for (attempt, told) in attempts {
        if *attempt > row.attempt {
            found.push(format!("attempt {attempt} ran, beyond the one that was SUCCESS"));
        }
        if told.starts.len() != 1 || told.ends.len() > 1 {
            found.push(format!("attempt {attempt} started {} times", told.starts.len()));
        }
    }
    let text = |what| format!("{who:?} ({}): {what}: {attempts:?}", row.id);
    wrong.extend(found.into_iter().map(text));
}

/// The task runs that workers run. A group runs nothing itself.
fn rows(house: &House, load: &Load) -> BTreeMap<Who, Row> {
    let question = format!(
        "select r.name, t.task_id, coalesce(t.item_index::text, '-'), t.id, t.status, t.attempt, \
        (select coalesce(array_agg(h.attempt), '{{}}') from state_history h where h.entity_type = 'task_run' \
         and h.entity_id = t.id and h.new_state = 'SUCCESS') \
        from task_runs t join runs r on r.id = t.run_id where not (t.task_id = 'each' and t.item_index is null) and {}",
        load.own()
    );
    let rows = house.ask(&question).expect("Postgres is well");
    let row = |row: &sqlx::postgres::PgRow| {
        let of = Row { id: row.get(3), status: row.get(4), attempt: row.get(5), successes: row.get(6) };
        ((row.get(0), row.get(1), row.get(2)), of)
    };
    rows.iter().map(row).collect()
}

/// What is wrong with a task run whose attempt 2 is SUCCESS, by these lines of the ledger.
fn found(lines: &[&str]) -> usize {
    let lines: String = lines.iter().map(|line| format!("run task 7 {line}\n")).collect();
    let ledger = Ledger::read(&lines).expect("a ledger");
    let row = Row { id: "id".to_owned(), status: "SUCCESS".to_owned(), attempt: 2, successes: vec![2] };
    let mut wrong = Vec::new();
    of_task_run(&("run".to_owned(), "task".to_owned(), "7".to_owned()), &row, &ledger, &mut wrong);
    wrong.len()
}

#[test]
fn the_oracle_notices_what_must_not_be() {
    assert_eq!(found(&["1 start 1", "2 start 2", "2 end 3"]), 0);
    assert_eq!(found(&["2 start 1", "2 end 2", "1 start 3", "1 end 4"]), 0, "an older one may start later");
    assert_eq!(found(&["1 start 1", "1 end 2"]), 1, "the one that counts never ran");
    assert_eq!(found(&["2 start 1"]), 1, "nor came to its end");
    assert_eq!(found(&["2 start 1", "2 end 2", "3 start 3"]), 1, "one ran beyond it");
    assert_eq!(found(&["2 start 1", "2 start 2", "2 end 3"]), 1, "it ran twice");
}
