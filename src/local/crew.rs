//! The conductor and the worker of this process, at work.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, DecideError, Handle, Limits, Older,
};
use crate::local::{LocalError, Parts, Request};
use crate::model::ids::{RunId, ShardId};
use crate::queue::Pools;
use crate::worker::{
    self, Links, Shutdown, Worker,
    process::{self, Processes},
};

/// How long a conductor may take for each of its last steps when everything is killed.
const FAREWELL: Duration = Duration::from_secs(1);

/// Jobs that wait in a pool's queue: at least so many, and enough that no slot waits for the next commit.
const WINDOW: usize = 1_000;

/// What they are to do.
pub(super) struct Orders {
    /// The name under which they lead and claim.
    pub(super) holder: String,
    /// The shards to lead.
    pub(super) shards: Vec<ShardId>,
    /// A run of the store to go on with.
    pub(super) resume: Option<RunId>,
}

/// The conductor and the worker.
pub(super) struct Crew {
    pub(super) handle: Handle,
    conductor: JoinSet<Result<Counters, ConductorError>>,
    worker: JoinSet<()>,
    stop: CancellationToken,
    shutdown: Shutdown,
    /// Holds the directories of attempts, and takes them along at the end.
    _scratch: tempfile::TempDir,
}

impl Crew {
    pub(super) fn start(
        request: &Request,
        parts: &Parts,
        compile: Compile,
        orders: Orders,
    ) -> Result<Crew, LocalError> {
        let scratch = tempfile::Builder::new().prefix("relay-run-").tempdir();
        let scratch =
            scratch.map_err(|why| LocalError::Machine { what: "making a folder for tasks", why })?;
        let (conductor, handle) = Conductor::new(crate::conductor::Params {
            store: parts.store.clone(),
            queue: parts.queue.clone(),
            feed: parts.feed.clone(),
            clock: parts.clock.clone(),
            compile,
            holder: orders.holder.clone(),
            shards: orders.shards,
            adopt: Adopt::Resume(orders.resume.into_iter().collect()),
            older: Older::Untold,
            outlook: None,
            limits: Limits { window: WINDOW.max(request.slots.saturating_mul(4)), ..Limits::default() },
        });
        let executor = Processes::new(
            process::Params {
                root: scratch.path().to_owned(),
                env: request.env.clone(),
                grace: request.grace,
                spares: 0,
            },
            &parts.clock,
        );
        let params = worker::Params {
            id: orders.holder,
            pools: Pools::Every,
            slots: request.slots,
            limits: worker::Limits::default(),
        };
        let links = Links {
            jobs: parts.jobs.clone(),
            feed: parts.feed.clone(),
            executor: Arc::new(executor),
            clock: parts.clock.clone(),
        };
        let (stop, shutdown) = (CancellationToken::new(), Shutdown::default());
        let (mut conducting, mut working) = (JoinSet::new(), JoinSet::new());
        conducting.spawn(conductor.run(stop.clone()));
        working.spawn(Worker::new(params, links).run(shutdown.clone()));
        Ok(Crew { handle, conductor: conducting, worker: working, stop, shutdown, _scratch: scratch })
    }

    /// Waits until the conductor or the worker has ended though nobody asked it to, and says why.
    pub(super) async fn ended(&mut self) -> LocalError {
        tokio::select! {
            biased;
            told = self.conductor.join_next() => match told {
                Some(Ok(Err(why))) => LocalError::Conductor(why),
                Some(Ok(Ok(_))) | None => LocalError::Broken("the conductor has stopped".to_owned()),
                Some(Err(panic)) => LocalError::Broken(format!("the conductor broke: {panic}")),
            },
            told = self.worker.join_next() => LocalError::Broken(match told {
                Some(Err(panic)) => format!("the worker broke: {panic}"),
                Some(Ok(())) | None => "the worker has stopped".to_owned(),
            }),
        }
    }

    /// Ends in order: the worker first, so that its last word is still taken. Dropping the future leaves the rest to
    /// `kill`.
    pub(super) async fn end(&mut self) {
        self.shutdown.drain.cancel();
        while self.worker.join_next().await.is_some() {}
        self.stop.cancel();
        while self.conductor.join_next().await.is_some() {}
    }

    /// Ends at once; every process is killed. What was asked of the conductor is taken still, and the shards are
    /// given up, so that a resumed run need not wait.
    pub(super) async fn kill(&mut self, asked: &mut JoinSet<Result<(), DecideError>>) {
        self.shutdown.kill.cancel();
        while self.worker.join_next().await.is_some() {}
        let taken = async { while asked.join_next().await.is_some() {} };
        // In time or not: then it was not.
        let _ = tokio::time::timeout(FAREWELL, taken).await;
        self.stop.cancel();
        let farewell = async { while self.conductor.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            self.conductor.abort_all();
        }
    }
}
