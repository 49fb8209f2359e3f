//! The conductor and the worker of this process, at work.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::conductor::{Adopt, Compile, Conductor, ConductorError, Counters, Handle, Limits};
use crate::local::{LocalError, Parts, Request};
use crate::model::ids::{RunId, ShardId};
use crate::queue::Pools;
use crate::worker::{
    self, Links, Shutdown, Worker,
    process::{self, Processes},
};

/// How long a conductor may take to give its shards up when everything is killed.
const FAREWELL: Duration = Duration::from_secs(1);

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
            limits: Limits::default(),
        });
        let executor = Processes::new(process::Params {
            root: scratch.path().to_owned(),
            env: request.env.clone(),
            grace: request.grace,
        });
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

    /// Waits until the conductor has ended though nobody asked it to, and says why.
    pub(super) async fn ended(&mut self) -> LocalError {
        match self.conductor.join_next().await {
            Some(Ok(Err(why))) => LocalError::Conductor(why),
            Some(Ok(Ok(_))) | None => LocalError::Broken("it has stopped".to_owned()),
            Some(Err(panic)) => LocalError::Broken(panic.to_string()),
        }
    }

    /// Ends in order: the worker first, so that its last word is still taken.
    pub(super) async fn end(mut self) {
        self.shutdown.drain.cancel();
        while self.worker.join_next().await.is_some() {}
        self.stop.cancel();
        while self.conductor.join_next().await.is_some() {}
    }

    /// Ends at once; every process is killed. The shards are given up, so that a resumed run need not wait.
    pub(super) async fn kill(mut self) {
        self.stop.cancel();
        self.shutdown.kill.cancel();
        while self.worker.join_next().await.is_some() {}
        let farewell = async { while self.conductor.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            self.conductor.abort_all();
        }
    }
}
