//! The worker when its queue fails: nothing runs twice, nothing is lost, nothing spins.

use std::time::Duration;

use relay::model::job::{Job, News};
use relay::queue::{Position, Queue, Told};

use super::scripted::{Fault, Stage, lasting, success};

/// Lets the worker run until so many jobs have ended; what the executor saw, and when each ended.
async fn play(stage: &Stage, slots: usize, jobs: &[Job]) -> Vec<(u32, i64)> {
    stage.publish(jobs).await;
    let worker = stage.worker(slots);
    let both = async {
        tokio::select! {
            biased;
            ends = stage.ends(jobs.len()) => ends,
            () = worker => panic!("the worker ended too early"),
        }
    };
    let ends = tokio::time::timeout(Duration::from_secs(3600), both).await;
    let ends = ends.unwrap_or_else(|_| panic!("a job was lost: {:?}", stage.executor.seen()));
    assert!(ends.iter().all(|(_, outcome, _)| *outcome == success()), "{ends:?}");
    let mut started = stage.executor.seen().started;
    started.sort_unstable();
    assert_eq!(started, (0..jobs.len() as u32).collect::<Vec<_>>(), "each ran once");
    ends.into_iter().map(|(task, _, at)| (task, at)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_loses_no_job() {
    let stage = Stage::new();
    stage.jobs.expect("claim", &[Fault::Before, Fault::After, Fault::After]);
    let ends = play(&stage, 2, &[lasting(0, 3), lasting(1, 3), lasting(2, 3)]).await;
    assert!(ends.iter().all(|(_, at)| *at < 10), "{ends:?}");
    assert!(stage.executor.seen().most_at_once <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_kept_until_the_queue_takes_it() {
    let stage = Stage::new();
    let faults = [Fault::Before; 30];
    stage.jobs.expect("report", &faults);
    let ends = play(&stage, 1, &[lasting(0, 1), lasting(1, 1)]).await;
    assert!(ends[0].1 > 30, "it backed off: {ends:?}");
    assert_eq!(ends.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_start_is_told_before_the_end_even_if_it_is_heard_late() {
    let stage = Stage::new();
    stage.jobs.expect("report", &[Fault::Before, Fault::Before, Fault::After]);
    stage.publish(&[lasting(0, 0)]).await;
    let worker = stage.worker(1);
    let told = async {
        let mut told = Vec::new();
        let mut after = Position::START;
        while !matches!(told.last(), Some(News::Ended(_))) {
            for Told { at, report, .. } in stage.queue.reports(after, 9).await.expect("reports") {
                after = at;
                told.push(report.news);
            }
        }
        told
    };
    let told = tokio::select! { told = told => told, () = worker => panic!("it ended") };
    assert_eq!(
        told,
        [News::Started, News::Started, News::Ended(success())],
        "said twice, for once it went unheard"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_the_queue_does_not_know_yet_claims_nothing() {
    let stage = Stage::new();
    stage.jobs.expect("beat", &[Fault::Before; 20]);
    let ends = play(&stage, 1, &[lasting(0, 1)]).await;
    assert!(ends[0].1 > 10, "first a beat must be heard: {ends:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_or_a_good_bye_that_is_not_heard_stop_nothing() {
    let stage = Stage::new();
    stage.jobs.expect("called", &[Fault::Before; 50]);
    stage.jobs.expect("leave", &[Fault::Before]);
    let ends = play(&stage, 1, &[lasting(0, 60)]).await;
    assert_eq!(ends, [(0, 60)]);
    stage.shutdown.drain.cancel();
    stage.worker(1).await;
    assert_eq!(stage.second(), 60);
}

#[tokio::test(start_paused = true)]
async fn the_same_play_goes_the_same_way() {
    let mut plays = Vec::new();
    for _ in 0..2 {
        let stage = Stage::new();
        stage.jobs.expect("claim", &[Fault::After, Fault::Before]);
        stage.jobs.expect("report", &[Fault::Before, Fault::After, Fault::Before]);
        let jobs: Vec<Job> = (0..20).map(|n| lasting(n, i64::from(n % 5))).collect();
        plays.push((play(&stage, 3, &jobs).await, stage.executor.seen().started));
    }
    assert_eq!(plays[0], plays[1]);
}
