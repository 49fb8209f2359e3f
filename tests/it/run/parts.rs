//! A session whose parts fail: the store refuses a run, the worker breaks.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::{
    clock::Clock,
    conductor::Compile,
    crd,
    feed::{self, memory::MemoryFeed},
    local::{self, Approve, Asks, Exit, LocalError, Parts, Request, Source},
    model::{
        change::{Batch, Fence},
        head::Head,
        ids::{RunId, ShardId, TaskRunId, WorkflowId},
        job::{Job, JobId, Report},
        log::{LogLine, LogQuery, StoredLine},
        task_run::AttemptRow,
    },
    queue::{self, Claim, Jobs, Orders, QueueError, memory::MemoryQueue},
    store::{
        Entity, HistoryRow, Leadership, Revision, Roll, RunRecord, Store, StoreError, memory::MemoryStore,
    },
};

use super::{Desk, a_run, flow};

/// Refuses every run of this name, and every output called `bad`.
struct Picky(MemoryStore, &'static str);

#[async_trait]
impl Store for Picky {
    async fn lead(&self, shards: &[ShardId], holder: &str) -> Result<Leadership, StoreError> {
        self.0.lead(shards, holder).await
    }
    async fn renew(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.0.renew(fences).await
    }
    async fn release(&self, fences: &[Fence]) -> Result<(), StoreError> {
        self.0.release(fences).await
    }
    async fn attend(&self, holder: &str, leaders: u32) -> Result<Roll, StoreError> {
        self.0.attend(holder, leaders).await
    }
    async fn depart(&self, holder: &str) -> Result<(), StoreError> {
        self.0.depart(holder).await
    }
    async fn raise(&self, fence: &Fence, to: i64) -> Result<Fence, StoreError> {
        self.0.raise(fence, to).await
    }
    async fn position(&self, shard: ShardId) -> Result<Fence, StoreError> {
        self.0.position(shard).await
    }
    async fn put_revision(&self, revision: &Revision) -> Result<(), StoreError> {
        self.0.put_revision(revision).await
    }
    async fn revision(&self, id: &WorkflowId) -> Result<Option<Revision>, StoreError> {
        self.0.revision(id).await
    }
    async fn put_head(&self, head: &Head, fence: &Fence) -> Result<(), StoreError> {
        self.0.put_head(head, fence).await
    }
    async fn drop_head(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), StoreError> {
        self.0.drop_head(namespace, name, fence).await
    }
    async fn head(&self, namespace: &str, name: &str) -> Result<Option<Head>, StoreError> {
        self.0.head(namespace, name).await
    }
    async fn head_names(
        &self,
        after: Option<(String, String)>,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.0.head_names(after, limit).await
    }
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = batch.runs.values().filter_map(|changes| changes.run.as_ref());
        let mut outputs = batch.runs.values().flat_map(|changes| changes.tasks.values());
        let bad = outputs.any(|change| change.row.output.as_ref().is_some_and(|o| o.get("bad").is_some()));
        match bad || rows.any(|change| change.row.name == self.1) {
            true => Err(StoreError::Refused("it does not like that".to_owned())),
            false => self.0.commit(batch).await,
        }
    }
    async fn live_runs(&self, shard: ShardId) -> Result<Vec<RunId>, StoreError> {
        self.0.live_runs(shard).await
    }
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.0.run(id).await
    }
    async fn history(&self, entity: &Entity, limit: u32) -> Result<Vec<HistoryRow>, StoreError> {
        self.0.history(entity, limit).await
    }
    async fn attempts(&self, task: &TaskRunId, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
        self.0.attempts(task, limit).await
    }

    async fn transitions(
        &self,
        shard: ShardId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.0.transitions(shard, after, limit).await
    }
    async fn find_runs(&self, namespace: &str, name: &str, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.0.find_runs(namespace, name, limit).await
    }
    async fn put_logs(&self, lines: &[LogLine]) -> Result<usize, StoreError> {
        self.0.put_logs(lines).await
    }
    async fn logs(&self, query: &LogQuery) -> Result<Vec<StoredLine>, StoreError> {
        self.0.logs(query).await
    }
    async fn claim_cluster(&self, id: &str, adopt: bool) -> Result<(), StoreError> {
        self.0.claim_cluster(id, adopt).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// The worker's side of a queue that breaks its user.
struct Broken;

#[async_trait]
impl Jobs for Broken {
    async fn claim(&self, _: &Claim) -> Result<Vec<Job>, QueueError> {
        panic!("a defect")
    }
    async fn report(&self, _: Report) -> Result<(), QueueError> {
        Ok(())
    }
    async fn beat(&self, _: &str, _: &[JobId], _: Timestamp) -> Result<Orders, QueueError> {
        Ok(Orders::default())
    }
    async fn called(&self, _: &str) -> Result<(), QueueError> {
        std::future::pending().await
    }
    async fn give_back(&self, _: &str, _: &[JobId]) -> Result<(), QueueError> {
        Ok(())
    }
    async fn leave(&self, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody broke").write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody broke").clone()).expect("text")
    }
}

fn parts(refused: &'static str, broken: bool) -> Parts {
    let clock = Clock::system();
    let queue = Arc::new(MemoryQueue::new(queue::memory::Limits::default()));
    let store = MemoryStore::new(Arc::new({
        let clock = clock.clone();
        move || clock.now()
    }));
    Parts {
        store: Arc::new(Picky(store, refused)),
        queue: queue.clone(),
        jobs: if broken { Arc::new(Broken) } else { queue },
        feed: Arc::new(MemoryFeed::new(feed::memory::Limits::default())),
        clock,
        durable: true,
    }
}

async fn run(desk: &Desk, parts: Parts) -> (Result<Exit, LocalError>, String) {
    let path: PathBuf = desk.path("flow.yaml");
    let request = Request {
        source: Source::File { path, workflow: None },
        params: Vec::new(),
        params_file: None,
        approve: Approve::default(),
        slots: 2,
        env: vec![("MARKS".to_owned(), desk.path("marks").display().to_string())],
        grace: Duration::from_secs(1),
        user: "ada".to_owned(),
        asks: Asks::Nowhere,
        colour: false,
    };
    let compile: Compile =
        Arc::new(|revision| crd::compile(revision).map_err(|findings| findings.to_string()));
    let chosen = local::choose(&request, &parts.clock).expect("a good file");
    let paper = Paper::default();
    let exit = local::run(request, chosen, parts, compile, Box::new(paper.clone())).await;
    (exit, paper.text())
}

fn two() -> Desk {
    let flow = flow("flow", "  tasks: [{name: go, script: 'echo ran >> $MARKS'}]");
    Desk::new(&format!("{flow}{}{}", a_run("one", "flow", "{}"), a_run("two", "flow", "{}")))
}

#[tokio::test]
async fn a_second_run_that_is_refused_leaves_the_first_to_its_end() {
    let desk = two();
    let (exit, text) = run(&desk, parts("two", false)).await;
    assert_eq!((exit.expect("it ends"), desk.marks().len()), (Exit::Failed, 1), "{text}");
    assert!(text.contains("run two was not accepted: the run could not be written: "), "{text}");
    assert!(text.contains("one: SUCCESS"), "{text}");
    assert!(text.contains("\ntwo: it was not accepted: "), "it is named at the end too: {text}");
}

#[tokio::test]
async fn a_first_run_that_is_refused_is_the_end() {
    let desk = two();
    let (exit, text) = run(&desk, parts("one", false)).await;
    let error = exit.expect_err("nothing ran");
    assert_eq!((error.code(), desk.marks().len(), text.as_str()), (2, 0, ""), "{error}");
    assert!(error.to_string().starts_with("run one: "), "{error}");
}

#[tokio::test]
async fn a_worker_that_breaks_is_told_and_the_run_can_be_resumed() {
    let desk = Desk::flow("  tasks: [{name: go, command: ['true']}]");
    let (exit, text) = run(&desk, parts("", true)).await;
    let error = exit.expect_err("nothing can run");
    assert_eq!(error.code(), 1);
    assert!(error.to_string().starts_with("the worker broke: "), "{error}");
    assert!(text.contains("goes on with: relay run --database-url URL --resume "), "{text}");
}

#[tokio::test]
async fn what_still_writes_once_its_run_is_set_aside_ends_all_the_same() {
    // More than the feed holds for a reader. That it began is told before the other one ends: a worker keeps that to itself for
    // some milliseconds, and what nobody knows to run goes with its run.
    let desk = Desk::flow(
        "  tasks:
    - {name: bad, script: 'sleep 0.5; echo bad=1 >> $RELAY_OUTPUT; echo now >> $MARKS'}
    - name: loud
      script: |
        until [ -s $MARKS ]; do :; done
        head -c 9000000 /dev/zero | tr '\\0' x | fold -w 9000
        echo done >> $MARKS",
    );
    let (exit, text) = run(&desk, parts("", false)).await;
    assert_eq!((exit.expect("it ends"), desk.marks()), (Exit::Failed, vec!["now".into(), "done".into()]));
    assert!(text.contains(": it cannot go on: ") && text.contains("it does not like that"), "{}", text.len());
}
