//! Workers as processes.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::bench::{BenchError, Params};
use crate::link::{RedisSettings, keys, worker_url};

/// A process has so long to end by itself.
pub const FAREWELL: Duration = Duration::from_secs(10);

/// The workers of a bench.
#[derive(Default)]
pub struct Crew {
    workers: Vec<Child>,
}

impl Crew {
    /// Starts a worker of a pool that lets it in.
    pub fn hire(
        &mut self,
        params: &Params,
        redis: &RedisSettings,
        (pool, password): (&str, &str),
        slots: u16,
    ) -> Result<(), BenchError> {
        let url = worker_url(&params.redis_url, &keys::user(redis.prefix(), pool), password)?;
        let mut command = Command::new(&params.program);
        command
            .args(["worker", "--pool", pool, "--name", &format!("bench-{}", self.workers.len())])
            .args(["--slots", &slots.to_string(), "--redis-prefix", redis.prefix()])
            .env("RELAY_REDIS_URL", &url)
            .env("RELAY_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let started = command.spawn();
        self.workers.push(started.map_err(|why| BenchError::Machine { what: "starting a worker", why })?);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Lets all of them say good-bye: one that is only gone counts as present for a while, also to whoever is measured next.
    pub async fn go(&mut self) -> Result<(), BenchError> {
        for worker in &self.workers {
            tell(worker).map_err(|why| BenchError::Machine { what: "ending a worker", why })?;
        }
        for mut worker in self.workers.drain(..) {
            let ended = end(&mut worker).await;
            ended.map_err(|why| BenchError::Machine { what: "ending a worker", why })?;
        }
        Ok(())
    }
}

fn tell(process: &Child) -> std::io::Result<()> {
    match process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        Some(pid) => Ok(kill_process(pid, Signal::TERM)?),
        None => Ok(()),
    }
}

/// Waits until a process that was told to has ended; it is ended when it takes too long.
pub async fn end(process: &mut Child) -> std::io::Result<()> {
    match tokio::time::timeout(FAREWELL, process.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => process.kill().await,
    }
}
