//! What is said of a Run.

use std::sync::Arc;

use relay::crd::run::DesiredState;
use relay::crd::status::{Condition, ConditionStatus, Disregarded, RunStatus};
use relay::model::ids::TaskKey;
use relay::model::reason::Reason;
use relay::model::run::Stop;
use relay::model::status::{RunStatus as State, TaskStatus};
use relay::model::task_run::{ApprovalRow, Decision};
use relay::model::view::{Asking, Failure, RunView};
use relay::operator::PoolState;
use relay::operator::status::{Story, Telling, Waiting, again, of, same};
use serde_json::json;

use super::{a_view, name, second};

fn told_after(story: &Story, before: &RunStatus, seconds: i64) -> RunStatus {
    of(&Telling {
        name: &name(),
        generation: 3,
        story,
        pools: &[],
        desired: Some(DesiredState::Running),
        notes: &[],
        disregarded: &[],
        before,
        now: second(seconds),
    })
}

fn told(view: RunView) -> RunStatus {
    told_after(&Story::Accepted(Box::new(view)), &RunStatus::default(), 9)
}

/// Types of conditions with status and reason.
fn conditions(status: &RunStatus) -> Vec<(&str, ConditionStatus, &str)> {
    let told = |known: &'_ Condition| known.observed_generation == Some(3);
    assert!(status.conditions.iter().all(told), "{:?}", status.conditions);
    status.conditions.iter().map(|known| (known.kind.as_str(), known.status, known.reason.as_str())).collect()
}

use ConditionStatus::{False, True, Unknown};

fn live(reason: &str) -> Vec<(&str, ConditionStatus, &str)> {
    vec![("Succeeded", Unknown, reason), ("Finished", False, reason), ("Reconciling", True, reason)]
}

fn ended(state: State, reason: Option<Reason>) -> RunView {
    let mut view = a_view();
    (view.row.status, view.row.reason, view.row.finished_at) = (state, reason, Some(second(8)));
    view
}

fn asking() -> Asking {
    let word = |user: &str, decision| ApprovalRow {
        key: TaskKey::of_task(1),
        user: user.to_owned(),
        decision,
        note: None,
        verified: false,
        at: second(2),
    };
    Asking {
        task: "publish".to_owned(),
        number: 1,
        question: Some("Publish?".to_owned()),
        required: 2,
        words: vec![word("ann", Decision::Approved)],
        since: Some(second(1)),
        until: None,
    }
}

#[test]
fn a_live_run_tells_how_far_it_is() {
    let mut view = a_view();
    view.tasks = [(TaskStatus::Success, 2), (TaskStatus::Running, 1), (TaskStatus::Pending, 4)].into();
    let status = told(view);
    assert_eq!(conditions(&status), live("Running"));
    assert_eq!((status.state.as_deref(), status.position), (Some("Running"), Some(7)));
    assert_eq!(status.tasks.as_ref().map(|tasks| tasks.progress.as_str()), Some("2/7"));
    assert_eq!(status.desired.as_deref(), Some("Running"));
    assert_eq!((status.started_at, status.finished_at), (Some(second(0)), None));
}

#[test]
fn what_a_live_run_waits_for_is_said_aloud() {
    let mut view = a_view();
    view.askings = vec![asking()];
    let status = told(view.clone());
    assert_eq!(conditions(&status), live("AwaitingApproval"));
    let awaiting = &status.awaiting[0];
    assert_eq!(awaiting.approved_by, ["ann (unverified)"]);
    let command = "kubectl annotate run nightly -n data approval.relay.works/publish=approved";
    assert_eq!(awaiting.command.as_deref(), Some(command));
    assert!(status.message.as_deref().is_some_and(|message| message.contains(command)));
    view.row.paused_at = Some(second(3));
    assert_eq!(conditions(&told(view.clone())), live("Paused"));
    view.row.stop = Some(Stop { reason: Reason::Cancelled, finally: true });
    assert_eq!(conditions(&told(view.clone())), live("Cancelling"));
    view.row.stop = Some(Stop { reason: Reason::RunTimeout, finally: true });
    assert_eq!(conditions(&told(view)), live("Running"));
}

#[test]
fn a_missing_pool_is_named_while_something_waits_for_it() {
    let story = Story::Accepted(Box::new(a_view()));
    let status = of(&Telling {
        name: &name(),
        generation: 3,
        story: &story,
        pools: &[("gpu".to_owned(), PoolState::Missing)],
        desired: None,
        notes: &["so it is".to_owned()],
        disregarded: &[Disregarded::default()],
        before: &RunStatus::default(),
        now: second(9),
    });
    assert_eq!(conditions(&status), live("PoolMissing"));
    let message = status.message.expect("a message");
    assert!(
        message.contains("create WorkerPool gpu in namespace data") && message.ends_with("; so it is"),
        "{message}"
    );
    assert_eq!(status.disregarded.len(), 1);
}

#[test]
fn every_end_is_an_end() {
    let status = told(ended(State::Success, None));
    assert_eq!(conditions(&status), [("Succeeded", True, "Succeeded"), ("Finished", True, "Succeeded")]);
    let status = told(ended(State::Cancelled, Some(Reason::Cancelled)));
    assert_eq!(conditions(&status), [("Succeeded", False, "Cancelled"), ("Finished", True, "Cancelled")]);
    for reason in [Reason::TaskFailed, Reason::RunTimeout, Reason::InvalidParams, Reason::FinallyFailed] {
        let (status, word) = (told(ended(State::Failed, Some(reason))), reason.as_str());
        let expected = [("Succeeded", False, word), ("Finished", True, word), ("Stalled", True, word)];
        assert_eq!(conditions(&status), expected);
        assert_eq!((status.state.as_deref(), status.finished_at), (Some("Failed"), Some(second(8))));
    }
}

#[test]
fn a_failure_is_told_with_its_task_reason_and_words() {
    let mut view = ended(State::Failed, Some(Reason::TaskFailed));
    let key = TaskKey::of_task(2).with_item(7);
    let (reason, error) = (Some(Reason::ExitCode), Some("no such table".to_owned()));
    view.failures =
        vec![Failure { task: "load".to_owned(), key, attempts: 3, reason, error, exit_code: Some(4) }];
    view.more_failures = 80;
    let status = told(view);
    let message = status.message.as_deref().expect("a message");
    assert!(message.contains("load[7] (ExitCode 4), and 80 more"), "{message}");
    assert!(!message.contains("no such table"), "what a task says is said in one place: {message}");
    assert_eq!(status.failures[0].message.as_deref(), Some("no such table"));
    assert_eq!((status.failures[0].item, status.failures[0].attempts), (Some(7), 3));
    assert_eq!(status.more_failures, Some(80));
}

#[test]
fn what_was_not_accepted_says_why() {
    let waiting = |stalled| {
        Story::Waiting(Waiting { reason: "WorkflowMissing", message: "make it".to_owned(), stalled })
    };
    let status = told_after(&waiting(false), &RunStatus::default(), 9);
    assert_eq!(conditions(&status), live("WorkflowMissing"));
    assert_eq!((status.tasks, status.revision, status.started_at), (None, None, None));
    let status = told_after(&waiting(true), &RunStatus::default(), 9);
    let why = "WorkflowMissing";
    assert_eq!(
        conditions(&status),
        [("Succeeded", Unknown, why), ("Finished", False, why), ("Stalled", True, why)]
    );
    let status = told_after(&Story::Withdrawn("it was early"), &RunStatus::default(), 9);
    assert_eq!(conditions(&status), [("Succeeded", False, "Cancelled"), ("Finished", True, "Cancelled")]);
    assert_eq!(told_after(&Story::Withdrawn("it was early"), &status, 90).finished_at, Some(second(9)));
}

#[test]
fn a_run_that_was_set_aside_must_be_mended() {
    let view = RunView { aside: Some("a row cannot be read".to_owned()), ..a_view() };
    let (status, why) = (told(view), "SetAside");
    assert_eq!(
        conditions(&status),
        [("Succeeded", Unknown, why), ("Finished", False, why), ("Stalled", True, why)]
    );
    let message = status.message.expect("a message");
    assert!(message.contains("a row cannot be read") && message.contains("set desiredState"), "{message}");
}

#[test]
fn the_time_of_a_condition_moves_with_its_status_alone() {
    let first = told(a_view());
    let mut view = a_view();
    view.askings = vec![asking()];
    let second_time = told_after(&Story::Accepted(Box::new(view)), &first, 20);
    assert!(second_time.conditions.iter().all(|known| known.last_transition_time == second(9)));
    let last = told_after(&Story::Accepted(Box::new(ended(State::Success, None))), &second_time, 30);
    assert!(last.conditions.iter().all(|known| known.last_transition_time == second(30)));
}

#[test]
fn what_is_the_same_but_for_time_and_position_is_the_same() {
    let first = told(a_view());
    let later = told_after(&Story::Accepted(Box::new(RunView { position: 99, ..a_view() })), &first, 60);
    assert!(same(&later, &first));
    assert!(!same(&told(ended(State::Success, None)), &first));
    let third = again(&first, 4);
    assert!(!same(&third, &first));
    assert!(third.conditions.iter().all(|known| known.observed_generation == Some(4)));
}

#[test]
fn outputs_are_told_without_what_no_patch_can_say() {
    let mut view = ended(State::Success, None);
    view.row.outputs = Some(Arc::new(json!({"a": 1, "b": null, "c": {"d": null, "e": [null]}})));
    assert_eq!(told(view).outputs.map(serde_json::Value::from), Some(json!({"a": 1, "c": {"e": [null]}})));
    let mut view = ended(State::Success, None);
    view.row.outputs = Some(Arc::new(json!({"large": "x".repeat(100_000)})));
    let status = told(view);
    assert_eq!(status.outputs, None);
    assert!(status.outputs_note.is_some());
}

#[test]
fn a_pool_that_cannot_take_tasks_is_named_whatever_else_a_run_waits_for() {
    let stuck = [
        (PoolState::Missing, "PoolMissing", "create WorkerPool gpu in namespace data"),
        (PoolState::NoCapacity("no node takes it".to_owned()), "NoCapacity", "no node takes it"),
        (PoolState::Stalled("its image is not there".to_owned()), "PoolStalled", "its image is not there"),
    ];
    for (stands, word, words) in stuck {
        let told = |view: RunView| {
            of(&Telling {
                name: &name(),
                generation: 3,
                story: &Story::Accepted(Box::new(view)),
                pools: &[("gpu".to_owned(), stands.clone())],
                desired: None,
                notes: &[],
                disregarded: &[],
                before: &RunStatus::default(),
                now: second(9),
            })
        };
        let mut views = vec![(a_view(), word)];
        let mut view = a_view();
        view.askings = vec![asking()];
        views.push((view.clone(), "AwaitingApproval"));
        view.row.paused_at = Some(second(3));
        views.push((view.clone(), "Paused"));
        view.row.stop = Some(Stop { reason: Reason::Cancelled, finally: true });
        views.push((view, "Cancelling"));
        for (view, state) in views {
            let status = told(view);
            assert_eq!(conditions(&status), live(state));
            let message = status.message.expect("a message");
            assert!(message.contains("pool gpu") && message.contains(words), "{message}");
        }
    }
}

#[test]
fn what_was_known_of_a_run_that_the_store_forgot_stays() {
    let mut view = a_view();
    view.tasks = [(TaskStatus::Success, 2), (TaskStatus::Blocked, 1)].into();
    view.askings = vec![asking()];
    let before = told(view);
    let waiting = Waiting { reason: "StoreBehind", message: "restore it".to_owned(), stalled: true };
    let behind = told_after(&Story::Waiting(waiting), &before, 20);
    let evidence = |status: &RunStatus| {
        (status.position, status.revision.clone(), status.started_at, status.tasks.clone())
    };
    assert_eq!(evidence(&behind), evidence(&before));
    assert_eq!(behind.awaiting, before.awaiting);
    let cancelled = told_after(&Story::Withdrawn("it was cancelled; and so on"), &behind, 30);
    assert_eq!(evidence(&cancelled), evidence(&before));
    assert_eq!(cancelled.message.as_deref(), Some("it was cancelled; and so on"));
    assert_eq!((cancelled.awaiting.len(), cancelled.finished_at), (0, Some(second(30))));
}
