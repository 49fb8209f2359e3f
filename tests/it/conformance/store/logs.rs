//! Lines of logs: once each, in order, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use relay::model::ids::{TaskKey, TaskRunId};
use relay::model::job::JobId;
use relay::model::log::{LogLine, LogQuery, StoredLine, Stream};
use relay::model::task_run::TaskRow;
use relay::store::memory::LOG_BYTES_MAX;
use relay::store::{LOG_PAGE_BYTES, Store, StoreError};

use super::Bench;
use super::rows::*;

fn line(run: &str, key: TaskKey, number: u64) -> LogLine {
    LogLine {
        job: JobId { task_run: TaskRunId { run: run_id(run), key }, attempt: 1 },
        stream: if number.is_multiple_of(2) { Stream::Stderr } else { Stream::Stdout },
        number,
        at: at(number as i64),
        text: format!("{run} {} {number}", key.task),
        partial: number.is_multiple_of(3),
    }
}

fn lines(run: &str, task: u32, numbers: std::ops::RangeInclusive<u64>) -> Vec<LogLine> {
    numbers.map(|number| line(run, TaskKey::of_task(task), number)).collect()
}

fn all_of(run: &str) -> LogQuery {
    LogQuery { run: run_id(run), task: None, item: None, after: 0, limit: 10_000 }
}

/// Page after page, until one is empty.
async fn read(store: &dyn Store, mut query: LogQuery) -> Vec<LogLine> {
    let mut found: Vec<StoredLine> = Vec::new();
    loop {
        let page = store.logs(&query).await.expect("read");
        assert!(page.len() <= query.limit as usize);
        let Some(last) = page.last() else { break };
        query.after = last.position;
        found.extend(page);
    }
    assert!(found.is_sorted_by(|one, next| one.position < next.position));
    found.into_iter().map(|stored| stored.line).collect()
}

async fn with_tasks(store: &dyn Store, runs: &[&str]) {
    let fence = prepare(store, "data", "a").await;
    with_runs(store, fence, &runs.iter().map(|id| a_run(id, "data")).collect::<Vec<_>>()).await;
}

pub async fn lines_come_back_in_the_order_in_which_they_came(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["one", "two"]).await;
    assert_eq!(read(store, all_of("one")).await, vec![]);
    // By two tasks in turns, with times that say otherwise.
    let mut came = vec![line("one", TaskKey::of_task(1), 9)];
    came.extend(lines("one", 0, 1..=3));
    came.extend(lines("one", 1, 10..=12));
    came.extend(lines("one", 0, 4..=5));
    assert_eq!(store.put_logs(&came[..4]).await.expect("kept"), 4);
    assert_eq!(store.put_logs(&lines("two", 0, 1..=2)).await.expect("kept"), 2);
    assert_eq!(store.put_logs(&came[4..]).await.expect("kept"), 5);
    assert_eq!(read(store, all_of("one")).await, came);
    assert_eq!(read(store, all_of("two")).await, lines("two", 0, 1..=2));
    assert_eq!(read(store, all_of("nobody")).await, vec![]);
    assert_eq!(store.put_logs(&[]).await.expect("nothing to do"), 0);
}

pub async fn a_line_is_kept_once(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let first = lines("r", 0, 1..=5);
    assert_eq!(store.put_logs(&first).await.expect("kept"), 5);
    let before = store.logs(&all_of("r")).await.expect("read");
    let other = first.iter().cloned().map(|line| LogLine { text: "another".to_owned(), ..line });
    let mut again: Vec<LogLine> = other.collect();
    again.extend(lines("r", 0, 6..=6));
    again.extend(lines("r", 0, 6..=6));
    assert_eq!(store.put_logs(&again).await.expect("kept"), 7, "what is there counts as kept");
    let mut wanted = first.clone();
    wanted.extend(lines("r", 0, 6..=6));
    assert_eq!(read(store, all_of("r")).await, wanted);
    assert_eq!(store.logs(&all_of("r")).await.expect("read")[..5], before);
    // Another attempt's lines are others.
    let second = LogLine { job: JobId { attempt: 2, ..first[0].job.clone() }, ..first[0].clone() };
    store.put_logs(std::slice::from_ref(&second)).await.expect("kept");
    assert_eq!(read(store, all_of("r")).await.last(), Some(&second));
}

pub async fn lines_of_unknown_task_runs_are_dropped_and_counted(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let mut huge = line("r", TaskKey::of_task(0), 1);
    huge.job.attempt = u32::MAX;
    let came = vec![
        line("nobody", TaskKey::of_task(0), 1),
        line("r", TaskKey::of_task(0), 1),
        line("r", TaskKey::of_task(7), 1),
        line("r", TaskKey::of_task(0).with_item(0), 1),
        line("r", TaskKey { round: 2, ..TaskKey::of_task(0) }, 1),
        line("r", TaskKey::of_task(u32::MAX), 1),
        line("r", TaskKey::of_task(0), u64::MAX),
        huge,
        line("r", TaskKey::of_task(1), 1),
    ];
    assert_eq!(store.put_logs(&came).await.expect("kept"), 2);
    assert_eq!(read(store, all_of("r")).await, vec![came[1].clone(), came[8].clone()]);
    assert_eq!(store.put_logs(&lines("nobody", 0, 1..=2)).await.expect("none"), 0);
}

pub async fn a_strange_line_harms_no_other(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let mut strange = lines("r", 0, 1..=5);
    strange[0].text = "a\0b".to_owned();
    strange[1].at = Timestamp::MIN;
    strange[2].at = Timestamp::MAX;
    strange[3].text = String::new();
    strange[4].at = Timestamp::new(1_760_000_000, 123_456_789).expect("a time");
    assert_eq!(store.put_logs(&strange).await.expect("kept"), 5);
    let found = read(store, all_of("r")).await;
    assert_eq!(found[0].text, "a\u{fffd}b");
    assert_eq!(found[1].at, Timestamp::UNIX_EPOCH);
    assert_eq!(found[2].at.as_microsecond(), Timestamp::MAX.as_microsecond());
    assert_eq!(found[3].text, "");
    assert_eq!(found[4].at.subsec_nanosecond(), 123_456_000);
}

pub async fn a_task_or_an_item_is_read_alone(bench: Bench) {
    let store = bench.store.as_ref();
    let fence = prepare(store, "data", "a").await;
    let group = TaskKey::of_task(4);
    let again = TaskKey { round: 2, ..group.with_item(1) };
    let mut keys: Vec<TaskKey> = (0..12).map(|item| group.with_item(item)).collect();
    keys.extend([group, again, TaskKey::of_task(1)]);
    let births = keys.iter().map(|key| {
        let mut birth = task_birth(key.task);
        birth.row = TaskRow { key: *key, ..birth.row };
        birth
    });
    let born = changes("data", Some(run_birth(a_run("r", "data"))), births.collect());
    store.commit(&batch(fence, vec![("r", born)])).await.expect("committed");
    // Each task run has three lines, and they came by turns.
    let came: Vec<LogLine> = (1..=3).flat_map(|n| keys.iter().map(move |key| line("r", *key, n))).collect();
    assert_eq!(store.put_logs(&came).await.expect("kept"), came.len());
    let of = |wanted: &dyn Fn(TaskKey) -> bool| -> Vec<LogLine> {
        came.iter().filter(|line| wanted(line.job.task_run.key)).cloned().collect()
    };
    for limit in [1, 5, 10_000] {
        let query = LogQuery { limit, ..all_of("r") };
        assert_eq!(read(store, query.clone()).await, came);
        let task = LogQuery { task: Some(4), ..query.clone() };
        assert_eq!(read(store, task.clone()).await, of(&|key| key.task == 4));
        let item = LogQuery { item: Some(1), ..task.clone() };
        assert_eq!(read(store, item).await, of(&|key| key.item == Some(1)), "of both rounds");
        assert_eq!(read(store, LogQuery { task: Some(1), ..query.clone() }).await, of(&|key| key.task == 1));
        for (task, item) in [(5, None), (u32::MAX, None), (4, Some(12)), (1, Some(0)), (4, Some(u32::MAX))] {
            assert_eq!(read(store, LogQuery { task: Some(task), item, ..query.clone() }).await, vec![]);
        }
    }
    let without_task = LogQuery { item: Some(1), ..all_of("r") };
    assert!(matches!(store.logs(&without_task).await, Err(StoreError::Refused(_))));
    assert_eq!(store.logs(&LogQuery { limit: 0, ..all_of("r") }).await.expect("nothing"), vec![]);
}

pub async fn a_page_has_a_bound_in_bytes(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let wide =
        |number| LogLine { text: "x".repeat(LOG_PAGE_BYTES / 4), ..line("r", TaskKey::of_task(0), number) };
    let mut came: Vec<LogLine> = (1..=6).map(wide).collect();
    // One that is larger than a page all the same comes through.
    came.push(LogLine { text: "y".repeat(LOG_PAGE_BYTES + 1), ..line("r", TaskKey::of_task(0), 7) });
    came.push(line("r", TaskKey::of_task(0), 8));
    store.put_logs(&came).await.expect("kept");
    assert_eq!(store.logs(&all_of("r")).await.expect("read").len(), 4);
    assert_eq!(read(store, all_of("r")).await, came);
}

pub async fn thousands_of_lines_go_in_at_once(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let came = lines("r", 0, 1..=3_500);
    assert_eq!(store.put_logs(&came).await.expect("kept"), came.len());
    assert_eq!(read(store, LogQuery { limit: 999, ..all_of("r") }).await, came);
}

/// Somebody who follows while many write, also two who say the same, misses nothing and hears nothing twice.
pub async fn a_reader_who_follows_misses_nothing(bench: Bench) {
    const WRITERS: u32 = 4;
    const LINES: u64 = 400;
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let births = (0..WRITERS).map(task_birth).collect();
    let born = changes("data", Some(run_birth(a_run("r", "data"))), births);
    store.commit(&batch(fence, vec![("r", born)])).await.expect("committed");
    let writing = Arc::new(AtomicUsize::new(2 * WRITERS as usize));
    let writers: Vec<_> = (0..2 * WRITERS)
        .map(|writer| {
            let (store, writing) = (store.clone(), writing.clone());
            tokio::spawn(async move {
                for chunk in lines("r", writer % WRITERS, 1..=LINES).chunks(5) {
                    store.put_logs(chunk).await.expect("kept");
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut query = LogQuery { limit: 7, ..all_of("r") };
    loop {
        // Looked at before the page is read: an empty one is the end only if nobody wrote any more.
        let over = writing.load(Ordering::SeqCst) == 0;
        let page = store.logs(&query).await.expect("read");
        match page.last() {
            Some(last) => query.after = last.position,
            None if over => break,
            None => tokio::task::yield_now().await,
        }
        for StoredLine { line, .. } in page {
            seen.entry(line.job.task_run.key.task).or_default().push(line.number);
        }
    }
    for writer in writers {
        writer.await.expect("ran");
    }
    for (task, numbers) in &seen {
        assert_eq!(*numbers, (1..=LINES).collect::<Vec<_>>(), "task {task}");
    }
    assert_eq!(seen.len(), WRITERS as usize);
}

/// Memory alone: so many bytes, the oldest lines go, and those of a run that is forgotten.
pub async fn the_oldest_lines_are_forgotten(bench: Bench) {
    let store = bench.store.as_ref();
    with_tasks(store, &["r"]).await;
    let count = (LOG_BYTES_MAX / 65_536 + 10) as u64;
    let wide = |number| LogLine { text: "x".repeat(65_536), ..line("r", TaskKey::of_task(0), number) };
    for number in 1..=count {
        store.put_logs(&[wide(number)]).await.expect("kept");
    }
    let found = read(store, all_of("r")).await;
    assert_eq!(found.last().map(|line| line.number), Some(count));
    assert!(
        found.len() < LOG_BYTES_MAX / 65_536 && found.len() > LOG_BYTES_MAX / 65_536 - 20,
        "{}",
        found.len()
    );
    assert!(found.is_sorted_by(|one, next| one.number + 1 == next.number), "the newest, without a gap");
}
