//! `relay redis-user`: its arguments.

use crate::cli::worker::pool;

/// Print the command that makes the user of a pool's workers in Redis, for redis.acl External
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Put a password in the place of PASSWORD, and say the command to Redis, for example by redis-cli.
The URL for the Secret is then redis://USER:PASSWORD@HOST:PORT, with rediss:// for TLS; it goes
into the Secret relay-POOL-redis-external of the pool's namespace, under the key url. After an
upgrade of Relay say the command again: what workers may do is as this relay needs it.")]
pub struct Args {
    /// Whose workers
    #[arg(value_name = "NAMESPACE/POOL", value_parser = pool)]
    pub pool: String,
    /// Keys and users in Redis begin with this word: as the operator's
    #[arg(long, value_name = "WORD", env = "RELAY_REDIS_PREFIX", default_value = "relay")]
    pub redis_prefix: String,
}
