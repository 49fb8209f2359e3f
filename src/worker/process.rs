//! The executor of real life: each attempt a process group of its own, in a directory of its own.

use std::{
    collections::BTreeMap, io, os::unix::process::ExitStatusExt, path::PathBuf, pin::pin,
    process::ExitStatus, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use futures::future::join;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::feed::Stream;
use crate::model::{
    job::{Job, Outcome, Program},
    task::FailureKind,
};
use crate::worker::{
    Executor, group,
    log::LogSink,
    outputs,
    pump::{Tail, pump},
    scratch::{OUTPUT, Scratch},
    spare::Spares,
    spawn::{Running, SpawnError, start},
};

/// After a task's end by itself, what it left running may finish its output for so long (`> >(tee log)`).
const SETTLE: Duration = Duration::from_millis(500);

/// How tasks run on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Below it each attempt gets a directory.
    pub root: PathBuf,
    /// The environment that every task starts from.
    pub env: Vec<(String, String)>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// An attempt's directory is removed at its end; but so many that nothing was left in are kept for further attempts. It takes `reaper::adopt`: where that
    /// was not called, each attempt has a new one.
    pub spares: usize,
}

impl Params {
    /// The usual time between SIGTERM and SIGKILL.
    pub const GRACE: Duration = Duration::from_secs(10);
}

/// Runs jobs as processes.
#[derive(Clone, Debug)]
pub struct Processes {
    params: Params,
    spares: Arc<Spares>,
}

/// Why an attempt never got to an exit status.
#[derive(Debug, thiserror::Error)]
enum NotRun {
    #[error("its directory could not be made: {0}")]
    Scratch(io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("its end could not be awaited: {0}")]
    Wait(io::Error),
}

/// What brought the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Itself,
    Timeout,
    Cancel,
}

impl Processes {
    /// An executor; nothing is made on disk before the first job.
    pub fn new(params: Params, clock: &Clock) -> Processes {
        let spares = Arc::new(Spares::new(&params.root, params.spares, clock));
        Processes { params, spares }
    }

    async fn attempt(&self, job: &Job, cancel: CancellationToken, log: LogSink) -> Result<Outcome, NotRun> {
        if cancel.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        if job.program == Program::Noop {
            return Ok(Outcome::Success { outputs: BTreeMap::new() });
        }
        let scratch = self.spares.take(job).map_err(NotRun::Scratch)?;
        let ran = self.run(job, cancel, log, &scratch).await;
        let outcome = ran.map(|(status, cause, tail)| verdict(job, status, cause, &tail, &scratch));
        self.spares.give_back(scratch).await;
        outcome
    }

    async fn run(
        &self,
        job: &Job,
        cancel: CancellationToken,
        log: LogSink,
        scratch: &Scratch,
    ) -> Result<(ExitStatus, Cause, Tail), NotRun> {
        let mut running = start(job, &self.params.env, scratch).await?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let ended = CancellationToken::new();
        let mut pumps = pin!(join(
            pump(stdout, Stream::Stdout, &log, &ended),
            pump(stderr, Stream::Stderr, &log, &ended),
        ));
        let mut tail = None;
        let (status, cause) = {
            let mut life = pin!(self.supervise(&mut running, job.timeout, cancel));
            loop {
                tokio::select! {
                    biased;
                    end = &mut life => break end.map_err(NotRun::Wait)?,
                    (_, stderr) = &mut pumps, if tail.is_none() => tail = Some(stderr),
                }
            }
        };
        if tail.is_none() && cause == Cause::Itself {
            tail = timeout(SETTLE, &mut pumps).await.ok().map(|(_, stderr)| stderr);
        }
        running.group.kill();
        ended.cancel();
        let tail = match tail {
            Some(tail) => tail,
            None => pumps.await.1,
        };
        Ok((status, cause, tail))
    }

    /// Waits for the end of the process, and brings it about when its time is over.
    async fn supervise(
        &self,
        running: &mut Running,
        limit: Option<Duration>,
        cancel: CancellationToken,
    ) -> io::Result<(ExitStatus, Cause)> {
        let time_over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let cause = tokio::select! {
            biased;
            // A result that comes first stands.
            status = running.child.wait() => return Ok((status?, Cause::Itself)),
            () = cancel.cancelled() => Cause::Cancel,
            () = time_over => Cause::Timeout,
        };
        running.group.terminate();
        let status = match timeout(self.params.grace, running.child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                running.group.kill();
                running.child.wait().await?
            }
        };
        Ok((status, cause))
    }
}

#[async_trait]
impl Executor for Processes {
    async fn execute(&self, job: &Job, cancel: CancellationToken, log: LogSink) -> Outcome {
        self.attempt(job, cancel, log).await.unwrap_or_else(|error| Outcome::Failed {
            kind: FailureKind::Error,
            output_invalid: false,
            exit_code: None,
            message: error.to_string(),
        })
    }
}

fn verdict(job: &Job, status: ExitStatus, cause: Cause, tail: &Tail, scratch: &Scratch) -> Outcome {
    let failed = |kind, message| Outcome::Failed {
        kind,
        output_invalid: false,
        exit_code: exit_code(status),
        message,
    };
    match cause {
        Cause::Cancel => Outcome::Cancelled,
        Cause::Timeout => {
            let limit = job.timeout.unwrap_or_default();
            failed(FailureKind::Timeout, told(format!("it ran longer than its timeout of {limit:?}"), tail))
        }
        Cause::Itself if status.success() => {
            match outputs::read(scratch.handle(), OUTPUT)
                .and_then(|bytes| outputs::parse(&bytes, &job.outputs))
            {
                Ok(outputs) => Outcome::Success { outputs },
                Err(error) => Outcome::Failed {
                    kind: FailureKind::Error,
                    output_invalid: true,
                    exit_code: exit_code(status),
                    message: error.to_string(),
                },
            }
        }
        Cause::Itself => {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended with status {code}"),
                (None, Some(9)) => format!("it was killed by {}, perhaps for want of memory", group::name(9)),
                (None, Some(signal)) => format!("it was killed by {}", group::name(signal)),
                (None, None) => "it ended in an unknown way".to_owned(),
            };
            failed(FailureKind::ExitCode, told(how, tail))
        }
    }
}

/// The exit status as a shell tells it: 128 and the number of the signal for what was killed.
fn exit_code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

fn told(how: String, tail: &Tail) -> String {
    match tail.text() {
        Some(text) => format!("{how}; last on stderr: {text}"),
        None => how,
    }
}
