//! Runs one job as a real process, and reads what it writes.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use relay::clock::Clock;
use relay::feed::{Feed, Item, LogLine, Reader, Stream, memory::MemoryFeed};
use relay::model::{
    job::{Job, Outcome},
    task::FailureKind,
};
use relay::worker::{
    Executor,
    log::LogSink,
    process::{Params, Processes},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// An executor with a folder of its own.
pub struct Bench {
    pub root: TempDir,
    pub executor: Processes,
    pub log_bytes: usize,
}

/// What came of a job.
pub struct Ran {
    pub outcome: Outcome,
    pub lines: Vec<LogLine>,
}

impl Bench {
    /// With so long between SIGTERM and SIGKILL.
    pub fn new(grace: Duration) -> Bench {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = std::env::var("PATH").expect("a PATH");
        let env = vec![("PATH".to_owned(), path), ("BASE".to_owned(), "from the base".to_owned())];
        let executor = Processes::new(
            Params { root: root.path().join("work"), env, grace, spares: 0 },
            &Clock::system(),
        );
        Bench { root, executor, log_bytes: 10 << 20 }
    }

    /// Runs the job to its end.
    pub async fn run(&self, job: &Job) -> Ran {
        self.run_and(job, CancellationToken::new(), |_| {}).await
    }

    /// Runs the job, and shows each of its lines to `look` as it comes.
    pub async fn run_and(&self, job: &Job, cancel: CancellationToken, mut look: impl FnMut(&LogLine)) -> Ran {
        let feed = Arc::new(MemoryFeed::default());
        let mut reader = feed.subscribe(None, Reader::Every);
        let log = LogSink::new(job.id.clone(), feed.clone(), Clock::system(), self.log_bytes);
        drop(feed);
        // The log is dropped with the execution, and so the feed ends.
        let reading = async {
            let mut lines = Vec::new();
            loop {
                let items = reader.next(1000).await;
                if items.is_empty() {
                    return lines;
                }
                for item in items {
                    let Item::Line(line) = item else { panic!("{item:?}") };
                    look(&line);
                    lines.push(line);
                }
            }
        };
        let execution = async move {
            let outcome = self.executor.execute(job, cancel, log.clone()).await;
            log.flush().await;
            outcome
        };
        let both = async { tokio::join!(execution, reading) };
        let (outcome, lines) =
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it should have ended long ago");
        Ran { outcome, lines }
    }

    /// What the executor has left in its folder.
    pub fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path().join("work")).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::new(Duration::from_millis(300))
    }
}

impl Ran {
    /// The lines of one stream, in order.
    pub fn of(&self, stream: Stream) -> Vec<&str> {
        self.lines.iter().filter(|l| l.stream == stream).map(|l| l.text.as_str()).collect()
    }

    pub fn stdout(&self) -> Vec<&str> {
        self.of(Stream::Stdout)
    }

    /// The outputs, as JSON.
    pub fn outputs(&self) -> serde_json::Value {
        match &self.outcome {
            Outcome::Success { outputs } => serde_json::json!(outputs),
            other => panic!("{other:?}"),
        }
    }

    /// The kind of failure, the exit status and the message.
    pub fn failure(&self) -> (FailureKind, Option<i32>, &str) {
        match &self.outcome {
            Outcome::Failed { kind, exit_code, message, .. } => (*kind, *exit_code, message),
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until the process of this id is gone or a zombie.
pub fn gone(pid: &str) {
    let pid = Pid::from_raw(pid.parse().expect("a process id")).expect("not 0");
    // No such process: it is gone already.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let wait = Timespec { tv_sec: 10, tv_nsec: 0 };
    // A signal (a child that ended) may break the wait.
    let look = || poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&wait));
    let ended = rustix::io::retry_on_intr(look).expect("a handle to wait for");
    assert_eq!(ended, 1, "process {pid:?} lives on");
}

/// Waits until nobody is left in a process group; who was just killed may take a moment.
pub fn group_gone(group: &str) {
    for _ in 0..10 {
        let alive = alive_in_group(group);
        if alive.is_empty() {
            return;
        }
        alive.iter().for_each(|pid| gone(pid));
    }
    panic!("group {group} never ends: {:?}", alive_in_group(group));
}

/// The processes of a group that are neither gone nor zombies, as /proc tells.
fn alive_in_group(group: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let stats = entries.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    let in_group = |stat: &str| {
        // pid (name) state ppid pgrp: the name may have any character, so count from its end.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        fields.get(2) == Some(&group) && fields.first() != Some(&"Z")
    };
    let pid = |stat: String| stat.split_whitespace().next().map(str::to_owned);
    stats.filter(|stat| in_group(stat)).filter_map(pid).collect()
}

/// How long ago, in seconds.
pub fn since(start: Timestamp) -> f64 {
    (Clock::system().now() - start).total(jiff::Unit::Second).expect("seconds")
}
