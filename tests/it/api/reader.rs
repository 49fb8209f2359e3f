//! A reader of logs, as `relay logs` is one, and the bench on which it reads.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::api::{self, health::Health, logs::Limits, logs::Settled, serve::Bounds};
use relay::cli::logs::{Ask, Door, Printer, Seen, Style, Which, Wire, read};
use relay::clock::Clock;
use relay::feed::{Edge, Event, Feed, memory::MemoryFeed};
use relay::model::{
    change::Fence,
    ids::{TaskKey, TaskRunId},
    job::JobId,
    log::{LogLine, Stream},
    run::{Actor, RunRow},
    status::RunStatus,
};
use relay::store::{Store, memory::MemoryStore};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Served, soon};
use crate::conformance::store::rows::{
    a_run, after, batch, changes, prepare, run_id, run_move, task_birth, with_runs,
};

/// One run, `r`, called `nightly`, in namespace `data`; its tasks are `t0` to `t11`.
pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    pub(super) feed: Arc<MemoryFeed>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) served: Served,
    fence: Fence,
    run: RunRow,
}

impl Bench {
    pub(super) async fn new(limits: Limits, settled: Settled) -> Bench {
        let clock = Clock::system();
        let of_store = clock.clone();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(move || of_store.now())));
        let feed = Arc::new(MemoryFeed::default());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let params = api::Params {
            store: store.clone(),
            feed: feed.clone(),
            clock,
            settled,
            limits,
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let api = Arc::new(api::Api::new(Arc::new(Health::new(Clock::system()))));
        api.open(params);
        let served = Served::new(api::router(api), Bounds::default()).await;
        let fence = prepare(store.as_ref(), "data", "a").await;
        let run = RunRow { name: "nightly".to_owned(), ..a_run("r", "data") };
        let fence = with_runs(store.as_ref(), fence, std::slice::from_ref(&run)).await;
        let item = |item| {
            let mut birth = task_birth(2);
            birth.row.key.item = Some(item);
            birth
        };
        let born = batch(fence, vec![("r", changes("data", None, vec![item(0), item(1)]))]);
        store.commit(&born).await.expect("items are born");
        let fence = after(fence, &born);
        Bench { store, feed, tasks, stop, served, fence, run }
    }

    /// With bounds so short that a test sees them, and lines that are in the store at once.
    pub(super) async fn simple() -> Bench {
        Bench::new(Limits { page: 2, ..Limits::default() }, at_once()).await
    }

    /// A further run.
    pub(super) async fn begins(&self, id: &str, name: &str) {
        let run = RunRow { name: name.to_owned(), ..a_run(id, "data") };
        with_runs(self.store.as_ref(), self.fence, &[run]).await;
    }

    /// Lines as the log pump brings them.
    pub(super) async fn lines(&self, lines: Vec<LogLine>) {
        self.quiet_lines(&lines).await;
        self.feed.log(lines).await;
    }

    /// Lines of which the feed tells nobody.
    pub(super) async fn quiet_lines(&self, lines: &[LogLine]) {
        assert_eq!(self.store.put_logs(lines).await.expect("kept"), lines.len());
    }

    /// The run ends. Is the feed told?
    pub(super) async fn ends(&self, told: bool) {
        let end = batch(
            self.fence,
            vec![("r", changes("data", Some(run_move(&self.run, RunStatus::Success)), vec![]))],
        );
        self.store.commit(&end).await.expect("it ends");
        if told {
            let edge = Edge::Run { from: Some(RunStatus::Running), to: RunStatus::Success };
            let run = run_id("r");
            let at = Timestamp::UNIX_EPOCH;
            self.feed.publish(vec![Event { run, edge, reason: None, actor: Actor::Engine, error: None, at }]);
        }
    }

    pub(super) fn reader(&self, task: Option<&str>, follow: bool) -> Reader {
        Reader::new(Box::new(Straight(self.served.address)), "nightly", task, follow)
    }

    /// What is printed of it now.
    pub(super) async fn printed(&self, task: Option<&str>) -> Vec<String> {
        self.reader(task, false).rest().await.expect("an answer")
    }
}

/// Lines are in the store as soon as they are written.
pub(super) fn at_once() -> Settled {
    Arc::new(|_| Box::pin(async {}))
}

/// The first attempt of the first task of a run.
pub(super) fn job_of(run: &str) -> JobId {
    JobId { task_run: TaskRunId { run: run_id(run), key: TaskKey::of_task(0) }, attempt: 1 }
}

/// A line of a task, or of an item of it.
pub(super) fn line(task: u32, item: Option<u32>, number: u64) -> LogLine {
    let key = TaskKey { item, ..TaskKey::of_task(task) };
    LogLine {
        job: JobId { task_run: TaskRunId { run: run_id("r"), key }, attempt: 1 },
        stream: Stream::Stdout,
        number,
        at: Timestamp::UNIX_EPOCH,
        text: format!("line {number}"),
        partial: false,
    }
}

/// `relay logs`, without its cluster.
pub(super) struct Reader {
    work: JoinSet<anyhow::Result<()>>,
    lines: mpsc::UnboundedReceiver<String>,
    notes: mpsc::UnboundedReceiver<String>,
}

impl Reader {
    pub(super) fn new(door: Box<dyn Door>, run: &str, task: Option<&str>, follow: bool) -> Reader {
        let (to, lines) = mpsc::unbounded_channel();
        let (noted, notes) = mpsc::unbounded_channel();
        let ask =
            Ask { namespace: "data".to_owned(), run: run.to_owned(), task: task.map(str::to_owned), follow };
        let style = Style { one_task: task.is_some(), ..Style::default() };
        let mut work = JoinSet::new();
        work.spawn(async move {
            let paper = |to| Box::new(Paper { to, line: Vec::new() });
            let mut printer = Printer::new(style, paper(to), paper(noted));
            read(door.as_ref(), &ask, &mut printer).await
        });
        Reader { work, lines, notes }
    }

    /// What it says beside the lines.
    pub(super) async fn note(&mut self) -> String {
        soon(self.notes.recv()).await.expect("one more note")
    }

    pub(super) async fn line(&mut self) -> String {
        soon(self.lines.recv()).await.expect("one more line")
    }

    /// Its lines to the end.
    pub(super) async fn rest(mut self) -> anyhow::Result<Vec<String>> {
        soon(self.work.join_next()).await.expect("it was there").expect("no panic")?;
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.try_recv() {
            lines.push(line);
        }
        Ok(lines)
    }
}

/// Gives whole lines to a channel.
struct Paper {
    to: mpsc::UnboundedSender<String>,
    line: Vec<u8>,
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let text = String::from_utf8(line).map_err(io::Error::other)?;
            // Whoever looked for lines may have seen enough.
            let _ = self.to.send(text.trim_end_matches('\n').to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Straight to the server.
pub(super) struct Straight(pub(super) std::net::SocketAddr);

#[async_trait]
impl Door for Straight {
    async fn open(&self) -> anyhow::Result<Box<dyn Wire>> {
        Ok(Box::new(TcpStream::connect(self.0).await?))
    }

    async fn which(&self, _: &Ask) -> anyhow::Result<Which> {
        Ok(Which::Hidden("nobody may".to_owned()))
    }
}

/// Straight to the server, by somebody who may read the Run.
pub(super) struct Knowing {
    pub(super) address: std::net::SocketAddr,
    /// What the API server tells of the Run.
    pub(super) which: watch::Receiver<Which>,
}

#[async_trait]
impl Door for Knowing {
    async fn open(&self) -> anyhow::Result<Box<dyn Wire>> {
        Ok(Box::new(TcpStream::connect(self.address).await?))
    }

    async fn which(&self, _: &Ask) -> anyhow::Result<Which> {
        Ok(self.which.borrow().clone())
    }
}

/// A Run that is there.
pub(super) fn seen(uid: &str, ended: bool, says: &str) -> Which {
    Which::This(Seen { uid: uid.to_owned(), ended, says: says.to_owned() })
}

/// To the server, by streams that are cut when they are told to.
pub(super) struct Cut {
    pub(super) address: std::net::SocketAddr,
    /// Each message cuts the stream of the moment.
    pub(super) scissors: Arc<tokio::sync::Notify>,
    pub(super) pipes: TaskTracker,
}

#[async_trait]
impl Door for Cut {
    async fn open(&self) -> anyhow::Result<Box<dyn Wire>> {
        let mut server = TcpStream::connect(self.address).await?;
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let scissors = self.scissors.clone();
        self.pipes.spawn(async move {
            tokio::select! {
                copied = tokio::io::copy_bidirectional(&mut server, &mut theirs) => drop(copied),
                () = scissors.notified() => {}
            }
        });
        Ok(Box::new(ours))
    }

    async fn which(&self, _: &Ask) -> anyhow::Result<Which> {
        Ok(Which::Hidden("nobody may".to_owned()))
    }
}

/// Bounds that a test can wait for.
pub(super) fn short() -> Limits {
    Limits {
        look_every: Duration::from_millis(20),
        heartbeat: Duration::from_millis(20),
        stalled: Duration::from_millis(100),
        patience: Duration::from_millis(100),
        ..Limits::default()
    }
}
