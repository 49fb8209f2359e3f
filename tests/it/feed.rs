//! The feed in memory: who waits, who misses what, and when it ends. Through Redis: lines on their way to the store.

mod redis;

use std::{task::Poll, time::Duration};

use futures::poll;
use relay::feed::{
    Edge, Event, Feed, Item, LogLine, Reader, Stream, Subscription, events_of,
    memory::{Limits, MemoryFeed},
};
use relay::model::{
    change::{Changes, RunChange, Step, TaskChange},
    ids::{ShardId, TaskKey, WorkflowId},
    run::{Actor, RunRow},
    status::{RunStatus, TaskStatus},
    task_run::TaskRow,
};

use crate::support::jobs::{job_id, second};

fn line(number: u64) -> LogLine {
    let text = "x".repeat(1000);
    LogLine { job: job_id(1), stream: Stream::Stdout, number, at: second(0), text, partial: false }
}

fn event(to: RunStatus) -> Event {
    let run = job_id(1).task_run.run;
    let edge = Edge::Run { from: None, to };
    Event { run, edge, reason: None, actor: Actor::Engine, error: None, at: second(0) }
}

/// Room for about ten of these lines.
fn small() -> MemoryFeed {
    MemoryFeed::new(Limits { buffer: 13_000, last_resort: 30_000 })
}

async fn all(mut reader: Box<dyn Subscription>) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        let more = reader.next(3).await;
        assert!(more.len() <= 3, "{} items", more.len());
        if more.is_empty() {
            return items;
        }
        items.extend(more);
    }
}

fn numbers(items: &[Item]) -> Vec<u64> {
    items.iter().filter_map(|i| if let Item::Line(line) = i { Some(line.number) } else { None }).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_told_what_it_missed_and_holds_nobody_up() {
    let feed = small();
    let watcher = feed.subscribe(None, Reader::Watch);
    feed.publish(vec![event(RunStatus::Running)]);
    for number in 1..=100 {
        feed.log(vec![line(number)]).await;
    }
    drop(feed);
    let items = all(watcher).await;
    let seen = numbers(&items);
    assert_eq!(items[0], Item::Missed { events: 1, lines: 100 - seen.len() as u64 });
    assert!((5..20).contains(&seen.len()), "{} lines", seen.len());
    assert_eq!(seen.last(), Some(&100), "the newest are kept");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_every_line_makes_the_writer_wait_and_misses_nothing() {
    let feed = small();
    let reader = feed.subscribe(None, Reader::Every);
    let mut write = Box::pin(async move {
        for number in 1..=100 {
            feed.log(vec![line(number)]).await;
        }
    });
    assert!(poll!(&mut write).is_pending(), "a hundred lines do not fit");
    let ((), items) = tokio::join!(write, all(reader));
    assert_eq!(items.iter().filter(|i| matches!(i, Item::Missed { .. })).count(), 0);
    assert_eq!(numbers(&items), (1..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_lets_the_writer_go_on() {
    let feed = small();
    let reader = feed.subscribe(None, Reader::Every);
    let mut write = Box::pin(async {
        for number in 1..=100 {
            feed.log(vec![line(number)]).await;
        }
    });
    assert!(poll!(&mut write).is_pending());
    drop(reader);
    tokio::time::timeout(Duration::from_secs(1), write).await.expect("nobody has to be waited for");
}

#[tokio::test(start_paused = true)]
async fn the_conductor_waits_for_nobody() {
    let feed = small();
    let reader = feed.subscribe(None, Reader::Every);
    for _ in 0..1000 {
        feed.publish(vec![event(RunStatus::Running)]);
    }
    drop(feed);
    let items = all(reader).await;
    let Item::Missed { events, lines: 0 } = items[0] else { panic!("{:?}", items[0]) };
    assert_eq!(events as usize + items.len() - 1, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_one_run_shows_that_run_from_now_on() {
    let feed = small();
    feed.publish(vec![event(RunStatus::Running)]);
    let mut mine = feed.subscribe(Some("run-2".parse().expect("an id")), Reader::Watch);
    feed.publish(vec![event(RunStatus::Running)]);
    feed.log(vec![line(1)]).await;
    assert!(matches!(poll!(mine.next(9)), Poll::Pending));
    let other = Event { run: "run-2".parse().expect("an id"), ..event(RunStatus::Failed) };
    feed.publish(vec![other.clone()]);
    assert_eq!(mine.next(9).await, [Item::Event(other)]);
}

#[test]
fn a_commit_is_told_with_the_end_of_the_run_last() {
    let (id, workflow) = (job_id(1).task_run.run, WorkflowId::new("data", "etl", "0"));
    let run = RunRow {
        status: RunStatus::Failed,
        error: Some("task a failed".to_owned()),
        ..RunRow::new(id, workflow, "data".to_owned(), "etl-1".to_owned(), second(0))
    };
    let step = |from, to| Step { from, to, attempt: 0, reason: None, actor: Actor::Engine, at: second(1) };
    let mut changes = Changes::new(ShardId::of_namespace("data"));
    let ends = step(Some(RunStatus::Running), RunStatus::Failed);
    changes.run = Some(Box::new(RunChange {
        expect: None,
        row: run.clone(),
        steps: vec![step(None, RunStatus::Running), ends],
    }));
    let row = TaskRow { error: Some("broken".to_owned()), ..TaskRow::new(TaskKey::of_task(0), second(0)) };
    let edge = |from, to| Step {
        from: Some(from),
        to,
        attempt: 1,
        reason: None,
        actor: Actor::Worker,
        at: second(1),
    };
    let steps =
        vec![edge(TaskStatus::Queued, TaskStatus::Running), edge(TaskStatus::Running, TaskStatus::Failed)];
    changes.tasks.insert(row.key, Box::new(TaskChange { expect: None, row, steps, attempts: vec![] }));
    let told: Vec<String> = events_of(&run.id, &changes)
        .iter()
        .map(|event| {
            let to = match &event.edge {
                Edge::Run { to, .. } => format!("run {to}"),
                Edge::Task { to, attempt, .. } => format!("task#{attempt} {to}"),
                Edge::SetAside => "set aside".to_owned(),
            };
            format!("{to} {}", event.error.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        told,
        ["run RUNNING -", "task#1 RUNNING -", "task#1 FAILED broken", "run FAILED task a failed"]
    );
}
