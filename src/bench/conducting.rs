//! The conductor that is measured: over this Postgres and this Redis, with a meter for a feed.

use std::{sync::Arc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::task::{JoinSet, unconstrained};
use tokio_util::sync::CancellationToken;

use crate::bench::{
    BenchError,
    meter::{Meter, Seen},
    recorder::Recorder,
    shapes::{Maker, noops},
};
use crate::clock::Clock;
use crate::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, Handle, Housekeeping, Limits, Older, Outlook,
    Verdict, every_shard,
};
use crate::link::RedisSettings;
use crate::model::{
    ids::{RunId, ShardId},
    status::RunStatus,
    task_run::Decision,
};
use crate::queue::{
    Census, Queue as _, QueueError, Roster as _,
    redis::{self, RedisQueue},
};
use crate::store::postgres::{PoolSettings, PostgresStore};

/// Nothing that is measured takes longer, unless something is wrong.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Workers come within this time, and what they hold is seen.
const SOON: Duration = Duration::from_secs(60);
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(20);
/// Ids that are given back: those of many runs would be memory that is not the conductor's.
const NAMED: usize = 10;
/// Runs on their way to the conductor at a time, where thousands are only to be there.
const ON_THEIR_WAY: usize = 100;

/// Where a conductor works, and what it leads.
pub struct Post {
    pub database_url: String,
    /// With the prefix.
    pub redis: RedisSettings,
    /// Unique to it.
    pub holder: String,
    pub shards: Vec<ShardId>,
    /// When each task ended is kept: some bytes a task, which are not the conductor's.
    pub keeps_ends: bool,
}

/// A conductor at work.
pub struct Conducting {
    pub handle: Handle,
    pub queue: Arc<RedisQueue>,
    pub meter: Arc<Meter>,
    pub recorder: Arc<Recorder>,
    clock: Clock,
    outlook: Arc<Outlook>,
    running: JoinSet<Result<Counters, ConductorError>>,
    stop: CancellationToken,
}

/// Runs that are there.
pub struct Accepted {
    /// When the first of them was, by how long the clock had run.
    pub at: Duration,
    /// The ids of the first few.
    pub named: Vec<RunId>,
}

/// What came of some runs.
pub struct Timing {
    /// When the first of them was accepted, by how long the clock had run.
    pub accepted: Duration,
    /// When the last of them ended.
    pub ended: Duration,
    /// What was committed meanwhile.
    pub seen: Seen,
}

impl Timing {
    /// From the first acceptance to the last end.
    pub fn lasted(&self) -> Duration {
        self.ended.saturating_sub(self.accepted)
    }
}

impl Conducting {
    /// Leads its shards, and comes back once all live runs are loaded.
    pub async fn open(
        post: Post,
        clock: &Clock,
        usual: &Compile,
    ) -> Result<(Conducting, Vec<RunId>), BenchError> {
        let store = PostgresStore::connect(&PoolSettings::new(&post.database_url)).await?;
        let recorder = Arc::new(Recorder::new(Arc::new(store)));
        let queue = Arc::new(RedisQueue::new(&post.redis, redis::Limits::default())?);
        let meter = Arc::new(Meter::new(clock.clone(), post.keeps_ends));
        let outlook = Arc::new(Outlook::default());
        let (conductor, handle) = Conductor::new(crate::conductor::Params {
            store: recorder.clone(),
            queue: queue.clone(),
            feed: meter.clone(),
            clock: clock.clone(),
            compile: compile(usual),
            holder: post.holder,
            shards: post.shards,
            adopt: Adopt::All,
            older: Older::Untold,
            limits: Limits::default(),
            outlook: Some(outlook.clone()),
        });
        let (stop, mut running, clock) = (CancellationToken::new(), JoinSet::new(), clock.clone());
        running.spawn(conductor.run(stop.clone()));
        let mut opened = Conducting { handle, queue, meter, recorder, clock, outlook, running, stop };
        match opened.handle.live().await {
            Some(live) => Ok((opened, live.into_iter().map(|run| run.id).collect())),
            None => Err(opened.why().await),
        }
    }

    /// What removes runs that ended longer ago than they are kept, as in an operator: over connections of its own.
    pub async fn housekeeping(&self, url: &str, kept: Duration) -> Result<Housekeeping, BenchError> {
        let store = Arc::new(PostgresStore::connect(&PoolSettings::new(url)).await?);
        let (clock, outlook) = (self.clock.clone(), self.outlook.clone());
        let shards = every_shard().collect();
        Ok(Housekeeping { store, clock, outlook, shards, retention: Some(kept) })
    }

    /// Lets workers of a pool in, as a WorkerPool's keeper does.
    pub async fn admit(&self, pool: &str, password: &str, slots: usize) -> Result<(), BenchError> {
        self.outlook.keep_slots(pool, slots);
        Ok(self.queue.admit(pool, password).await?)
    }

    /// Waits until the queue's books are so.
    pub async fn books(&self, are_so: impl Fn(&Census) -> bool) -> Result<(), BenchError> {
        let there = async {
            while !are_so(&self.queue.census(self.clock.now()).await?) {
                self.clock.sleep(LOOK).await;
            }
            Ok::<(), QueueError>(())
        };
        let late =
            |_| BenchError::Wrong("the workers did not come, or take their jobs, within a minute".into());
        Ok(tokio::time::timeout(SOON, there).await.map_err(late)??)
    }

    /// Why the conductor has ended.
    async fn why(&mut self) -> BenchError {
        match self.running.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            other => BenchError::Wrong(format!("the conductor ended: {other:?}")),
        }
    }

    /// Makes so many runs, each of the next maker; `at_once` all together, otherwise some at a time.
    pub async fn submit(&self, makers: &[Maker], runs: usize, at_once: bool) -> Result<Accepted, BenchError> {
        let submission = |(_, maker): (usize, &Maker)| maker.submission(&self.clock);
        let mut further = (0..runs).zip(makers.iter().cycle()).map(submission);
        let most = if at_once { runs } else { ON_THEIR_WAY };
        // What is measured begins with the first word to the inbox, and not while runs are still being thought out.
        let mut first = further.by_ref().take(most).collect::<Result<Vec<_>, _>>()?.into_iter();
        let (mut answers, mut at, mut named) = (FuturesUnordered::new(), None, Vec::new());
        loop {
            while answers.len() < most {
                let Some(submission) = first.next().map(Ok).or_else(|| further.next()).transpose()? else {
                    break;
                };
                if named.len() < NAMED {
                    named.push(submission.run.id.clone());
                }
                let (handle, clock) = (self.handle.clone(), self.clock.clone());
                answers.push(async move { handle.submit(submission).await.map(|()| clock.running()) });
            }
            // In one breath: what is meant to come at once is not to come in the order in which threads wake up.
            let Some(answer) = unconstrained(answers.next()).await else { break };
            let now = answer?;
            at = Some(at.map_or(now, |first: Duration| first.min(now)));
        }
        Ok(Accepted { at: at.unwrap_or_default(), named })
    }

    /// Makes so many runs at once, and waits for the end of all.
    pub async fn play(&mut self, makers: &[Maker], runs: usize) -> Result<Timing, BenchError> {
        self.meter.begin();
        let accepted = self.submit(makers, runs, true).await?.at;
        let seen = self.ends(runs).await?;
        let last = seen.runs.values().map(|(_, at)| *at).max().unwrap_or_default();
        Ok(Timing { accepted, ended: last, seen })
    }

    /// Waits for the end of so many runs.
    pub async fn ends(&mut self, runs: usize) -> Result<Seen, BenchError> {
        let (meter, clock) = (self.meter.clone(), self.clock.clone());
        let seen = tokio::select! {
            biased;
            seen = meter.ends(runs) => seen,
            () = clock.sleep(LONGEST) => {
                let why = format!("the runs did not end within {} s", LONGEST.as_secs());
                return Err(BenchError::Wrong(why));
            }
            ended = self.running.join_next() => {
                return Err(BenchError::Wrong(format!("the conductor ended: {ended:?}")));
            }
        };
        for (run, (status, _)) in &seen.runs {
            ended_well(run, *status)?;
        }
        Ok(seen)
    }

    /// Approves the first task of so many runs, and waits for their ends.
    pub async fn approve(&mut self, live: &[RunId], task: &str) -> Result<(), BenchError> {
        self.meter.begin();
        for run in live {
            let verdict = Verdict {
                run: run.clone(),
                task: task.to_owned(),
                asking: None,
                user: "bench".to_owned(),
                decision: Decision::Approved,
                note: None,
                verified: false,
            };
            let decided = self.handle.decide(verdict).await;
            decided.map_err(|e| BenchError::Wrong(format!("an approval was refused: {e}")))?;
        }
        self.ends(live.len()).await.map(drop)
    }

    /// Cancels these runs, and waits for their ends.
    pub async fn cancel(&mut self, runs: &[RunId]) -> Result<(), BenchError> {
        self.meter.begin();
        for run in runs {
            let told = self.handle.cancel(run.clone(), false).await;
            told.map_err(|e| BenchError::Wrong(format!("a cancel was refused: {e}")))?;
        }
        let ended = tokio::time::timeout(SOON, self.meter.ends(runs.len())).await;
        ended
            .map(drop)
            .map_err(|_| BenchError::Wrong("cancelled runs did not end within a minute".to_owned()))
    }

    /// Ends in order.
    pub async fn close(mut self) -> Result<(), BenchError> {
        self.stop.cancel();
        match self.running.join_next().await {
            Some(Ok(Ok(_))) => Ok(()),
            Some(Ok(Err(error))) => Err(error.into()),
            other => Err(BenchError::Wrong(format!("the conductor ended: {other:?}"))),
        }
    }
}

/// Nothing that is measured may fail.
pub fn ended_well(run: &RunId, status: RunStatus) -> Result<(), BenchError> {
    match status {
        RunStatus::Success => Ok(()),
        other => Err(BenchError::Wrong(format!("the run {run} ended in {other}"))),
    }
}

/// As definitions are made ready, with no-ops where they are meant: the database is the bench's own.
fn compile(usual: &Compile) -> Compile {
    let usual = usual.clone();
    Arc::new(move |revision| usual(revision).map(noops))
}
