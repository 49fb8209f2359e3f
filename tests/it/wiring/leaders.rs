//! One leads, the others stand by; whoever lost its shards ends.

use rustix::process::Signal;

use super::{Desk, SOON};
use crate::support::{TestDb, redis_url};

#[tokio::test]
async fn whoever_stands_by_takes_over_when_the_leader_ends_and_when_it_is_killed() {
    let database = TestDb::new();
    let [one, two, three] = [Desk::new(), Desk::new(), Desk::new()];
    let first = one.at(database.url(), &redis_url());
    // Its cluster does not answer, so it leads, and is not ready.
    let (status, _) = one.until("/readyz", "it leads").await;
    assert_eq!(status, 503);
    let second = two.at(database.url(), &redis_url());
    let (status, text) = two.until("/readyz", "it stands by").await;
    assert_eq!(status, 200, "{text}");

    first.signal(Signal::TERM);
    let told = first.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    assert!(told.errors.contains("The conductor has given its shards up"), "{}", told.errors);
    two.until("/readyz", "it leads").await;

    let third = three.at(database.url(), &redis_url());
    three.until("/readyz", "it stands by").await;
    second.signal(Signal::KILL);
    three.until("/readyz", "it leads").await;
    third.signal(Signal::TERM);
    assert!(third.finish(SOON).status.success());
}

#[tokio::test]
async fn a_leader_that_was_frozen_for_too_long_ends_when_it_wakes() {
    let database = TestDb::new();
    let [one, two] = [Desk::new(), Desk::new()];
    let first = one.at(database.url(), &redis_url());
    one.until("/readyz", "it leads").await;
    let second = two.at(database.url(), &redis_url());
    two.until("/readyz", "it stands by").await;
    first.signal(Signal::STOP);
    two.until("/readyz", "it leads").await;
    first.signal(Signal::CONT);
    let told = first.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(told.errors.contains("another operator leads shard"), "{}", told.errors);
    second.signal(Signal::TERM);
    assert!(second.finish(SOON).status.success());
}
