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
