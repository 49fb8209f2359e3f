//! Who leads, where Redis or the database forgets it.

use relay::queue::{Jobs, Queue, QueueError};

use super::{books, census, conductor, hostile::House, worker};
use crate::support::{
    RedisServer,
    jobs::{POOL, all_led, job, job_id, placed, report, success},
};

fn is_deposed<T: std::fmt::Debug>(answer: Result<T, QueueError>) {
    assert!(matches!(&answer, Err(QueueError::Deposed { pool, .. }) if pool == POOL), "{answer:?}");
}

#[tokio::test]
async fn a_redis_that_lost_its_content_hears_the_newer_leader_again() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (older, newer) = (conductor(&settings).await, conductor(&settings).await);
    newer.lead(&all_led(2));
    newer.publish(&[job(0)]).await.expect("published");
    is_deposed(older.publish(&[job(1)]).await);
    server.say(&["FLUSHALL"]).await;
    older.publish(&[job(1)]).await.expect("nobody has been heard in this life");
    // The newer one finds what was offered meanwhile, and takes it out.
    assert_eq!(books(&census(&newer).await).0, [job_id(1)]);
    is_deposed(older.publish(&[job(2)]).await);
    newer.settle(relay::queue::Position::START, &[placed(1)]).await.expect("settled");
    assert_eq!(books(&census(&newer).await), (vec![], vec![]));
}

#[tokio::test]
async fn whoever_leads_nothing_writes_nothing_when_it_looks_whether_redis_is_there() {
    let server = RedisServer::start(&[]).await;
    let queue = conductor(&server.settings()).await;
    queue.lead(&relay::queue::Epochs::new());
    server.say(&["FLUSHALL"]).await;
    queue.ping().await.expect("it is there");
    assert_eq!(server.say(&["DBSIZE"]).await, redis::Value::Int(0));
}

#[tokio::test]
async fn a_pool_that_was_closed_and_opened_again_knows_who_led_it() {
    let server = RedisServer::start(&[]).await;
    let settings = server.settings();
    let (older, newer) = (conductor(&settings).await, conductor(&settings).await);
    newer.lead(&all_led(2));
    relay::queue::Roster::dismiss(&*newer, POOL).await.expect("dismissed");
    census(&newer).await;
    let epoch = format!("relay:{{{POOL}}}:epoch");
    let redis::Value::Int(left) = server.say(&["PTTL", &epoch]).await else { panic!("no number") };
    assert!(left > 0, "it is forgotten in {left} ms");
    is_deposed(older.publish(&[job(0)]).await);
    newer.publish(&[job(0)]).await.expect("published");
    assert_eq!(server.say(&["PTTL", &epoch]).await, redis::Value::Int(-1), "as long as the pool is there");
}

#[tokio::test]
async fn a_database_that_was_made_anew_goes_on_with_the_same_redis() {
    let mut house = House::new().await;
    for _ in 0..3 {
        house.conduct().await.end().await;
    }
    house.forget();
    let life = house.conduct().await;
    let run = house.submit(&life).await;
    let w = worker(&house.server.settings(), "w").await;
    for _ in 0..2 {
        let claimed = w.claim(1).await;
        w.jobs.report(report("w", &claimed[0], success())).await.expect("told");
    }
    house.until_ended(&run).await;
    life.end().await;
}
