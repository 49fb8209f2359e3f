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
and by name, for they take longer or make gigabytes in the database:
  linear                      10 times the width, depth or number of runs, and 10 times that (--tenfold)
  queued                      what a task that waits for a worker takes of Redis
  transitions                 fans for --minutes: what is held, and at the end beside the beginning
  blocked                     --runs live runs that wait for approvals: memory, idleness (--idle),
                              a restart, and a Redis that lost everything; some minutes
  huge                        one run of --width tasks: memory and tasks a second
  history                     fan, chain and diamonds after --rows finished task runs, and while
                              old runs are removed
  conductors                  diamonds led by --conductors processes, beside one
Memory is that of a conductor in a process of its own, without the objects that an operator watches.

Exit status: 0 when everything was measured, 1 otherwise, 2 for wrong arguments.

Examples:
  relay bench --database-url postgres://localhost/postgres --redis-url redis://localhost
  relay bench fan chain --times 9 --json figures.json
  relay bench transitions --minutes 10")]
pub struct Args {
    /// What to measure [default: the first eight]
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
    /// Workers; for `processes` at least one more than cores, for each starts one process after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub workers: u32,
    /// Jobs that each of them runs at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: u16,
    #[command(flatten)]
    pub sizes: Sizes,
    /// Write the figures into a file as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How large the large workloads are.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Sizes {
    /// How often linear takes ten times as much
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub tenfold: u8,
    /// For how long transitions are held
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = minutes)]
    pub minutes: f64,
    /// Live runs of blocked
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: u32,
    /// Seconds for which blocked leaves them alone, and then watches them
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub idle: u64,
    /// Tasks of huge
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub width: u32,
    /// Task runs of history's past; a million takes some two gigabytes
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..=100_000_000))]
    pub rows: u64,
    /// Processes of conductors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub conductors: u8,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|e| format!("{e}"))?;
    match (0.1..=1_440.0).contains(&minutes) {
        true => Ok(minutes),
        false => Err("between 0.1 and 1440".to_owned()),
    }
}

/// Conduct for a bench, which tells it what to do on standard input
#[derive(clap::Args)]
pub struct Conductor {
    /// The bench's database
    #[arg(long, value_name = "URL", env = "RELAY_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Redis
    #[arg(long, value_name = "URL", env = "RELAY_REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// The bench's prefix there
    #[arg(long, value_name = "WORD")]
    pub redis_prefix: String,
    /// Who leads
    #[arg(long, value_name = "NAME")]
    pub holder: String,
    /// The first shard to lead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=63))]
    pub first: u8,
    /// How many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub shards: u8,
}

impl std::fmt::Debug for Conductor {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conductor").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Args {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("workloads", &self.workloads).finish_non_exhaustive()
    }
}
