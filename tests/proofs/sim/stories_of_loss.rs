//! The queue loses what it holds, is replaced by an older one, or clocks are put forward and back.

use std::time::Duration;

use relay::model::{
    status::{RunStatus, TaskStatus},
    time::later,
};

use super::{redis::Loss, stage::on_redis, workload::one_task, world::pass};

const EVERY_LOSS: [Loss; 3] = [Loss::Flush, Loss::Restart, Loss::Older];

#[test]
fn what_runs_goes_on_when_the_queue_loses_its_books() {
    for loss in EVERY_LOSS {
        on_redis(one_task(60_000), |stage| async move {
            stage.submit(0).await.expect("accepted");
            stage.until_is(0, TaskStatus::Running).await;
            pass(Duration::from_secs(20)).await;
            stage.shared.empty(loss);
            let row = stage.until_is(0, TaskStatus::Success).await;
            assert_eq!((row.attempt, row.losses), (1, 0), "{loss:?}");
            assert!(stage.seconds() < 200, "{loss:?}: only after {} s", stage.seconds());
        });
    }
}

/// Told, and lost before anybody read it: the store was away.
#[test]
fn a_result_that_the_queue_lost_is_told_again() {
    for loss in EVERY_LOSS {
        on_redis(one_task(5_000), |stage| async move {
            stage.submit(0).await.expect("accepted");
            stage.until_is(0, TaskStatus::Running).await;
            let (_, life) = stage.shared.leader().expect("somebody leads");
            stage.shared.store_outage.until(later(stage.shared.clock.now(), Duration::from_secs(30)));
            life.killed.cancel();
            pass(Duration::from_secs(20)).await;
            stage.shared.empty(loss);
            let row = stage.until_is(0, TaskStatus::Success).await;
            assert_eq!((row.attempt, row.losses), (1, 0), "{loss:?}");
            stage.until_ended(0).await;
            assert_eq!(stage.ended_as(0).await, RunStatus::Success);
        });
    }
}

/// The one before it committed at a time that is hours ahead; what was silent for a moment was not silent for hours.
#[test]
fn a_clock_that_was_put_forward_makes_no_worker_silent() {
    on_redis(one_task(60_000), |stage| async move {
        stage.cast.put_clock("c0", 3 * 3_600_000);
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        stage.cast.put_clock("c0", 0);
        let (_, life) = stage.shared.leader().expect("somebody leads");
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(40)));
        pass(Duration::from_secs(39)).await;
        life.killed.cancel();
        let row = stage.until_is(0, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}

/// It is cut off from the queue with everybody else, while workers should tell it what they hold.
#[test]
fn a_new_leader_lets_workers_tell_what_they_hold_before_it_takes_them_for_lost() {
    on_redis(one_task(60_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        let (_, life) = stage.shared.leader().expect("somebody leads");
        stage.shared.empty(Loss::Restart);
        pass(Duration::from_millis(100)).await;
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(40)));
        pass(Duration::from_secs(39)).await;
        life.killed.cancel();
        let row = stage.until_is(0, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}
