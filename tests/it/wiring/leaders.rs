//! One leads, the others stand by; whoever lost its shards ends.

use rustix::process::Signal;

use super::{Cluster, Desk, SOON};
use crate::support::{Program, TestDb, redis_url};

#[tokio::test]
async fn whoever_stands_by_takes_over_when_the_leader_ends_and_when_it_is_killed() {
    let database = TestDb::new();
    let cluster = Cluster::new(Some("our-cluster"));
    let [one, two, three] = [Desk::of(&cluster), Desk::of(&cluster), Desk::of(&cluster)];
    let first = one.at(database.url(), &redis_url());
    // Its cluster tells nothing but its id, so it leads, and is not ready.
    let (status, _) = one.until_why("it leads").await;
    assert_eq!(status, 503);
    let second = two.at(database.url(), &redis_url());
    let (status, text) = two.until_why("it stands by").await;
    assert_eq!(status, 200, "{text}");

    first.signal(Signal::TERM);
    let told = first.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    assert!(told.errors.contains("The conductor has given its shards up"), "{}", told.errors);
    two.until_why("it leads").await;

    let third = three.at(database.url(), &redis_url());
    three.until_why("it stands by").await;
    second.signal(Signal::KILL);
    three.until_why("it leads").await;
    third.signal(Signal::TERM);
    assert!(third.finish(SOON).status.success());
}

#[tokio::test]
async fn a_leader_that_was_frozen_for_too_long_ends_when_it_wakes() {
    let database = TestDb::new();
    let cluster = Cluster::new(Some("our-cluster"));
    let [one, two] = [Desk::of(&cluster), Desk::of(&cluster)];
    let first = one.at(database.url(), &redis_url());
    one.until_why("it leads").await;
    let second = two.at(database.url(), &redis_url());
    two.until_why("it stands by").await;
    first.signal(Signal::STOP);
    two.until_why("it leads").await;
    first.signal(Signal::CONT);
    let told = first.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("another operator leads shard"), "{}", told.errors);
    second.signal(Signal::TERM);
    assert!(second.finish(SOON).status.success());
}

#[tokio::test]
async fn nobody_leads_before_the_cluster_has_told_its_id() {
    let database = TestDb::new();
    let cluster = Cluster::new(None);
    let desk = Desk::of(&cluster);
    let operator = desk.at(database.url(), &redis_url());
    let (status, text) = desk.until_why("not before it is known whose database this is").await;
    assert_eq!(status, 503, "{text}");
    let (_, why) = desk.until_at(desk.api, "/health", "the API server cannot be reached").await;
    assert!(!why.contains("it leads"), "{why}");
    assert_eq!(desk.until("/livez", "ok").await.0, 200, "a restart would not bring the API server back");
    cluster.tells("our-cluster");
    desk.until_why("it leads").await;
    // Whoever leads needs no API server for that.
    drop(cluster);
    let other = Desk::new();
    let second = other.at(database.url(), &redis_url());
    other.until_why("not before it is known whose database this is").await;
    desk.until_why("it leads").await;
    for operator in [operator, second] {
        operator.signal(Signal::TERM);
        let told = operator.finish(SOON);
        assert!(told.status.success(), "{}", told.errors);
        assert!(told.errors.contains("Waiting for the API server"), "{}", told.errors);
        assert!(!told.errors.contains(" ERROR "), "an outage is no error of its own: {}", told.errors);
    }
}

#[tokio::test]
async fn another_clusters_operator_does_not_lead_until_it_adopts_the_database() {
    let database = TestDb::new();
    let (ours, theirs) = (Cluster::new(Some("our-cluster")), Cluster::new(Some("their-cluster")));
    let [one, two, three, four] = [Desk::of(&ours), Desk::of(&ours), Desk::of(&theirs), Desk::of(&theirs)];
    let leads = one.at(database.url(), &redis_url());
    one.until_why("it leads").await;
    let stands_by = two.at(database.url(), &redis_url());
    two.until_why("it stands by").await;

    let refused = three.at(database.url(), &redis_url()).finish(SOON);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.errors);
    for words in ["our-cluster", "their-cluster", "--adopt-cluster"] {
        assert!(refused.errors.contains(words), "{words}: {}", refused.errors);
    }
    assert!(!refused.errors.contains("This operator leads"), "{}", refused.errors);

    let mut adopts = four.operator();
    adopts.args(["--database-url", database.url(), "--redis-url", &redis_url(), "--adopt-cluster"]);
    let adopts = Program::start(&mut adopts);
    four.until_why("it stands by").await;
    // Whoever stood by for the cluster before must not take over any more.
    let told = stands_by.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("their-cluster"), "{}", told.errors);
    leads.signal(Signal::TERM);
    assert!(leads.finish(SOON).status.success());
    four.until_why("it leads").await;
    adopts.signal(Signal::TERM);
    assert!(adopts.finish(SOON).status.success());
}
