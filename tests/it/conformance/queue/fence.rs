//! Who leads: whoever was replaced says nothing more where the newer leader has spoken.

use relay::model::ids::ShardId;
use relay::model::job::Job;
use relay::queue::{Epochs, Go, Placed, Position, QueueError};

use super::{Ends, over_every_queue, soon};
use crate::support::jobs::{POOL, all_led, job, job_id, placed, report, second, success};

over_every_queue! {
    no_verb_of_an_older_leader_is_done, an_older_leader_is_told_by_whom_it_was_replaced,
    the_same_epoch_and_a_newer_one_are_heard, who_leads_nothing_says_nothing_and_reads_nothing,
    an_epoch_that_the_store_never_gave_is_overruled_unless_another_was_heard_since,
}

fn refused<T: std::fmt::Debug>(verb: &str, answer: Result<T, QueueError>) {
    match answer {
        Err(QueueError::Deposed { pool, epoch: 2 }) if pool == POOL => {}
        other => panic!("{verb}: {other:?}"),
    }
}

/// A job is leased, its end told; another is pending. Then a newer leader looks round.
async fn replaced(ends: &Ends) {
    ends.queue.publish(&[job(0), job(1), job(2)]).await.expect("published");
    assert_eq!(ends.claim("w", 2).await.len(), 2);
    ends.jobs.report(report("w", &job_id(0), success())).await.expect("reported");
    ends.other.lead(&all_led(2));
    ends.other.census(second(0)).await.expect("a census");
}

async fn no_verb_of_an_older_leader_is_done(ends: Ends) {
    ends.jobs.beat("w", &[], second(0)).await.expect("a beat");
    replaced(&ends).await;
    let before = ends.other.census(second(0)).await.expect("a census");
    let read = soon(ends.other.reports(Position::START, 9)).await.expect("reports");
    refused("publish", ends.queue.publish(&[job(3)]).await);
    refused("remove", ends.queue.remove(&placed(2)).await);
    refused("cancel", ends.queue.cancel(&placed(1)).await);
    let go = Go { place: placed(1), worker: "w".to_owned() };
    refused("go", ends.queue.go(&[go]).await);
    let own = soon(ends.queue.reports(Position::START, 9)).await.expect("what it reads harms nobody");
    refused("settle a job", ends.queue.settle(Position::START, &[placed(1)]).await);
    refused("settle a report", ends.queue.settle(own[0].at, &[]).await);
    refused("census", ends.queue.census(second(0)).await);
    refused("admit", ends.roster.admit(POOL, "another").await);
    refused("retire", ends.roster.retire(POOL, 9).await);
    refused("recall", ends.roster.recall(POOL).await);
    refused("dismiss", ends.roster.dismiss(POOL).await);
    assert_eq!(ends.other.census(second(0)).await.expect("a census"), before);
    assert_eq!(soon(ends.other.reports(Position::START, 9)).await.expect("reports"), read);
    let orders = ends.jobs.beat("w", &[job_id(0), job_id(1)], second(0)).await.expect("a beat");
    assert_eq!((orders.cancel, orders.abandoned, orders.go), (vec![], vec![], vec![]));
    assert!(!orders.retired);
}

async fn an_older_leader_is_told_by_whom_it_was_replaced(ends: Ends) {
    replaced(&ends).await;
    let told = ends.queue.publish(&[job(3)]).await.expect_err("refused");
    assert_eq!(told.to_string(), "pool data/default has heard a newer leader (epoch 2)");
    assert_eq!(told.label(), "deposed");
}

async fn the_same_epoch_and_a_newer_one_are_heard(ends: Ends) {
    ends.queue.publish(&[job(0)]).await.expect("published");
    ends.other.lead(&all_led(1));
    ends.other.publish(&[job(1)]).await.expect("the same epoch");
    ends.queue.publish(&[job(2)]).await.expect("the same epoch");
    ends.other.lead(&all_led(7));
    ends.other.publish(&[job(3)]).await.expect("a newer one");
    ends.queue.lead(&all_led(8));
    ends.queue.settle(Position::START, &[placed(0)]).await.expect("a newer one");
    ends.other.remove(&placed(1)).await.expect_err("an older one");
    assert_eq!(ends.books().await.0, [job_id(1), job_id(2), job_id(3)]);
}

async fn who_leads_nothing_says_nothing_and_reads_nothing(ends: Ends) {
    let not_led = |answer: Result<(), QueueError>| {
        assert!(matches!(&answer, Err(QueueError::NotLed(pool)) if pool == POOL), "{answer:?}");
    };
    ends.queue.publish(&[job(0)]).await.expect("published");
    assert_eq!(ends.claim("w", 1).await.len(), 1);
    ends.jobs.report(report("w", &job_id(0), success())).await.expect("reported");
    let of_data = ShardId::of_namespace("data");
    let others: Epochs = all_led(1).into_iter().filter(|(shard, _)| *shard != of_data).collect();
    for epochs in [others, Epochs::new()] {
        ends.queue.lead(&epochs);
        not_led(ends.queue.publish(&[job(1)]).await.map(drop));
        not_led(ends.queue.settle(Position::START, &[placed(0)]).await);
        not_led(ends.roster.recall(POOL).await);
        let census = ends.queue.census(second(0)).await.expect("a census of nothing");
        assert_eq!((census.reported, census.leases), (Position::START, vec![]));
    }
    // The shard of its namespace is enough.
    ends.queue.lead(&[(of_data, 1)].into());
    assert_eq!(soon(ends.queue.reports(Position::START, 9)).await.expect("reports").len(), 1);
    assert_eq!(ends.books().await.1, [(job_id(0), "w".to_owned())]);
}

async fn an_epoch_that_the_store_never_gave_is_overruled_unless_another_was_heard_since(ends: Ends) {
    ends.other.lead(&all_led(2));
    let theirs = Job { pool: "data/gpu".to_owned(), ..job(9) };
    ends.other.publish(&[job(1), theirs]).await.expect("published");
    refused("publish", ends.queue.publish(&[job(0)]).await);
    ends.queue.overrule(POOL, 1).await.expect("said");
    refused("publish", ends.queue.publish(&[job(0)]).await);
    for pool in [POOL, "data/gpu", "data/other"] {
        ends.queue.overrule(pool, 2).await.expect("said");
    }
    ends.queue.publish(&[job(0)]).await.expect("published");
    let mut pending = ends.queue.census(second(0)).await.expect("a census").pending;
    pending.sort();
    assert_eq!(pending, [placed(0), placed(1), Placed { pool: "data/gpu".into(), job: job_id(9) }]);
    ends.other.publish(&[job(2)]).await.expect("a newer epoch counts again");
    refused("publish", ends.queue.publish(&[job(3)]).await);
}
