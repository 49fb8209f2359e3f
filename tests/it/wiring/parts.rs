//! Several leaders, each with a part of the shards.

use std::time::Duration;

use rustix::process::Signal;

use super::fenced::{everything, text};
use super::stage::Stage;
use super::{Desk, SOON};
use crate::support::Program;

/// What leads half of the shards says.
const HALF: &str = "it leads 32 of 64 shards";
/// And what leads all of them says.
const ALL: &str = "it leads 64 of 64 shards";

fn ended_well(operators: Vec<Program>) {
    for operator in operators {
        operator.signal(Signal::TERM);
        let told = operator.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
    }
}

fn stop_now(workers: Vec<Program>) {
    for worker in workers {
        worker.signal(Signal::TERM);
        let told = worker.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
    }
}

#[tokio::test]
async fn two_leaders_have_a_part_each_and_one_takes_over_for_the_other() {
    let stage = Stage::new().await;
    let [one, two, three] = [(); 3].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    one.until_why(&format!("{HALF}; relay-two leads the others")).await;
    two.until_why(&format!("{HALF}; relay-one leads the others")).await;
    // What the first one kept it has in a new epoch, and never gave up; the rest it gave up, and the second one took it.
    let epochs = |name: &str| {
        format!("select string_agg(distinct epoch::text, ' ') from shards where holder like '{name}-%'")
    };
    let [kept, given] = ["relay-one", "relay-two"].map(epochs);
    assert_eq!(
        (text(&stage.rows, &kept).await, text(&stage.rows, &given).await),
        ("4".to_owned(), "5".to_owned())
    );
    let workers = stage.workers();
    stage.ran("a").await;

    // Killed: the other one leads its part too, and the runs of both parts go on.
    first.signal(Signal::KILL);
    two.until_why(ALL).await;
    stage.may_end("a");
    stage.ran("ab").await;

    // It is there again, and has a part again, with a run under way in each.
    let third = stage.operator(&three, "relay-three", 2);
    three.until_why(HALF).await;
    two.until_why(&format!("{HALF}; relay-three leads the others")).await;
    stage.may_end("b");
    stage.ran("abc").await;

    // Told to end: it gives its part up, so that nobody waits until its time is over.
    let held = "select coalesce(sum(epoch), 0)::text from shards where holder like 'relay-three-%'";
    let of_the_third = "select string_agg(id::text, ',') from shards where holder like 'relay-three-%'";
    let (before, shards) = (text(&stage.rows, held).await, text(&stage.rows, of_the_third).await);
    third.signal(Signal::TERM);
    let told = third.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    two.until_why(ALL).await;
    let after = format!("select sum(epoch)::text from shards where id in ({shards})");
    let sum = |text: String| text.parse::<i64>().expect("a number");
    // One epoch ended by giving it up, one begun by taking it.
    assert_eq!(sum(text(&stage.rows, &after).await), sum(before) + 2 * 32);
    stage.all_ended().await;
    stop_now(workers);
    ended_well(vec![second]);
    assert_eq!(
        text(&stage.rows, "select count(*)::text from operators where holder like 'relay-two-%'").await,
        "0"
    );
}

#[tokio::test]
async fn a_third_one_stands_by_and_takes_the_part_of_whoever_is_killed() {
    let stage = Stage::new().await;
    let [one, two, three] = [(); 3].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    two.until_why(HALF).await;
    let third = stage.operator(&three, "relay-three", 2);
    let (status, told) = three.until_why("it stands by; relay-one and relay-two lead").await;
    assert_eq!(status, 200, "{told}");
    let workers = stage.workers();
    stage.ran("a").await;
    let of_the_second =
        "select string_agg(id || ' ' || epoch, ', ' order by id) from shards where holder like 'relay-two-%'";
    let before = text(&stage.rows, of_the_second).await;
    first.signal(Signal::KILL);
    three.until_why(&format!("{HALF}; relay-two leads the others")).await;
    assert_eq!(text(&stage.rows, of_the_second).await, before, "the second one had no reason to begin anew");
    stage.all_ended().await;
    stop_now(workers);
    ended_well(vec![third, second]);
}

#[tokio::test]
async fn a_redis_that_is_emptied_while_two_lead_costs_no_attempt() {
    let stage = Stage::new().await;
    let [one, two] = [(); 2].map(|()| Desk::of(&stage.cluster));
    let operators = vec![stage.operator(&one, "relay-one", 2), stage.operator(&two, "relay-two", 2)];
    one.until_why(HALF).await;
    two.until_why(HALF).await;
    let workers = stage.workers();
    stage.ran("a").await;
    // Their leaders have read so: they know the workers, and the workers' pools.
    let running = "select count(*)::text from task_runs where status = 'RUNNING'";
    stage.until("both are known to run", async || text(&stage.rows, running).await == "2").await;
    stage.server.say(&["FLUSHALL"]).await;
    let leases = |namespace: &String| format!("relay:{{{namespace}/default}}:leases");
    for namespace in &stage.namespaces {
        stage
            .until("its worker tells what it holds", async || {
                stage.server.say(&["HLEN", &leases(namespace)]).await == redis::Value::Int(1)
            })
            .await;
    }
    let incarnation = stage.server.say(&["HGET", "relay:{incarnation}", "id"]).await;
    stage.may_end("a");
    stage.ran("ab").await;
    // And once more, with other tasks under way.
    stage.until("both are known to run", async || text(&stage.rows, running).await == "2").await;
    stage.server.say(&["FLUSHALL"]).await;
    stage.all_ended().await;
    assert_ne!(stage.server.say(&["HGET", "relay:{incarnation}", "id"]).await, incarnation);
    stop_now(workers);
    ended_well(operators);
}

#[tokio::test]
async fn one_of_two_that_was_frozen_past_its_time_changes_nothing_when_it_wakes() {
    let stage = Stage::new().await;
    let [one, two] = [(); 2].map(|()| Desk::of(&stage.cluster));
    let first = stage.operator(&one, "relay-one", 2);
    one.until_why(ALL).await;
    let second = stage.operator(&two, "relay-two", 2);
    one.until_why(HALF).await;
    two.until_why(HALF).await;
    let workers = stage.workers();
    stage.ran("a").await;
    first.signal(Signal::STOP);
    two.until_why(ALL).await;
    stage.all_ended().await;
    stop_now(workers);
    for namespace in &stage.namespaces {
        let results = format!("relay:{{{namespace}/default}}:stream:results");
        stage
            .until("every report is settled", async || {
                stage.server.say(&["XLEN", &results]).await == redis::Value::Int(0)
            })
            .await;
    }
    // Whatever is written from here on, the first one writes.
    second.signal(Signal::STOP);
    let (before, led) = (everything(&stage.rows, &stage.server).await, stage.led().await);
    first.signal(Signal::CONT);
    let told = first.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("another operator leads shard"), "{}", told.errors);
    assert_eq!(everything(&stage.rows, &stage.server).await, before);
    assert_eq!(stage.led().await, led);
    second.signal(Signal::CONT);
    // It was frozen itself, and nobody else was there: it may lead on, or find that it must take its part anew.
    second.signal(Signal::KILL);
    drop(second);
    let last = stage.operator(&one, "relay-last", 2);
    one.until_why(ALL).await;
    ended_well(vec![last]);
}

/// Of two that come at once both get a part, whatever they wanted first, and so do three.
#[tokio::test]
async fn three_that_start_at_once_come_to_terms() {
    let stage = Stage::new().await;
    let desks = [(); 3].map(|()| Desk::of(&stage.cluster));
    let operators: Vec<Program> = desks
        .iter()
        .zip(["relay-a", "relay-b", "relay-c"])
        .map(|(desk, name)| stage.operator(desk, name, 3))
        .collect();
    let counts = "select string_agg(n::text, ' ' order by n) from (select count(*) n from shards where holder is not null
        and renewed_at > clock_timestamp() - interval '4 seconds' group by holder) t";
    stage.until("each leads a part", async || text(&stage.rows, counts).await == "21 21 22").await;
    for desk in &desks {
        desk.until_why("it leads 2").await;
    }
    let workers = stage.workers();
    stage.all_ended().await;
    stop_now(workers);
    ended_well(operators);
}

#[tokio::test]
async fn several_take_over_from_one_that_leads_all() {
    let stage = Stage::new().await;
    let [one, two] = [(); 2].map(|()| Desk::of(&stage.cluster));
    // Before an upgrade one leads all; after it two may, and take over when it goes.
    let first = stage.operator(&one, "relay-one", 1);
    one.until_why("it leads").await;
    let second = stage.operator(&two, "relay-two", 2);
    two.until_why("it stands by; relay-one leads").await;
    assert_eq!(
        text(&stage.rows, "select string_agg(holder, ',') from operators").await.matches("relay-").count(),
        1
    );
    let workers = stage.workers();
    stage.ran("a").await;
    first.signal(Signal::TERM);
    assert!(first.finish(SOON).status.success());
    two.until_why(ALL).await;
    stage.all_ended().await;
    stop_now(workers);
    ended_well(vec![second]);
}

#[test]
fn fewer_than_one_leader_is_refused() {
    let told = Program::start(Desk::new().operator().args([
        "--store=memory",
        "--redis-url=redis://127.0.0.1:9",
        "--leaders=0",
    ]));
    let told = told.finish(Duration::from_secs(30));
    assert_eq!(told.status.code(), Some(2), "{}", told.errors);
    assert!(told.errors.contains("--leaders"), "{}", told.errors);
}
