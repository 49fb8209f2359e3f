//! The command line and the wiring: the one place that picks Postgres, Redis or memory.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser as _;

use relay::cli::{self, migrate::show};
use relay::clock::Clock;
use relay::conductor::Compile;
use relay::feed::memory::MemoryFeed;
use relay::local::{self, Approve, Asks, Parts, Request, Source};
use relay::queue::memory::MemoryQueue;
use relay::store::Store;
use relay::store::postgres::{PostgresStore, migrate};
use relay::{crd, feed, queue};

mod wiring;

/// The exit status for input that was refused.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let relay = cli::Relay::parse();
    if let Some(done) = at_once(&relay.verb) {
        return done;
    }
    wiring::begin_logging(&relay.verb);
    let runtime = match threads(&relay.verb).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match relay.verb {
            cli::Verb::Run(args) => run(*args).await,
            cli::Verb::Logs(args) => cli::logs::show(*args).await,
            cli::Verb::Operator(args) => run_operator(*args).await,
            cli::Verb::Crds(args) => cli::crds::show(&args),
            cli::Verb::Migrate(verb) => run_migrate(verb).await,
            cli::Verb::Worker(args) => told(wiring::worker::run(&args).await),
            cli::Verb::Bench(args) => run_bench(*args).await,
            cli::Verb::BenchConductor(args) => told(wiring::bench::conductor(*args, compile()).await),
            cli::Verb::Install(_) | cli::Verb::Probe(_) | cli::Verb::RedisUser(_) => ExitCode::SUCCESS,
        }
    })
}

/// A thread a core; for a worker this one alone. It is one future, and what it talks by is soon done: a second thread would take that
/// over, and wake it for each answer; and the kernel would wake one that only waits for each task that ends while another starts.
fn threads(verb: &cli::Verb) -> tokio::runtime::Builder {
    match verb {
        cli::Verb::Worker(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// What needs no threads and no logs: a probe is asked every other second.
fn at_once(verb: &cli::Verb) -> Option<ExitCode> {
    match verb {
        cli::Verb::Probe(args) if args.file.exists() => Some(ExitCode::SUCCESS),
        cli::Verb::Probe(_) => Some(ExitCode::FAILURE),
        cli::Verb::RedisUser(args) => {
            println!("{}", queue::redis::user_command(&args.redis_prefix, &args.pool, "PASSWORD"));
            Some(ExitCode::SUCCESS)
        }
        cli::Verb::Install(args) => Some(told(wiring::worker::install(&args.dir))),
        cli::Verb::Worker(args) if !args.redis_url_on_stdin => {
            Some(told(Err(wiring::worker::hide_credentials(args))))
        }
        _ => None,
    }
}

fn told(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_migrate(verb: cli::migrate::Verb) -> ExitCode {
    use cli::migrate::Verb;
    match verb {
        Verb::Up { database, to } => show(migrate::up(&database.url, to).await),
        Verb::Down { database, to } => show(migrate::down(&database.url, to).await),
        Verb::Version { database } => show(migrate::version(&database.url).await),
    }
}

async fn run_operator(args: cli::operator::Args) -> ExitCode {
    match wiring::operator(args, compile()).await {
        Ok(()) => ExitCode::SUCCESS,
        // It is in the log.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run_bench(args: cli::bench::Args) -> ExitCode {
    match wiring::bench::workloads(&args) {
        Ok(workloads) => told(wiring::bench::bench(args, workloads, compile()).await),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

async fn run(args: cli::run::Args) -> ExitCode {
    let request = match request(&args) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(REFUSED);
        }
    };
    let clock = Clock::system();
    // The input first: what is wrong with it is told before a database is touched.
    let chosen = match local::choose(&request, &clock) {
        Ok(chosen) => chosen,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(error.code());
        }
    };
    let parts = match parts(&args, clock).await {
        Ok(parts) => parts,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(REFUSED);
        }
    };
    match local::run(request, chosen, parts, compile(), Box::new(io::stdout())).await {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}

fn request(args: &cli::run::Args) -> Result<Request, String> {
    let source = match (&args.resume, &args.file) {
        (Some(id), _) => Source::Resume(id.clone()),
        (None, Some(path)) => Source::File { path: path.clone(), workflow: args.workflow.clone() },
        (None, None) => return Err("a FILE or --resume is needed".to_owned()),
    };
    let tasks: BTreeSet<String> = args.approve.iter().filter(|task| !task.is_empty()).cloned().collect();
    let of_shell = |name: &str| std::env::var(name).ok();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Ok(Request {
        source,
        params: args.param.clone(),
        params_file: args.params.clone(),
        approve: Approve { all: args.approve.iter().any(String::is_empty), tasks },
        slots: args.slots.map_or(cores, usize::from),
        env: args.environment(of_shell)?,
        grace: Duration::from_secs(args.grace),
        user: of_shell("USER").or_else(|| of_shell("LOGNAME")).unwrap_or_else(|| "local".to_owned()),
        asks: match (io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()) {
            (true, true, _) => Asks::OnOutput,
            (true, false, true) => Asks::OnErrorToo,
            _ => Asks::Nowhere,
        },
        colour: io::stdout().is_terminal() && of_shell("NO_COLOR").is_none_or(|v| v.is_empty()),
    })
}

async fn parts(args: &cli::run::Args, clock: Clock) -> anyhow::Result<Parts> {
    let store: Arc<dyn Store> = match &args.database_url {
        None => wiring::stores::memory_store(&clock),
        Some(url) => {
            if args.migrate {
                migrate::up(url, None).await.context("the database could not be migrated")?;
            }
            Arc::new(PostgresStore::connect(&wiring::stores::pool_settings(url, &args.connections)).await?)
        }
    };
    let queue = Arc::new(MemoryQueue::new(queue::memory::Limits::default()));
    let feed = Arc::new(MemoryFeed::new(feed::memory::Limits::default()));
    Ok(Parts { store, queue: queue.clone(), jobs: queue, feed, clock, durable: args.database_url.is_some() })
}

/// Stored revisions become what the engine runs by the same way as manifests.
fn compile() -> Compile {
    Arc::new(|revision| crd::compile(revision).map_err(|findings| findings.to_string()))
}
