//! `relay worker`: from arguments to a worker at work.
//!
//! The credentials come by the environment, which every process of the same user can read in /proc. So the program
//! first puts itself in its own place, without them in environment and arguments; what comes through a pipe is gone
//! once it is read. From then on the kernel shows nobody without privileges its memory, files or environment. What this
//! does not keep out: root with CAP_SYS_PTRACE in the same pod, and whoever may read the Secret.

mod desk;
mod install;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustix::process::DumpableBehavior;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use relay::cli::worker::{Args, without_url};
use relay::clock::Clock;
use relay::feed::{self, redis::RedisFeed};
use relay::queue::{Pools, redis::RedisJobs};
use relay::worker::{
    self, Links, Shutdown, Worker,
    process::{self, Processes},
    reaper,
};

use crate::wiring::stores::{authorities, redis_settings};
use desk::Desk;
pub use install::install;

/// The variable with the credentials.
const URL: &str = "RELAY_REDIS_URL";
/// The longest URL that is taken: it must fit into a pipe.
const URL_BYTES: usize = 16 << 10;

/// What could not be shown is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts this program in its own place, with the URL in a pipe. Returns only when that failed.
pub fn hide_credentials(args: &Args) -> anyhow::Error {
    let hidden = || -> anyhow::Result<io::Error> {
        let url = args.redis_url.as_deref().unwrap_or_default();
        if url.len() > URL_BYTES {
            return Err(anyhow!("the Redis URL is longer than {URL_BYTES} bytes"));
        }
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(url.as_bytes())?;
        drop(writer);
        let given = without_url(std::env::args_os().skip(1));
        Ok(Command::new(program).arg0("relay").args(given).env_remove(URL).stdin(reader).exec())
    };
    hidden().map_or_else(|error| error, anyhow::Error::from).context("the credentials could not be hidden")
}

/// Takes the URL from standard input, which is empty from then on.
fn take_credentials() -> anyhow::Result<String> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("the worker cannot hide itself from its tasks")?;
    let mut url = String::new();
    io::stdin().lock().take(URL_BYTES as u64).read_to_string(&mut url).context("no Redis URL came")?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(url.trim().to_owned())
}

/// Works until it is told to end.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let url = take_credentials()?;
    let mut signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    reaper::adopt().context("processes without a parent could not be adopted")?;
    let desk = Desk::open(args.dir.as_deref())?;
    let shutdown = Shutdown::default();
    let clock = Clock::system();
    let worker = worker(args, &url, &desk, &clock)?;
    let ready = worker.ready();
    let ended = tokio::select! {
        biased;
        () = worker.run(shutdown.clone()) => Ok(()),
        never = reaper::reap(desk.tasks(), clock.clone()) => match never {},
        () = show_ready(ready, shutdown.drain.clone(), args.ready_file.as_deref(), &clock) => Ok(()),
        failed = listen(&mut signals, &shutdown) => failed,
    };
    if let Some(file) = &args.ready_file {
        remove(file).context("the file for readiness stays behind")?;
    }
    ended
}

fn worker(args: &Args, url: &str, desk: &Desk, clock: &Clock) -> anyhow::Result<Worker> {
    let random = uuid::Uuid::now_v7().simple().to_string();
    let name = args.name.clone().unwrap_or_else(machine);
    // A restarted container has the same name, and is another worker.
    let id = format!("{name}-{}", &random[22..]);
    let executor = Processes::new(
        process::Params {
            root: desk.tasks(),
            env: desk.environment(std::env::vars_os()),
            grace: Duration::from_secs(args.grace),
            spares: usize::from(args.slots),
        },
        clock,
    );
    let limits = worker::Limits { drain: args.drain(), ..worker::Limits::default() };
    let params =
        worker::Params { id, pools: Pools::One(args.pool.clone()), slots: usize::from(args.slots), limits };
    let ca = authorities(args.redis_ca.as_deref())?;
    let settings = redis_settings(url, ca.as_deref())?.with_prefix(&args.redis_prefix)?;
    let jobs = Arc::new(RedisJobs::new(&settings, &args.pool, &params.id)?);
    tracing::info!(worker.id = %params.id, pool = %args.pool, slots = args.slots, redis = settings.address(), "The worker starts");
    let feed = Arc::new(RedisFeed::new(&settings, &args.pool, feed::redis::Limits::default())?);
    let links = Links { jobs, feed, executor: Arc::new(executor), clock: clock.clone() };
    Ok(Worker::new(params, links))
}

/// The first signal drains, the second kills; for ever.
async fn listen(signals: &mut [io::Result<Signal>; 2], shutdown: &Shutdown) -> anyhow::Result<()> {
    let [Ok(terminate), Ok(interrupt)] = signals else { return Err(anyhow!("signals cannot be heard")) };
    for (words, token) in [("drains", &shutdown.drain), ("kills what runs", &shutdown.kill)] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("A signal came: the worker {words}");
        token.cancel();
    }
    std::future::pending().await
}

/// Keeps the file there while the worker is ready and does not drain; for ever.
async fn show_ready(
    mut ready: watch::Receiver<bool>,
    drain: CancellationToken,
    file: Option<&Path>,
    clock: &Clock,
) {
    while let Some(file) = file {
        let drains = drain.is_cancelled();
        let shown = if *ready.borrow_and_update() && !drains { fs::write(file, b"") } else { remove(file) };
        if let Err(error) = shown {
            tracing::warn!(path = %file.display(), "The file for readiness cannot be changed: {error}; trying again");
            clock.sleep(AGAIN).await;
            continue;
        }
        if drains {
            break;
        }
        tokio::select! {
            _ = ready.changed() => {}
            () = drain.cancelled() => {}
        }
    }
    std::future::pending().await
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The machine's name, which in a pod is the pod's.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "worker".to_owned() } else { name.to_owned() }
}
