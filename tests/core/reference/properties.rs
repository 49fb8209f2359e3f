//! Random workflows, random orders of events: whatever happens, engine and model agree, and every run can end.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relay::{
    engine::Event,
    model::{
        ids::TaskKey,
        job::Outcome,
        status::{RunStatus, TaskStatus},
        task::FailureKind,
        task_run::Decision,
    },
};

use super::{
    plot::{Plot, plots},
    world::World,
};

/// What shall happen next, as a few numbers: of what kind, to which of those concerned, and one to spare.
type Choice = (u8, u16, u16);

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    prop::collection::vec((0u8..28, any::<u16>(), any::<u16>()), 0..60)
}

fn pick<T: Clone>(list: &[T], number: u16) -> Option<T> {
    (!list.is_empty()).then(|| list[number as usize % list.len()].clone())
}

fn failure() -> Outcome {
    let message = "it failed".to_owned();
    Outcome::Failed { kind: FailureKind::ExitCode, output_invalid: false, exit_code: Some(1), message }
}

fn ended(key: TaskKey, attempt: u32, outcome: Outcome) -> Event {
    Event::Ended { key, attempt, worker: "w".to_owned(), outcome }
}

/// The event that a choice means here; time passes when there is nobody whom it could concern.
fn event(world: &mut World, (kind, first, second): Choice) -> Event {
    use TaskStatus::{Blocked, Queued, Running};
    let of = |wanted: &[TaskStatus]| {
        let rows: Vec<(TaskKey, u32)> = world.rows_in(wanted).iter().map(|r| (r.key, r.attempt)).collect();
        pick(&rows, first)
    };
    let offered: Vec<TaskKey> = world.offered.iter().copied().collect();
    let user = format!("user-{}", second % 3);
    let decided = |decision| {
        let (key, _) = of(&[Blocked])?;
        Some(Event::Decided {
            task: key.task,
            asking: 1,
            user: user.clone(),
            decision,
            note: None,
            verified: false,
        })
    };
    let success = || Outcome::Success { outputs: BTreeMap::new() };
    let end = |outcome| of(&[Queued, Running]).map(|(key, attempt)| ended(key, attempt, outcome));
    let found = match kind {
        0..=3 => pick(&offered, first).map(Event::Dispatched),
        4..=6 => of(&[Queued]).map(|(key, attempt)| Event::Started { key, attempt, worker: "w".to_owned() }),
        7..=10 => end(success()),
        11..=12 => end(failure()),
        13 => of(&[Queued, Running]).map(|(key, attempt)| Event::Lost { key, attempt }),
        14 => of(&[Queued]).map(|(key, attempt)| Event::Removed { key, attempt }),
        15 => end(Outcome::Cancelled),
        16..=17 => decided(Decision::Approved),
        18 => decided(Decision::Rejected),
        19 if first % 4 == 0 => Some(Event::Cancel { finally: second % 2 == 0 }),
        20 => Some(bogus(world, first, second)),
        21..=22 => pick(&world.past, first).map(|(_, event)| event),
        23 => of(&[Queued, Running]).map(|(key, attempt)| Event::Forgotten { key, attempt }),
        24 => Some(Event::Pause),
        25 => Some(Event::Resume),
        _ => None,
    };
    found.unwrap_or_else(|| {
        let passed =
            std::time::Duration::from_secs(u64::from(second % if first % 8 == 0 { 400 } else { 80 }));
        world.now = world.now.checked_add(passed).expect("tests end before time does");
        Event::Tick
    })
}

/// News of an attempt that is over, is not there yet, or never will be.
fn bogus(world: &World, first: u16, second: u16) -> Event {
    let keys: Vec<(TaskKey, u32)> = world.book.tasks.values().map(|r| (r.key, r.attempt)).collect();
    let (key, attempt) = pick(&keys, first).expect("a run has rows");
    let other = if second & 1 == 0 { attempt + 1 } else { attempt.saturating_sub(1) };
    match second % 7 {
        0 => ended(key, other, failure()),
        1 => ended(key, other, Outcome::Cancelled),
        2 => Event::Lost { key, attempt: other },
        3 => Event::Removed { key: key.with_item(99), attempt },
        4 => Event::Dispatched(key),
        5 => Event::Expand(TaskKey::of_task(u32::from(second))),
        _ => Event::Decided {
            task: key.task,
            asking: 2,
            user: "user-9".to_owned(),
            decision: Decision::Approved,
            note: None,
            verified: false,
        },
    }
}

/// Everybody answers until the run ends; it must, and soon.
fn answer_all(world: &mut World) {
    let bound = 50 + 12 * world.book.tasks.len().max(80);
    for _ in 0..bound {
        if world.run.row().status.is_final() {
            return;
        }
        if world.run.row().paused_at.is_some() {
            world.happen(Event::Resume).expect("a paused run can go on");
            continue;
        }
        let row =
            world.rows_in(&[TaskStatus::Queued, TaskStatus::Running]).first().map(|r| (r.key, r.attempt));
        let asked = world.rows_in(&[TaskStatus::Blocked]).first().map(|r| r.key.task);
        let event = match (world.offered.first().copied(), row, asked) {
            (Some(key), _, _) => Event::Dispatched(key),
            (_, Some((key, attempt)), _) => {
                ended(key, attempt, Outcome::Success { outputs: BTreeMap::new() })
            }
            (_, _, Some(task)) => {
                let user = format!("late-{}", world.past.len());
                Event::Decided {
                    task,
                    asking: 1,
                    user,
                    decision: Decision::Approved,
                    note: None,
                    verified: false,
                }
            }
            _ => {
                world.now = world.run.next_due().expect("a run that waits for nobody waits for a time");
                Event::Tick
            }
        };
        world.happen(event).expect("an honest answer is taken");
    }
    panic!("the run does not end");
}

/// After a cancel, what runs is confirmed to be gone; nothing else is needed.
fn confirm_all(world: &mut World) {
    if world.run.row().status.is_final() {
        return;
    }
    world.happen(Event::Cancel { finally: false }).expect("a live run can be cancelled");
    let live: Vec<(TaskKey, u32, TaskStatus)> = world
        .rows_in(&[TaskStatus::Queued, TaskStatus::Running])
        .iter()
        .map(|r| (r.key, r.attempt, r.status))
        .collect();
    for (key, attempt, status) in live {
        let gone = match status {
            TaskStatus::Queued => Event::Removed { key, attempt },
            _ => ended(key, attempt, Outcome::Cancelled),
        };
        world.happen(gone).expect("a confirmation is taken");
    }
    assert_eq!(world.run.row().status, RunStatus::Cancelled, "every confirmation is there");
}

fn live_through(plot: Plot, choices: Vec<Choice>, last: fn(&mut World)) {
    let mut world = World::begin(plot);
    for choice in choices {
        let event = event(&mut world, choice);
        // Whether it is taken or refused: all must agree on what came of it.
        let _ = world.happen(event);
    }
    last(&mut world);
    assert!(world.run.row().status.is_final(), "{} has not ended", world.drawing());
}

fn config() -> ProptestConfig {
    // Cases by PROPTEST_CASES; a seed that fails becomes a story, so nothing is kept in files.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn engine_and_model_agree_and_every_run_that_is_answered_ends(plot in plots(), choices in choices()) {
        live_through(plot, choices, answer_all);
    }

    #[test]
    fn a_cancel_and_the_confirmation_of_what_runs_end_every_run(plot in plots(), choices in choices()) {
        live_through(plot, choices, confirm_all);
    }
}
