//! Jobs that are made at most once, on a paused clock: nothing begins before the word.

use relay::model::job::{Job, News, Outcome};
use relay::queue::{Go, Position, Queue};

use super::scripted::{Fault, Stage, beside, lasting, success};
use crate::support::jobs::placed;

/// A job that takes so many seconds once it may begin.
fn waiting(task: u32, seconds: i64) -> Job {
    Job { at_most_once: true, ..lasting(task, seconds) }
}

fn go(task: u32) -> Go {
    Go { place: placed(task), worker: "w".to_owned() }
}

/// How often each start was told.
async fn starts(stage: &Stage) -> usize {
    let told = stage.queue.reports(Position::START, 1_000).await.expect("reports");
    told.iter().filter(|told| told.report.news == News::Started).count()
}

#[tokio::test(start_paused = true)]
async fn a_job_begins_at_the_word_and_tells_its_start_until_then() {
    let stage = Stage::new();
    stage.publish(&[waiting(1, 7)]).await;
    let ends = beside(stage.worker(1), async {
        stage.until(60).await;
        assert_eq!(stage.executor.seen().started, [0; 0], "nobody let it begin");
        assert!(starts(&stage).await > 10, "what was told may get lost, so it is told again");
        stage.queue.go(&[go(1)]).await.expect("told");
        stage.ends(1).await
    })
    .await;
    assert_eq!(ends, [(1, success(), 67)]);
    assert_eq!(stage.executor.seen().started, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_word_that_is_said_again_begins_nothing_again() {
    let stage = Stage::new();
    stage.publish(&[waiting(1, 30)]).await;
    stage.jobs.expect("beat", &[Fault::After, Fault::After]);
    let ends = beside(stage.worker(1), async {
        for second in [1, 2, 10, 20] {
            stage.until(second).await;
            stage.queue.go(&[go(1)]).await.expect("told");
        }
        stage.ends(1).await
    })
    .await;
    assert_eq!((ends.len(), &ends[0].1), (1, &success()));
    assert_eq!(stage.executor.seen().started, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_before_the_word_never_begins() {
    let stage = Stage::new();
    stage.publish(&[waiting(1, 7), waiting(2, 7)]).await;
    let ends = beside(stage.worker(2), async {
        stage.until(3).await;
        stage.queue.cancel(&placed(1)).await.expect("cancelled");
        // Of the other the conductor thinks that it is lost.
        stage.queue.settle(Position::START, &[placed(2)]).await.expect("settled");
        let ends = stage.ends(1).await;
        stage.until(30).await;
        ends
    })
    .await;
    assert_eq!(ends, [(1, Outcome::Cancelled, 3)]);
    assert_eq!(stage.executor.seen().started, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_back_to_whoever_made_it_is_not_made_again() {
    let stage = Stage::new();
    stage.publish(&[waiting(1, 5)]).await;
    beside(stage.worker(1), async {
        stage.until(1).await;
        stage.queue.go(&[go(1)]).await.expect("told");
        assert_eq!(stage.ends(1).await, [(1, success(), 6)]);
        // As a leader of yesterday does whose words come late.
        stage.publish(&[waiting(1, 5)]).await;
        stage.until(20).await;
        stage.queue.go(&[go(1)]).await.expect("told");
        stage.until(30).await;
        // The sweep finds it, and the slot is free again.
        stage.queue.settle(Position::START, &[placed(1)]).await.expect("settled");
        stage.publish(&[Job { at_most_once: false, ..waiting(2, 5) }]).await;
        assert_eq!(stage.ends(1).await, [(2, success(), 35)], "of the other nothing is told");
        // Where nobody knows how it ended, nobody waits for ever.
        stage.publish(&[waiting(1, 5)]).await;
        assert_eq!(stage.ends(1).await, [(1, Outcome::Cancelled, 65)]);
        assert_eq!(stage.executor.seen().started, [1, 2]);
    })
    .await;
}
