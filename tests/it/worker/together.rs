//! What a busy worker puts together: a start and its end, and slots for one claim.

use std::time::Duration;

use relay::model::job::{Job, News};
use relay::queue::{Position, Queue as _};
use relay::worker::Limits;

use super::scripted::{Stage, beside, lasting, success};

/// Limits that seconds can show.
fn limits() -> Limits {
    Limits { start_told: Duration::from_secs(5), gather: Duration::from_secs(10), ..Limits::default() }
}

/// Of the next so many reports: the task, whether it is its start, when it is of, and when it came.
async fn told(stage: &Stage, count: usize) -> Vec<(u32, bool, i64, i64)> {
    let (mut told, mut after, began) = (Vec::new(), Position::START, stage.clock.now().as_second());
    while told.len() < count {
        for one in stage.queue.reports(after, 1).await.expect("reports") {
            after = one.at;
            let (task, report) = (one.report.job.task_run.key.task, one.report);
            let starts = report.news == News::Started;
            told.push((task, starts, report.at.as_second() - began, stage.second()));
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_start_is_told_at_once_by_a_worker_that_has_nothing_else_to_do() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 3)]).await;
    let told = beside(stage.worker_with(4, limits()), told(&stage, 2)).await;
    assert_eq!(told, [(1, true, 0, 0), (1, false, 3, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_more_to_do_tells_a_start_with_its_end_or_after_a_moment() {
    let stage = Stage::new();
    stage.publish(&[lasting(1, 3), lasting(2, 60)]).await;
    let told = beside(stage.worker_with(4, limits()), told(&stage, 4)).await;
    let wanted = [(1, true, 0, 3), (1, false, 3, 3), (2, true, 0, 5), (2, false, 60, 60)];
    assert_eq!(told, wanted, "each start has its own time, whenever it is told");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_full_claims_again_once_a_quarter_of_its_slots_is_free_or_after_a_moment() {
    let stage = Stage::new();
    let mut first: Vec<Job> = (0..8).map(|task| lasting(task, 60)).collect();
    (first[0].rank, first[1].rank) = (1, 2);
    stage.publish(&first).await;
    let play = async {
        stage.until(1).await;
        stage.publish(&[lasting(8, 20), lasting(9, 40), lasting(10, 41)]).await;
        stage.ends(11).await
    };
    let ends = beside(stage.worker_with(8, limits()), play).await;
    // Two slots are free at second 2. At second 22 one is, and nobody else ends for a while.
    let of = |task| ends.iter().find(|(one, ..)| *one == task).map(|(_, outcome, at)| (outcome.clone(), *at));
    assert_eq!([of(8), of(9), of(10)], [22, 42, 32 + 41].map(|at| Some((success(), at))));
    let seen = stage.executor.seen();
    assert_eq!(seen.started, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}
