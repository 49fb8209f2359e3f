//! The last act: Postgres is lost, and a standby that had not heard everything for a while takes its place, at the same
//! address. Nothing is done twice unasked: everything stands still and says why, until a person accepts the older state.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::house::House;
use super::ledger::Ledger;
use super::load::{Load, ONCE, run};
use super::plan::Fault;
use super::recovery::Struck;
use crate::support::PostgresServer;

/// How much more was committed than the standby has heard of, at least.
const MORE: i64 = 400;
/// For so long nothing moves.
const STILL: Duration = Duration::from_secs(8);
/// A run that is made when the standby hears nothing more.
const LATE: &str = "late";

/// All of it, with what is wrong.
pub fn promoted(house: &mut House, load: &mut Load) -> (Struck, Vec<String>) {
    load.next_round(house);
    load.fill(house, Duration::ZERO);
    let before = house.position().expect("Postgres is well");
    house.until("tasks run", |house| house.position().is_some_and(|now| now >= before + MORE));
    let mut standby = house.runtime.block_on(house.postgres.standby());
    let heard = hears_no_more(house, &standby);
    house.apply("chaos", &run(LATE));
    house.until("statuses tell more than the standby has heard", |house| {
        let told =
            |object: &Value| object["status"]["position"].as_i64().is_some_and(|told| told > heard + MORE);
        let all = house.runs().unwrap_or_default();
        all.iter().any(told) && all.iter().any(|object| name(object) == LATE && told(object))
    });
    let mut struck = Struck::now(house, Fault::StandbyPromoted);
    let ended: BTreeSet<String> = house.runs().expect("well").iter().filter(has_ended).map(name).collect();
    house.runtime.block_on(standby.takes_the_place_of(&mut house.postgres));
    house.postgres = standby;
    let mut wrong = stands_still(house, heard);
    wrong.extend(done_twice(house));

    house.accepts_older = true;
    house.kill_operators();
    struck.healed = Instant::now();
    house.until("work goes on", |house| house.position().is_some_and(|now| now > heard + MORE));
    struck.survived = Some(Instant::now());
    wrong.extend(ends(house, load, &ended));
    (struck, wrong)
}

/// From now on it hears nothing more; how far it had come.
fn hears_no_more(house: &House, standby: &PostgresServer) -> i64 {
    house.runtime.block_on(async {
        let mut connection = PgConnection::connect(&standby.url("")).await.expect("the standby answers");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for word in ["alter system set primary_conninfo = ''", "select pg_reload_conf()"] {
            sqlx::raw_sql(word).execute(&mut connection).await.expect("it is done");
        }
        loop {
            let question = "select (select count(*) from pg_stat_wal_receiver where status = 'streaming'), \
                (select coalesce(sum(seq), 0)::bigint from shards), \
                pg_last_wal_receive_lsn() is not distinct from pg_last_wal_replay_lsn()";
            let row = sqlx::query(question).fetch_one(&mut connection).await.expect("the standby answers");
            if row.get::<i64, _>(0) == 0 && row.get::<bool, _>(2) {
                return row.get(1);
            }
            ticks.tick().await;
        }
    })
}

/// Every Run that had not ended says that the store is behind, and nothing moves.
fn stands_still(house: &mut House, heard: i64) -> Vec<String> {
    house.until("every Run that had not ended says why it stands still", |house| {
        house.runs().is_some_and(|all| all.iter().all(|object| has_ended(&object) || is_behind(object)))
    });
    let mut wrong = Vec::new();
    let position = house.position();
    house.lasts(STILL);
    if house.position() != position || position.is_none_or(|now| now > heard) {
        wrong.push(format!(
            "the standby had heard {heard}, then stood at {position:?} and moved to {:?}",
            house.position()
        ));
    }
    if !house.says("these shards stop") {
        wrong.push("no operator says in /health what stopped".to_owned());
    }
    wrong
}

/// Tasks that started though one of their attempts had come to its end, and attempts that started twice.
fn done_twice(house: &House) -> Vec<String> {
    let text = std::fs::read_to_string(house.ledger()).expect("the ledger");
    let ledger = Ledger::read(&text).expect("a ledger");
    let mut wrong = Vec::new();
    for (who, attempts) in &ledger.0 {
        let first_end = attempts.values().flat_map(|told| &told.ends).copied().fold(f64::INFINITY, f64::min);
        let mut starts = attempts.values().flat_map(|told| &told.starts);
        if starts.any(|start| *start > first_end) || attempts.values().any(|told| told.starts.len() > 1) {
            wrong.push(format!("{who:?} was done twice, and nobody had asked for it: {attempts:?}"));
        }
    }
    wrong
}

/// Every run ends that had not ended before and that the store knows; the others say why they do not, and are deleted.
fn ends(house: &mut House, load: &Load, ended: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let live =
        format!("select r.name from runs r where r.status in ('QUEUED', 'RUNNING') and {}", load.own());
    let names = |house: &House, question: &str| -> BTreeSet<String> {
        house.ask(question).unwrap_or_default().iter().map(|row| row.get(0)).collect()
    };
    house.until("what had not ended ends", |house| {
        let all = house.runs().unwrap_or_default();
        !all.is_empty()
            && all.iter().all(|object| has_ended(&object) || is_behind(object))
            && house.ask(&live).is_ok()
            && names(house, &live).is_subset(ended)
    });
    let mut behind = BTreeSet::new();
    for object in house.runs().expect("the API server is well") {
        if is_behind(&object) {
            behind.insert(name(&object));
        } else if object["status"]["state"] != "Succeeded" {
            wrong.push(format!("{} is {}", name(&object), object["status"]["state"]));
        }
    }
    let expected: BTreeSet<String> = names(house, &live).into_iter().chain([LATE.to_owned()]).collect();
    if behind != expected {
        wrong.push(format!("{behind:?} say that the store is behind, and it should be {expected:?}"));
    }
    for name in &behind {
        house.insist(&["-n", "chaos", "delete", "run", name, "--wait=false"], "");
    }
    house.until("what is deleted is cancelled", |house| house.ask(&live).is_ok_and(|rows| rows.is_empty()));
    let odd = format!(
        "select count(*) from task_runs t join runs r on r.id = t.run_id where r.status = 'SUCCESS' and t.task_id <> '{ONCE}' and {} and \
         (t.status <> 'SUCCESS' or 1 <> (select count(*) from state_history h where h.entity_type = 'task_run' \
          and h.entity_id = t.id and h.new_state = 'SUCCESS'))",
        load.own()
    );
    if house.number(&odd) != Some(0) {
        wrong.push(format!(
            "{:?} tasks of runs that succeeded have not exactly one SUCCESS",
            house.number(&odd)
        ));
    }
    wrong
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn is_behind(object: &Value) -> bool {
    object["status"]["state"] == "StoreBehind"
}

fn has_ended(object: &&Value) -> bool {
    object["status"]["finishedAt"].is_string() && !is_behind(object)
}
