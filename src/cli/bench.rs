//! `relay bench`: its arguments.

use std::path::PathBuf;

/// Measure how fast Relay is on this Postgres, this Redis and this machine
#[derive(clap::Args)]
#[command(after_help = "\
The real conductor runs in this process, and real workers beside it; only Kubernetes is left out.
A database and a Redis prefix are made for it and removed at its end, so the user of Postgres
must be allowed to make databases, and the one of Redis to make users.

Each figure stands beside what Postgres, Redis or the machine can do alone in the same minutes.
Nothing else should run meanwhile.

Workloads:
  fan, static-fan, wide-fan   1 -> 1,000 -> 1 by forEach, as single tasks, and 1 -> 10,000 -> 1
  chain                       100 tasks, one after the other: the time from end to end
  diamonds, many-diamonds     200 and 2,000 runs at once of 1 -> 4 -> 4 -> 1
  processes                   a fan of 1,000 processes that do nothing
  one                         one task, from the word to its end

Exit status: 0 when everything was measured, 1 otherwise, 2 for wrong arguments.

Examples:
  relay bench --database-url postgres://localhost/postgres --redis-url redis://localhost
  relay bench fan chain --times 9 --json figures.json")]
pub struct Args {
    /// What to measure [default: everything]
    #[arg(value_name = "WORKLOAD")]
    pub workloads: Vec<String>,
    /// A Postgres in which databases may be made: postgres://user:password@host:5432/postgres
    #[arg(long, value_name = "URL", env = "RELAY_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// A Redis: redis://user:password@host:6379
    #[arg(long, value_name = "URL", env = "RELAY_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// How often each workload is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub times: u32,
    /// Processes that work
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub workers: u32,
    /// Jobs that each of them runs at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: u16,
    /// Write the figures into a file as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl std::fmt::Debug for Args {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("workloads", &self.workloads).finish_non_exhaustive()
    }
}
