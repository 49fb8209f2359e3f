//! `relay operator`: its arguments.

use std::net::SocketAddr;

use crate::cli::{connections::Connections, retention::Retention};

/// Run Workflows and Runs of a cluster: what the chart's Deployment starts
#[derive(clap::Args)]
#[command(after_help = "\
It finds the cluster by $KUBECONFIG, or by the ServiceAccount of its pod. It brings the database's
schema up to date first. Several may run: one leads, the others stand by and take over. With
--leaders several lead at a time, each a part of the namespaces; each also takes over for others.

Probes on --listen: /livez, /readyz, and /health as JSON; they tell states alone. The API on
--api-listen asks nobody who they are, so it stays on loopback; `relay logs` reaches it by a
port-forward. Its /health says why a check fails.

Exit status:
  0    ended by SIGTERM or SIGINT, in order
  1    something it cannot go on without was refused, or another operator has taken over
  2    wrong usage

RELAY_LOG=debug tells more on standard error; RELAY_LOG=info is what it tells by default.")]
pub struct Args {
    /// The database, as postgres://user:password@host:5432/database
    #[arg(
        long,
        value_name = "URL",
        env = "RELAY_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "store"
    )]
    pub database_url: Option<String>,
    /// `memory`: no database, and everything is lost with this process; to try things out
    #[arg(long, value_name = "STORE", env = "RELAY_STORE", conflicts_with = "database_url")]
    pub store: Option<StoreKind>,
    /// Redis, as redis://user:password@host:6379, or rediss:// for TLS
    #[arg(long, value_name = "URL", env = "RELAY_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// Redis as workers reach it, without user and password [default: as the operator does]
    #[arg(long, value_name = "URL", env = "RELAY_WORKER_REDIS_URL")]
    pub worker_redis_url: Option<String>,
    /// Who makes the users by which workers log in to Redis
    #[arg(long, value_name = "WHO", env = "RELAY_REDIS_ACL", default_value = "Managed", ignore_case = true)]
    pub redis_acl: RedisAcl,
    /// The authorities of Redis' certificate, for operator and workers: a file, or its text (PEM) [default: those of the image]
    #[arg(long, value_name = "FILE", env = "RELAY_REDIS_CA", hide_env_values = true)]
    pub redis_ca: Option<String>,
    /// The image of Relay, from which workers get the relay binary
    #[arg(long, value_name = "IMAGE", env = "RELAY_IMAGE")]
    pub image: String,
    /// Where probes are answered
    #[arg(long, value_name = "ADDRESS", env = "RELAY_LISTEN", default_value = "0.0.0.0:8081")]
    pub listen: SocketAddr,
    /// Where the API answers; an address of loopback
    #[arg(long, value_name = "ADDRESS", env = "RELAY_API_LISTEN", default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub api_listen: SocketAddr,
    /// Take over a database that another cluster's operator wrote
    #[arg(long, env = "RELAY_ADOPT_CLUSTER")]
    pub adopt_cluster: bool,
    /// Go on from a database that was set back to an older state, or is another one; what was done since may be done again
    #[arg(long, env = "RELAY_ACCEPT_OLDER_STATE")]
    pub accept_older_state: bool,
    /// How many operators lead at a time, each a part of the namespaces; the others stand by. All of them are told the same
    #[arg(long, value_name = "N", env = "RELAY_LEADERS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub leaders: u32,
    /// How long a run that has ended is kept, with its history and logs, as in 30d or 12h; `forever`: always
    #[arg(long, value_name = "TIME", env = "RELAY_RETENTION", default_value = "30d")]
    pub retention: Retention,
    /// How lines are logged
    #[arg(long, value_name = "FORMAT", env = "RELAY_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// The connections to that database.
    #[command(flatten)]
    pub connections: Connections,
}

/// Where runs are kept without a database.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In this process.
    Memory,
}

/// Who makes the users by which workers log in to Redis.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisAcl {
    /// The operator, one a pool; its own user must be able to (ACL SETUSER, USERS and DELUSER)
    #[value(name = "Managed")]
    Managed,
    /// Somebody else, with a Secret relay-POOL-redis-external a pool; `relay redis-user` prints the command
    #[value(name = "External")]
    External,
    /// Nobody: workers log in as the operator does, and no pool is safe from another; to try things out
    #[value(name = "Off")]
    Off,
}

/// How lines are logged.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

impl std::fmt::Debug for Args {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("store", &self.store)
            .field("image", &self.image)
            .field("listen", &self.listen)
            .field("api_listen", &self.api_listen)
            .finish_non_exhaustive()
    }
}

/// The API asks nobody who they are.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address reads like 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("the API asks nobody who they are, so it answers on loopback only, as 127.0.0.1:8080".to_owned())
}
