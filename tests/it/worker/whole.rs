//! The whole worker, with real processes and the queue in memory.

use std::{sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::feed::{Feed, Item, Reader, Subscription, memory, memory::MemoryFeed};
use relay::model::job::{Job, News, Outcome};
use relay::queue::{Pools, Position, Queue, Told, memory::MemoryQueue};
use relay::worker::{Limits, Links, Params, Shutdown, Worker};

use super::bench::{Bench, gone, group_gone};
use crate::support::jobs::{all_led, job_id, script};

/// A worker that has these scripts to run, and what it writes.
struct Whole {
    bench: Bench,
    queue: Arc<MemoryQueue>,
    reader: Box<dyn Subscription>,
    worker: Worker,
}

async fn whole(scripts: &[&str], slots: usize) -> Whole {
    whole_with(MemoryFeed::default(), scripts, slots).await
}

async fn whole_with(feed: MemoryFeed, scripts: &[&str], slots: usize) -> Whole {
    let bench = Bench::default();
    let (queue, feed) = (Arc::new(MemoryQueue::default()), Arc::new(feed));
    queue.lead(&all_led(1));
    let reader = feed.subscribe(None, Reader::Every);
    let named = |(n, text): (usize, &&str)| Job { id: job_id(n as u32), ..script(text) };
    let jobs: Vec<Job> = scripts.iter().enumerate().map(named).collect();
    queue.publish(&jobs).await.expect("published");
    let links = Links {
        jobs: queue.clone(),
        feed,
        executor: Arc::new(bench.executor.clone()),
        clock: Clock::system(),
    };
    let params = Params { id: "w".to_owned(), pools: Pools::Every, slots, limits: Limits::default() };
    Whole { bench, queue, reader, worker: Worker::new(params, links) }
}

#[tokio::test]
async fn many_jobs_end_each_once_and_leave_nothing() {
    let text = "(sleep 100 & sleep 100 >/dev/null &); echo hello; echo n:=$RELAY_ATTEMPT >> $RELAY_OUTPUT";
    let mut stage = whole(&[text; 12], 4).await;
    let shutdown = Shutdown::default();
    let work = stage.worker.run(shutdown.clone());
    let conduct = async {
        let (mut after, mut ended) = (Position::START, Vec::new());
        while ended.len() < 12 {
            for Told { at, report, .. } in stage.queue.reports(after, 100).await.expect("reports") {
                after = at;
                if let News::Ended(Outcome::Success { outputs }) = report.news {
                    assert_eq!(outputs["n"], 1);
                    ended.push(report.job.task_run.key.task);
                }
            }
        }
        shutdown.drain.cancel();
        ended.sort_unstable();
        ended
    };
    let lines = async {
        let mut lines = 0;
        loop {
            match stage.reader.next(100).await.as_slice() {
                [] => return lines,
                items => lines += items.len(),
            }
        }
    };
    let all = async { tokio::join!(work, conduct, lines) };
    let ((), ended, lines) = tokio::time::timeout(Duration::from_secs(60), all).await.expect("it ends");
    assert_eq!((ended, lines), ((0..12).collect(), 12));
    assert_eq!(stage.bench.left_behind(), [""; 0]);
}

#[tokio::test]
async fn a_log_that_takes_nothing_keeps_no_result_from_being_told() {
    // Little enough for a pipe, and more than the one reader of this log lets in while it reads nothing.
    let feed = MemoryFeed::new(memory::Limits { buffer: 10_000, ..memory::Limits::default() });
    let text = "yes line | head -n 12000";
    let mut stage = whole_with(feed, &[text, text], 2).await;
    let shutdown = Shutdown::default();
    let work = stage.worker.run(shutdown.clone());
    let conduct = async {
        let mut after = Position::START;
        let mut ended = 0;
        while ended < 2 {
            for Told { at, report, .. } in stage.queue.reports(after, 100).await.expect("reports") {
                after = at;
                ended += usize::from(matches!(report.news, News::Ended(Outcome::Success { .. })));
            }
        }
        shutdown.drain.cancel();
        // And nothing that was written is lost: whoever drains waits for it.
        let mut lines = 0;
        loop {
            match stage.reader.next(1_000).await.as_slice() {
                [] => return lines,
                items => lines += items.len(),
            }
        }
    };
    let all = async { tokio::join!(work, conduct) };
    let ((), lines) = tokio::time::timeout(Duration::from_secs(60), all).await.expect("it ends");
    assert_eq!(lines, 24_000);
}

#[tokio::test]
async fn whoever_drops_the_worker_leaves_no_process() {
    let text = "trap '' TERM; echo $$; sleep 300 & echo $!; wait";
    let mut stage = whole(&[text, text], 2).await;
    let mut work = Box::pin(stage.worker.run(Shutdown::default()));
    let mut pids = Vec::new();
    while pids.len() < 4 {
        tokio::select! {
            () = &mut work => panic!("it ended"),
            items = stage.reader.next(9) => pids.extend(items.into_iter().map(|item| match item {
                Item::Line(line) => line.text,
                other => panic!("{other:?}"),
            })),
        }
    }
    drop(work);
    for pid in &pids {
        gone(pid);
    }
    for pid in &pids {
        group_gone(pid);
    }
    assert_eq!(stage.bench.left_behind(), [""; 0]);
    let leases = stage.queue.census(Clock::system().now()).await.expect("a census").leases;
    assert_eq!(leases.len(), 2, "the queue knows what it had");
}
