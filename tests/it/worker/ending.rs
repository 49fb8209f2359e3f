//! How a task's processes end: by timeout, by cancel, with the worker, and what they leave.

use std::{sync::Arc, time::Duration};

use relay::clock::Clock;
use relay::feed::{Feed, Item, Reader, Stream, memory::MemoryFeed};
use relay::model::{
    job::{Job, Outcome},
    task::FailureKind,
};
use relay::worker::{Executor, log::LogSink};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, gone, group_gone, since};
use crate::support::jobs::script;

/// Tells its process ids, ignores SIGTERM, and so do its child and grandchild.
const STUBBORN: &str =
    "trap '' TERM; echo $$; (trap '' TERM; sh -c 'echo $$; exec sleep 300' & echo $!; wait); wait";

#[tokio::test]
async fn a_timeout_kills_the_whole_tree_even_if_it_will_not_hear() {
    let job = Job { timeout: Some(Duration::from_millis(2500)), ..script(STUBBORN) };
    let start = Clock::system().now();
    let ran = Bench::default().run(&job).await;
    assert_eq!(ran.failure().0, FailureKind::Timeout);
    assert!(ran.failure().2.contains("longer than its timeout of 2.5s"), "{}", ran.failure().2);
    assert!(since(start) >= 2.8, "it had its grace");
    let pids = ran.stdout();
    assert!(pids.len() == 3, "{pids:?}");
    for pid in &pids {
        gone(pid);
    }
    group_gone(pids[0]);
}

#[tokio::test]
async fn a_task_may_tidy_up_when_its_time_is_over() {
    let text = "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let job = Job { timeout: Some(Duration::from_secs(2)), ..script(text) };
    let ran = Bench::new(Duration::from_secs(20)).run(&job).await;
    assert_eq!(ran.stdout(), ["ready", "tidied"]);
    assert_eq!(ran.failure().0, FailureKind::Timeout, "in time or not at all");
}

#[tokio::test]
async fn a_cancel_stops_it() {
    let cancel = CancellationToken::new();
    let start = Clock::system().now();
    let ran = Bench::new(Duration::from_secs(20))
        .run_and(&script("echo $$; exec sleep 300"), cancel.clone(), |_| cancel.cancel())
        .await;
    assert_eq!(ran.outcome, Outcome::Cancelled);
    assert!(since(start) < 15.0, "SIGTERM was enough");
    gone(ran.stdout()[0]);
}

#[tokio::test]
async fn a_cancel_before_the_start_runs_nothing() {
    let bench = Bench::default();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ran = bench.run_and(&script("echo ran"), cancel, |_| {}).await;
    assert_eq!((ran.outcome, ran.lines), (Outcome::Cancelled, vec![]));
}

#[tokio::test]
async fn what_a_task_leaves_running_is_killed_with_its_end() {
    let text = "sleep 300 & echo $!; (sleep 300 >/dev/null 2>&1 & echo $!); for i in 1 2 3 4 5 6 7 8; do (sleep 300 & sleep 300 & echo $!); done; echo $$";
    let bench = Bench::default();
    let start = Clock::system().now();
    let ran = bench.run(&script(text)).await;
    assert_eq!(ran.outcome, Outcome::Success { outputs: Default::default() });
    assert!(since(start) < 20.0, "nobody waits for them");
    let pids = ran.stdout();
    assert_eq!(pids.len(), 11, "{pids:?}");
    for pid in &pids {
        gone(pid);
    }
    group_gone(pids[10]);
    assert_eq!(bench.left_behind(), [""; 0]);
}

#[tokio::test]
async fn a_process_that_left_the_group_and_keeps_the_pipe_is_waited_for_a_second_at_most() {
    // It ends by itself, for it is not ours to kill any more; its process id is told so that the test can end it.
    let start = Clock::system().now();
    let ran =
        Bench::default().run(&script("setsid sh -c 'echo $$; : > ready; exec sleep 60' & while [ ! -e ready ]; do sleep 0.02; done; echo done")).await;
    assert_eq!(ran.outcome, Outcome::Success { outputs: Default::default() });
    assert!(since(start) < 10.0, "{} s", since(start));
    let lines = ran.stdout();
    assert!(lines.contains(&"done"), "{lines:?}");
    // It is not Relay's to kill any more, but the test's.
    let escaped = lines.iter().find_map(|l| l.parse().ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(escaped.expect("its id"), rustix::process::Signal::KILL)
        .expect("it lived on");
}

#[tokio::test]
async fn output_that_is_still_on_its_way_at_the_end_arrives() {
    // The reader outlives the script by a moment, as in `exec > >(tee log)`.
    let text = "mkfifo p; (while read line; do echo \"got $line\"; done < p; echo end) & exec > p; for i in 1 2 3; do echo $i; done";
    let ran = Bench::default().run(&script(text)).await;
    assert_eq!(ran.stdout(), ["got 1", "got 2", "got 3", "end"]);
}

#[tokio::test]
async fn whoever_drops_the_execution_leaves_no_process() {
    let bench = Bench::default();
    let feed = Arc::new(MemoryFeed::default());
    let mut reader = feed.subscribe(None, Reader::Every);
    let job = script(STUBBORN);
    let log = LogSink::new(job.id.clone(), feed.clone(), Clock::system(), 10 << 20);
    let mut execution = bench.executor.execute(&job, CancellationToken::new(), log);
    let mut pids = Vec::new();
    while pids.len() < 3 {
        tokio::select! {
            ended = &mut execution => panic!("{ended:?}"),
            items = reader.next(9) => pids.extend(items.into_iter().map(|item| match item {
                Item::Line(line) => line.text,
                other => panic!("{other:?}"),
            })),
        }
    }
    drop(execution);
    for pid in &pids {
        gone(pid);
    }
    group_gone(&pids[0]);
    assert_eq!(bench.left_behind(), [""; 0]);
}

#[tokio::test]
async fn a_log_without_end_is_cut_with_a_mark_and_blocks_nobody() {
    let bench = Bench { log_bytes: 1 << 20, ..Bench::default() };
    let ran = bench.run(&script("head -c 20971520 /dev/zero | tr '\\0' '\\n' | sed 's/$/0123456789/' | head -c 20971520; echo x >&2; exit 5")).await;
    assert_eq!(ran.failure(), (FailureKind::ExitCode, Some(5), "it ended with status 5; last on stderr: x"));
    let bytes: usize = ran.lines.iter().map(|l| l.text.len() + 1).sum();
    assert!(bytes > (1 << 20) - 100 && bytes < (1 << 20) + 200, "{bytes}");
    let mark = ran.lines.last().expect("a mark");
    assert_eq!(mark.text, "[relay] The log of this attempt has reached 1 MiB: the rest is dropped.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_does_not_keep_a_task_alive() {
    let bench = Bench::default();
    let feed = Arc::new(MemoryFeed::default());
    let mut reader = feed.subscribe(None, Reader::Every);
    let job = Job { timeout: Some(Duration::from_secs(2)), ..script("echo $$; exec yes") };
    let log = LogSink::new(job.id.clone(), feed.clone(), Clock::system(), 100 << 20);
    drop(feed);
    let execution = tokio::spawn(async move {
        (bench.executor.execute(&job, CancellationToken::new(), log.clone()).await, log)
    });
    let Item::Line(first) = reader.next(1).await.remove(0) else { panic!("no line") };
    tokio::task::spawn_blocking(move || gone(&first.text)).await.expect("it ended while nobody read");
    // Its result waits for nobody; what it wrote is not given up.
    let (outcome, log) = execution.await.expect("no panic");
    assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::Timeout, .. }), "{outcome:?}");
    let rest = tokio::spawn(async move { log.flush().await });
    let mut lines = 0;
    loop {
        let items = reader.next(10_000).await;
        if items.is_empty() {
            break;
        }
        assert!(items.iter().all(|item| matches!(item, Item::Line(line) if line.text == "y")), "whole lines");
        lines += items.len();
    }
    assert!(lines > 10_000, "{lines}");
    rest.await.expect("no panic");
}

#[tokio::test]
async fn a_line_without_end_is_split() {
    let ran = Bench::default()
        .run(&script("head -c 200000 /dev/zero | tr '\\0' y; printf 'end\\n\\0\\377z\\n'"))
        .await;
    let parts: Vec<(usize, bool)> = ran.lines.iter().map(|l| (l.text.len(), l.partial)).collect();
    assert_eq!(
        parts,
        [(65536, true), (65536, true), (65536, true), (200_003 - 3 * 65536, false), (7, false)]
    );
    assert_eq!(ran.of(Stream::Stdout)[4], "\u{fffd}\u{fffd}z");
}
