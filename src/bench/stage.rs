//! Where it is measured: a database and a prefix of its own, the conductor in this process, workers as processes.

use std::{process::Stdio, sync::Arc, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::bench::{
    BenchError, Params,
    meter::{Meter, Seen},
    recorder::Recorder,
    shapes::{Maker, NAMESPACE, POOL, noops},
};
use crate::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, Handle, Limits, Older, Outlook, Submission,
};
use crate::link::{RedisSettings, worker_url};
use crate::model::{ids::ShardId, status::RunStatus};
use crate::queue::{
    Queue as _, Roster as _,
    redis::{self, RedisQueue, yardstick::Bare},
};
use crate::store::postgres::{PoolSettings, PostgresStore, migrate, yardstick};

/// Nothing that is measured takes longer, unless something is wrong.
const LONGEST: Duration = Duration::from_secs(600);
/// A worker has so long to end by itself.
const FAREWELL: Duration = Duration::from_secs(10);
/// Between two looks whether workers are there.
const LOOK: Duration = Duration::from_millis(20);

/// What is made for the bench, and goes with it.
pub struct Place {
    database: String,
    admin_url: String,
    /// The database's URL.
    pub database_url: String,
    /// With the prefix.
    pub redis: RedisSettings,
}

impl Place {
    /// Makes the database.
    pub async fn make(params: &Params) -> Result<Place, BenchError> {
        let word = uuid::Uuid::now_v7().simple().to_string();
        let database = format!("relay_bench_{}", &word[20..]);
        let redis = RedisSettings::new(&params.redis_url)?.with_prefix(&format!("bench-{}", &word[20..]))?;
        // Before anything is made.
        Bare::new(&redis)?.ping().await?;
        let made = yardstick::create(&params.database_url, &database).await;
        let database_url = made.map_err(BenchError::NoDatabase)?;
        Ok(Place { database, admin_url: params.database_url.clone(), database_url, redis })
    }

    /// A further database, empty, for what must not meet the first one's rows; its URL.
    pub async fn further(&self) -> Result<String, BenchError> {
        self.drop_further().await?;
        Ok(yardstick::create(&self.admin_url, &self.further_name()).await?)
    }

    /// Drops it.
    pub async fn drop_further(&self) -> Result<(), BenchError> {
        Ok(yardstick::drop_database(&self.admin_url, &self.further_name()).await?)
    }

    fn further_name(&self) -> String {
        format!("{}_more", self.database)
    }

    /// Takes everything away again.
    pub async fn clear(&self) -> Result<(), BenchError> {
        let keys = Bare::new(&self.redis)?.forget(&[POOL]).await;
        self.drop_further().await?;
        yardstick::drop_database(&self.admin_url, &self.database).await?;
        Ok(keys?)
    }
}

/// A conductor and its workers.
pub struct Stage {
    handle: Handle,
    params: Params,
    queue: Arc<RedisQueue>,
    pub meter: Arc<Meter>,
    pub recorder: Arc<Recorder>,
    conductor: JoinSet<Result<Counters, ConductorError>>,
    workers: Vec<Child>,
    stop: CancellationToken,
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

impl Stage {
    /// Leads every shard, and waits for the workers.
    pub async fn open(params: &Params, place: &Place) -> Result<Stage, BenchError> {
        migrate::up(&place.database_url, None).await?;
        let store = PostgresStore::connect(&PoolSettings::new(&place.database_url)).await?;
        let recorder = Arc::new(Recorder::new(Arc::new(store)));
        let queue = Arc::new(RedisQueue::new(&place.redis, redis::Limits::default())?);
        let meter = Arc::new(Meter::new(params.clock.clone()));
        let outlook = Arc::new(Outlook::default());
        // As a WorkerPool's keeper tells it.
        let slots = usize::try_from(params.workers).unwrap_or(1) * usize::from(params.slots);
        outlook.keep_slots(POOL, slots);
        let (conductor, handle) = Conductor::new(crate::conductor::Params {
            store: recorder.clone(),
            queue: queue.clone(),
            feed: meter.clone(),
            clock: params.clock.clone(),
            compile: compile(&params.compile),
            holder: "bench".to_owned(),
            shards: every_shard(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits: Limits::default(),
            outlook: Some(outlook),
        });
        let (stop, mut conducting) = (CancellationToken::new(), JoinSet::new());
        conducting.spawn(conductor.run(stop.clone()));
        let (params, workers) = (params.clone(), Vec::new());
        let mut stage =
            Stage { handle, params, queue, meter, recorder, conductor: conducting, workers, stop };
        if stage.handle.live().await.is_none() {
            return Err(stage.why().await);
        }
        stage.hire(place).await?;
        Ok(stage)
    }

    /// Starts the workers, and waits until the queue knows them.
    async fn hire(&mut self, place: &Place) -> Result<(), BenchError> {
        let password = uuid::Uuid::now_v7().simple().to_string();
        self.queue.admit(POOL, &password).await?;
        let url = worker_url(&self.params.redis_url, &self.queue.user(POOL), &password)?;
        for number in 0..self.params.workers {
            let mut command = Command::new(&self.params.program);
            command
                .args(["worker", "--pool", POOL, "--name", &format!("bench-{number}")])
                .args(["--slots", &self.params.slots.to_string(), "--redis-prefix", place.redis.prefix()])
                .env("RELAY_REDIS_URL", &url)
                .env("RELAY_LOG", "error")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true);
            let started = |why| BenchError::Machine { what: "starting a worker", why };
            self.workers.push(command.spawn().map_err(started)?);
        }
        let wanted = self.workers.len();
        let there = async {
            loop {
                let found = self.queue.census(self.params.clock.now()).await?.present.len();
                if found >= wanted {
                    return Ok(());
                }
                self.params.clock.sleep(LOOK).await;
            }
        };
        let late = || BenchError::Wrong("the workers did not come within a minute".to_owned());
        tokio::time::timeout(Duration::from_secs(60), there).await.map_err(|_| late())?
    }

    /// Why the conductor has ended.
    async fn why(&mut self) -> BenchError {
        match self.conductor.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            other => BenchError::Wrong(format!("the conductor ended: {other:?}")),
        }
    }

    /// Makes so many runs at once, and waits for the end of all.
    pub async fn play(&mut self, maker: &Maker, runs: usize) -> Result<Timing, BenchError> {
        let clock = self.params.clock.clone();
        let submissions: Vec<Submission> =
            (0..runs).map(|_| maker.submission(&clock)).collect::<Result<_, _>>()?;
        self.meter.begin();
        let mut accepted = None;
        let mut answers = JoinSet::new();
        for submission in submissions {
            let (handle, clock) = (self.handle.clone(), clock.clone());
            answers.spawn(async move { handle.submit(submission).await.map(|()| clock.running()) });
        }
        while let Some(answer) = answers.join_next().await {
            let at = answer.map_err(|e| BenchError::Wrong(e.to_string()))??;
            accepted = Some(accepted.map_or(at, |first: Duration| first.min(at)));
        }
        let (meter, mut ended) = (self.meter.clone(), None);
        tokio::select! {
            biased;
            seen = meter.ends(runs) => ended = Some(seen),
            () = clock.sleep(LONGEST) => {}
            _ = self.conductor.join_next() => {}
        }
        let late = || BenchError::Wrong(format!("the runs did not end within {} s", LONGEST.as_secs()));
        let seen = ended.ok_or_else(late)?;
        if let Some((run, (status, _))) =
            seen.runs.iter().find(|(_, (status, _))| *status != RunStatus::Success)
        {
            return Err(BenchError::Wrong(format!("the run {run} ended in {status}")));
        }
        let last = seen.runs.values().map(|(_, at)| *at).max().unwrap_or_default();
        Ok(Timing { accepted: accepted.unwrap_or_default(), ended: last, seen })
    }

    /// Ends everything in order.
    pub async fn close(mut self) -> Result<(), BenchError> {
        for worker in &mut self.workers {
            end(worker).await.map_err(|why| BenchError::Machine { what: "ending a worker", why })?;
        }
        self.queue.dismiss(POOL).await?;
        self.stop.cancel();
        match self.conductor.join_next().await {
            Some(Ok(Ok(_))) => Ok(()),
            Some(Ok(Err(error))) => Err(error.into()),
            other => Err(BenchError::Wrong(format!("the conductor ended: {other:?}"))),
        }
    }
}

/// Lets a worker say good-bye: one that is only gone counts as present for a while, also to whoever is measured next.
async fn end(worker: &mut Child) -> std::io::Result<()> {
    let pid = worker.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        kill_process(pid, Signal::TERM)?;
    }
    match tokio::time::timeout(FAREWELL, worker.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => worker.kill().await,
    }
}

/// Everything is led from here.
pub fn every_shard() -> Vec<ShardId> {
    (0..ShardId::COUNT).filter_map(ShardId::new).collect()
}

/// As definitions are made ready, with no-ops in the bench's own.
fn compile(usual: &Compile) -> Compile {
    let usual = usual.clone();
    Arc::new(move |revision| match revision.namespace == NAMESPACE {
        true => usual(revision).map(noops),
        false => usual(revision),
    })
}
