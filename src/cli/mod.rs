//! What people type and what they read. One file a verb.

pub mod bench;
pub mod connections;
pub mod crds;
pub mod logs;
pub mod migrate;
pub mod operator;
pub mod redis_user;
pub mod retention;
pub mod run;
pub mod worker;

/// Workflows as Kubernetes objects, on warm workers, with every state change in Postgres.
#[derive(clap::Parser, Debug)]
#[command(name = "relay", version)]
pub struct Relay {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    Run(Box<run::Args>),
    Logs(Box<logs::Args>),
    Operator(Box<operator::Args>),
    Crds(crds::Args),
    /// Bring a database to the schema that this relay needs, or back
    #[command(subcommand)]
    Migrate(migrate::Verb),
    RedisUser(redis_user::Args),
    Bench(Box<bench::Args>),
    /// What `bench` starts where a conductor has a process of its own.
    #[command(hide = true)]
    BenchConductor(Box<bench::Conductor>),
    Worker(Box<worker::Args>),
    Install(worker::Install),
    Probe(worker::Probe),
}
