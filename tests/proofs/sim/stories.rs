//! Defects that the simulation found, or that were found while it was written, told one by one.

use std::time::Duration;

use relay::{
    conductor::{DecideError, SubmitError},
    model::{
        status::{RunStatus, TaskStatus},
        task::{Approval, OnTimeout, OnWorkerLost},
        time::later,
    },
};

use super::{
    redis::Loss,
    stage::on_stage,
    workload::{one_task, two_tasks},
    world::pass,
};

#[test]
fn a_dead_worker_is_noticed_by_a_conductor_that_finds_every_report_settled() {
    on_stage(one_task(5_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        stage.cast.kill_workers();
        let (_, life) = stage.shared.leader().expect("somebody leads");
        life.killed.cancel();
        let row = stage.until_is(0, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (2, 1));
    });
}

#[test]
fn an_outage_of_the_queue_is_not_taken_for_the_silence_of_workers() {
    on_stage(one_task(120_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(60)));
        let row = stage.until_is(0, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}

#[test]
fn the_silence_of_workers_counts_anew_for_a_new_conductor() {
    on_stage(one_task(60_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        let (_, life) = stage.shared.leader().expect("somebody leads");
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(40)));
        pass(Duration::from_secs(39)).await;
        life.killed.cancel();
        let row = stage.until_is(0, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}

/// Both timers fall due at once, so both runs are in the batch that is refused.
#[test]
fn a_run_that_cannot_be_written_does_not_hold_up_another_whose_timer_is_due() {
    let mut flow = one_task(1);
    let approval = Approval {
        required: 1,
        message: None,
        timeout: Some(Duration::from_secs(30)),
        on_timeout: OnTimeout::Skip,
    };
    flow.tasks[0].approval = Some(approval);
    on_stage(flow, |stage| async move {
        let (first, second) = tokio::join!(stage.submit(0), stage.submit(1));
        assert_eq!((first, second), (Ok(()), Ok(())));
        stage.shared.poison(&stage.planned(0).run.id);
        stage.until_is(1, TaskStatus::Skipped).await;
        assert!(stage.seconds() < 40, "it ended only after {} s", stage.seconds());
        assert_eq!(stage.ended_as(0).await, RunStatus::Running, "set aside as it stands");
        let (leader, _) = stage.shared.leader().expect("somebody leads");
        let run = stage.planned(0).run.id;
        let answer = leader.cancel(run, false).await;
        assert!(
            matches!(&answer, Err(DecideError::Aside { why, .. }) if why.contains("poisoned")),
            "{answer:?}"
        );
    });
}

#[test]
fn a_run_that_was_set_aside_is_cancelled_once_it_can_be_written() {
    on_stage(one_task(5_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        let run = stage.planned(0).run.id;
        stage.shared.poison(&run);
        pass(Duration::from_secs(30)).await;
        let (leader, _) = stage.shared.leader().expect("somebody leads");
        assert!(leader.why_aside(run.clone()).await.is_some());
        stage.shared.heal(&run);
        assert_eq!(leader.cancel(run.clone(), false).await, Ok(()));
        stage.until_is(0, TaskStatus::Cancelled).await;
        assert_eq!(stage.ended_as(0).await, RunStatus::Cancelled);
        assert_eq!(leader.why_aside(run).await, None);
    });
}

/// Its result is in the batch that is refused, and settling what came after makes the queue forget it.
#[test]
fn a_run_that_was_set_aside_goes_on_once_it_can_be_written() {
    on_stage(one_task(5_000), |stage| async move {
        let (first, second) = tokio::join!(stage.submit(0), stage.submit(1));
        assert_eq!((first, second), (Ok(()), Ok(())));
        stage.until_is(0, TaskStatus::Running).await;
        let run = stage.planned(0).run.id;
        stage.shared.poison(&run);
        stage.until_is(1, TaskStatus::Success).await;
        pass(Duration::from_secs(30)).await;
        assert_eq!(stage.ended_as(0).await, RunStatus::Running, "set aside as it stands");
        stage.shared.heal(&run);
        let (_, life) = stage.shared.leader().expect("somebody leads");
        life.killed.cancel();
        stage.until_is(0, TaskStatus::Success).await;
    });
}

/// Their starts are never committed, so the word that they may begin never comes.
#[test]
fn jobs_of_runs_that_were_set_aside_do_not_hold_slots_for_ever() {
    let mut flow = one_task(1);
    flow.tasks[0].on_worker_lost = OnWorkerLost::Fail;
    on_stage(flow, |stage| async move {
        // As many as a worker has slots at most.
        for number in 0..4 {
            stage.submit(number).await.expect("accepted");
            stage.shared.poison(&stage.planned(number).run.id);
        }
        stage.submit(4).await.expect("accepted");
        stage.until_is(4, TaskStatus::Success).await;
        assert!(stage.seconds() < 60, "it began only after {} s", stage.seconds());
    });
}

#[test]
fn whoever_submits_a_run_that_cannot_be_written_is_told_why() {
    on_stage(one_task(1), |stage| async move {
        stage.shared.poison(&stage.planned(0).run.id);
        for time in ["at first", "and again"] {
            let Err(SubmitError::Store(why)) = stage.submit(0).await else { panic!("taken {time}") };
            assert!(why.contains("a poisoned row"), "{time}: {why}");
        }
        stage.submit(1).await.expect("another is accepted");
        stage.until_is(1, TaskStatus::Success).await;
    });
}

#[test]
fn runs_that_are_submitted_together_are_all_accepted() {
    on_stage(one_task(1), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Success).await;
        // One that has ended, and one that comes twice, are among them.
        let answers = futures::future::join_all((0..100).chain([7]).map(|n| stage.submit(n))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        for number in 0..100 {
            stage.until_is(number, TaskStatus::Success).await;
        }
    });
}

/// It comes alone, so it is taken for new; and beside what another run comes to, which is committed all the same.
#[test]
fn a_run_that_has_ended_is_not_begun_again() {
    on_stage(one_task(1), |stage| async move {
        stage.submit(0).await.expect("accepted");
        let before = stage.until_is(0, TaskStatus::Success).await;
        let (_, again) = tokio::join!(stage.submit(1), stage.submit(0));
        assert_eq!(again, Ok(()), "it is there already");
        for _ in 0..3 {
            assert_eq!(stage.submit(0).await, Ok(()), "it is there already");
        }
        stage.until_is(1, TaskStatus::Success).await;
        assert_eq!(stage.row(0), Some(before));
        assert_eq!(stage.ended_as(0).await, RunStatus::Success);
    });
}

/// Both questions are in the batch that is refused; only one of them is at fault.
#[test]
fn whoever_asks_beside_a_run_that_cannot_be_written_is_answered() {
    on_stage(one_task(1), |stage| async move {
        stage.submit(1).await.expect("accepted");
        stage.until_is(1, TaskStatus::Success).await;
        stage.shared.poison(&stage.planned(0).run.id);
        let (refused, known) = tokio::join!(stage.submit(0), stage.submit(1));
        assert!(matches!(refused, Err(SubmitError::Store(_))), "{refused:?}");
        assert_eq!(known, Ok(()), "it is there already");
    });
}

#[test]
fn a_paused_run_starts_nothing_also_under_a_new_conductor() {
    on_stage(two_tasks(5_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        stage.pause(0).await;
        stage.until_is(0, TaskStatus::Success).await;
        pass(Duration::from_secs(60)).await;
        let (_, life) = stage.shared.leader().expect("somebody leads");
        life.killed.cancel();
        pass(Duration::from_secs(60)).await;
        let second = stage.second(0);
        assert_eq!((second.status, second.attempt), (TaskStatus::Ready, 0), "nothing is published");
        stage.resume(0).await;
        stage.until_ended(0).await;
        assert_eq!(stage.ended_as(0).await, RunStatus::Success);
    });
}

#[test]
fn a_job_that_no_worker_had_is_taken_back_and_keeps_its_number() {
    on_stage(one_task(20_000), |stage| async move {
        let waiting = stage.one_that_waits().await;
        stage.pause(waiting).await;
        let row = stage.until_is(waiting, TaskStatus::Ready).await;
        assert_eq!(row.attempt, 0, "nobody has seen it");
        stage.until_ended(0).await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(stage.row(waiting).map(|row| row.status), Some(TaskStatus::Ready), "nobody gets it");
        stage.resume(waiting).await;
        let row = stage.until_is(waiting, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}

/// Who knows whether a worker had it before the queue lost its books?
#[test]
fn a_job_that_the_queue_lost_in_a_pause_goes_out_under_a_new_number() {
    on_stage(one_task(20_000), |stage| async move {
        let waiting = stage.one_that_waits().await;
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(2)));
        stage.pause(waiting).await;
        stage.shared.empty(Loss::Flush);
        let row = stage.until_is(waiting, TaskStatus::Ready).await;
        assert_eq!(row.attempt, 1);
        stage.resume(waiting).await;
        let row = stage.until_is(waiting, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (2, 0), "it is not a worker's fault");
    });
}

/// The queue gives it back, but it may have been claimed, lost and published again: the new conductor cannot know.
#[test]
fn a_job_that_went_out_before_a_new_conductor_came_gets_a_new_number() {
    on_stage(one_task(20_000), |stage| async move {
        let waiting = stage.one_that_waits().await;
        let (_, life) = stage.shared.leader().expect("somebody leads");
        life.killed.cancel();
        pass(Duration::from_secs(6)).await;
        stage.pause(waiting).await;
        assert_eq!(stage.until_is(waiting, TaskStatus::Ready).await.attempt, 1);
        stage.resume(waiting).await;
        let row = stage.until_is(waiting, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (2, 0));
    });
}

#[test]
fn a_pause_that_was_not_carried_out_is_undone_at_once() {
    on_stage(one_task(20_000), |stage| async move {
        let waiting = stage.one_that_waits().await;
        stage.shared.queue_outage.until(later(stage.shared.clock.now(), Duration::from_secs(2)));
        stage.pause(waiting).await;
        stage.resume(waiting).await;
        let row = stage.until_is(waiting, TaskStatus::Success).await;
        assert_eq!((row.attempt, row.losses), (1, 0));
    });
}

#[test]
fn a_conductor_can_be_stopped_while_the_store_is_away() {
    on_stage(one_task(10_000), |stage| async move {
        stage.submit(0).await.expect("accepted");
        stage.until_is(0, TaskStatus::Running).await;
        let (leader, life) = stage.shared.leader().expect("somebody leads");
        stage.shared.store_outage.until(later(stage.shared.clock.now(), Duration::from_secs(300)));
        pass(Duration::from_secs(60)).await;
        life.stop.cancel();
        pass(Duration::from_secs(1)).await;
        let run = stage.planned(0).run.id;
        assert_eq!(leader.cancel(run, false).await, Err(DecideError::Stopped), "it works on");
        stage.shared.store_outage.ends();
        stage.until_is(0, TaskStatus::Success).await;
    });
}
