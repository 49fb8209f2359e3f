//! The log pump: lines from workers into the store, then to live views, and only then out of the stream.
//!
//! A worker is trusted with its own pool and with nothing else. So a line counts only if its task runs in the pool whose
//! stream the line came in on; this is asked of the store, which knows each run's namespace and revision.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::conductor::{Compile, Outlook};
use crate::feed::{Feed, LogBatch, LogPiece, LogStream};
use crate::model::{
    ids::{RunId, ShardId, WorkflowId},
    log::LogLine,
};
use crate::store::{Store, StoreError};

/// Lines that one read asks for.
const READ: usize = 2_000;
/// Lines that one call of the store keeps.
const PUT: usize = 1_000;
/// Runs, and revisions, whose pools are remembered.
const REMEMBERED: usize = 1_000;
/// What failed is done again after so long, and twice as long after each further time, ...
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// ... up to so long.
const AGAIN_LONGEST: Duration = Duration::from_secs(5);

/// What a log pump is made of.
pub struct LogPump {
    /// Where lines come from.
    pub stream: Arc<dyn LogStream>,
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// Who watches meanwhile.
    pub feed: Arc<dyn Feed>,
    /// The time.
    pub clock: Clock,
    /// Definitions, which say in which pool a task runs.
    pub compile: Compile,
    /// Whose lines are stored and trimmed only while its conductor leads; none where nobody else could.
    pub outlook: Option<Arc<Outlook>>,
}

/// What a log pump did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Lines that the store keeps; those that came twice count twice.
    pub lines: u64,
    /// Lines whose task run is not there: dropped.
    pub unknown: u64,
    /// Lines of another pool's task runs: dropped.
    pub foreign: u64,
    /// Lines that the store refused for good: dropped.
    pub refused: u64,
}

/// Which tasks run in which pool.
#[derive(Default)]
struct Pools {
    runs: BTreeMap<RunId, Option<Arc<RunPools>>>,
    revisions: BTreeMap<WorkflowId, Option<Arc<[String]>>>,
}

/// The pools of a run's tasks.
struct RunPools {
    namespace: String,
    /// By the number of the task; none when the revision cannot be read here.
    of_tasks: Option<Arc<[String]>>,
}

impl RunPools {
    fn allows(&self, line: &LogLine, pool: &str) -> bool {
        let Some((namespace, name)) = pool.split_once('/') else { return false };
        let task = line.job.task_run.key.task as usize;
        let its_own =
            self.of_tasks.as_ref().is_none_or(|pools| pools.get(task).is_some_and(|own| own == name));
        namespace == self.namespace && its_own
    }
}

impl LogPump {
    /// Pumps until it is told to stop. What is under way then stays in the stream.
    pub async fn run(self, stop: CancellationToken) -> Pumped {
        let (mut pumped, mut pools) = (Pumped::default(), Pools::default());
        let _ = stop.run_until_cancelled(self.pump(&mut pumped, &mut pools)).await;
        pumped
    }

    /// For ever.
    async fn pump(&self, pumped: &mut Pumped, pools: &mut Pools) {
        loop {
            self.stream.leave_out(&self.stopped());
            let mut batch = self.patiently("Lines of logs are not read", || self.stream.read(READ)).await;
            let stopped = self.stopped();
            batch.pieces.retain(|piece| !stopped.contains(&ShardId::of_pool(&piece.pool)));
            self.keep(&batch, pumped, pools).await;
            let trim = || async {
                self.leads().await;
                self.stream.trim(&batch).await
            };
            self.patiently("Stored lines of logs stay in the stream", trim).await;
        }
    }

    /// Shards of which the store is behind: it would not know whose their lines are.
    fn stopped(&self) -> BTreeSet<ShardId> {
        self.outlook.as_ref().map(|outlook| outlook.all_stopped().into_keys().collect()).unwrap_or_default()
    }

    /// Waits until it is certain that this process leads: another one may have stored and trimmed the same lines.
    async fn leads(&self) {
        if let Some(outlook) = &self.outlook {
            outlook.leads().await;
        }
    }

    async fn keep(&self, batch: &LogBatch, pumped: &mut Pumped, pools: &mut Pools) {
        let mut lines = Vec::new();
        for piece in &batch.pieces {
            lines.extend(self.own(piece, pumped, pools).await);
        }
        // A run that is not there now may be there later.
        pools.runs.retain(|_, of_run| of_run.is_some());
        let mut work: Vec<&[LogLine]> = lines.chunks(PUT).rev().collect();
        while let Some(part) = work.pop() {
            match self.put(part).await {
                Ok(kept) => {
                    pumped.lines += kept as u64;
                    pumped.unknown += part.len().saturating_sub(kept) as u64;
                }
                // The culprit alone is dropped.
                Err(_) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    work.extend([second, first]);
                }
                Err(error) => {
                    pumped.refused += 1;
                    let job = part.first().map(|line| line.job.to_string());
                    tracing::error!(job, error = %error, error.label = error.label(), "A line of a log cannot be stored and is dropped");
                }
            }
        }
        // Whoever follows an attempt gets its lines together.
        for lines in lines.chunk_by(|a, b| a.job == b.job) {
            self.feed.log(lines.to_vec()).await;
        }
    }

    /// Tells how many of the lines are kept. An error is for good.
    async fn put(&self, lines: &[LogLine]) -> Result<usize, StoreError> {
        let put = || async {
            self.leads().await;
            match self.store.put_logs(lines).await {
                Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => Err(error),
                other => Ok(other),
            }
        };
        self.patiently("Lines of logs are not stored", put).await
    }

    /// The lines of a piece that its pool's workers may write.
    async fn own(&self, piece: &LogPiece, pumped: &mut Pumped, pools: &mut Pools) -> Vec<LogLine> {
        let mut own = Vec::with_capacity(piece.lines.len());
        let mut foreign = 0;
        for line in &piece.lines {
            let run = &line.job.task_run.run;
            if !pools.runs.contains_key(run) {
                self.remember(run, pools).await;
            }
            match pools.runs.get(run).and_then(Option::as_ref) {
                Some(of_run) if of_run.allows(line, &piece.pool) => own.push(line.clone()),
                Some(_) => foreign += 1,
                // No such run: the store would drop it as well.
                None => pumped.unknown += 1,
            }
        }
        if foreign > 0 {
            pumped.foreign += foreign;
            tracing::warn!(pool = %piece.pool, lines = foreign, "A worker wrote lines of tasks that do not run in its pool: dropped");
        }
        own
    }

    async fn remember(&self, id: &RunId, pools: &mut Pools) {
        let row = self.patiently("It is not known whose lines these are", || self.store.run_row(id)).await;
        if pools.runs.len() >= REMEMBERED {
            pools.runs.clear();
        }
        let of_run = match row {
            None => None,
            Some(row) => {
                let of_tasks = self.of_tasks(&row.workflow, pools).await;
                Some(Arc::new(RunPools { namespace: row.namespace, of_tasks }))
            }
        };
        pools.runs.insert(id.clone(), of_run);
    }

    async fn of_tasks(&self, id: &WorkflowId, pools: &mut Pools) -> Option<Arc<[String]>> {
        if let Some(known) = pools.revisions.get(id) {
            return known.clone();
        }
        let revision =
            self.patiently("It is not known whose lines these are", || self.store.revision(id)).await;
        if pools.revisions.len() >= REMEMBERED {
            pools.revisions.clear();
        }
        let workflow = revision.and_then(|revision| (self.compile)(&revision).ok());
        let of_tasks =
            workflow.map(|w| w.tasks.iter().map(|task| task.pool.clone()).collect::<Arc<[String]>>());
        pools.revisions.insert(id.clone(), of_tasks.clone());
        of_tasks
    }

    /// Does it again and again until it is done. The first failure of a row is worth a line in the log.
    async fn patiently<T, E, F>(&self, failure: &str, act: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        let mut wait = AGAIN_FIRST;
        loop {
            match act().await {
                Ok(done) => return done,
                Err(error) if wait == AGAIN_FIRST => {
                    tracing::warn!(error = %error, "{failure}; trying again")
                }
                Err(_) => {}
            }
            self.clock.sleep(wait).await;
            wait = wait.saturating_mul(2).min(AGAIN_LONGEST);
        }
    }
}
