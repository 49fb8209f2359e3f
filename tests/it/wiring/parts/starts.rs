//! How several begin beside one another.

use super::*;

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
