//! The command line and the wiring: the one place that picks Postgres, Redis or memory.

use std::process::ExitCode;

use clap::Parser;
use relay::cli;
use relay::store::postgres::migrate;

/// Workflows as Kubernetes objects, on warm workers.
#[derive(clap::Parser)]
#[command(name = "relay", version)]
struct Relay {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Bring a database to the schema that this relay needs, or back
    #[command(subcommand)]
    Migrate(cli::migrate::Verb),
}

fn main() -> anyhow::Result<ExitCode> {
    let relay = Relay::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        match relay.verb {
            Verb::Migrate(verb) => run_migrate(verb).await,
        }
    }))
}

async fn run_migrate(verb: cli::migrate::Verb) -> ExitCode {
    use cli::migrate::{Verb, show};
    match verb {
        Verb::Up { database, to } => show(migrate::up(&database.url, to).await),
        Verb::Down { database, to } => show(migrate::down(&database.url, to).await),
        Verb::Version { database } => show(migrate::version(&database.url).await),
    }
}
