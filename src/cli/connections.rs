//! How hard to lean on Postgres: the pool's settings as arguments.

/// The connections to Postgres. Shown by `--help`, not by `-h`.
#[derive(clap::Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Connections to Postgres")]
pub struct Connections {
    /// Most connections at a time
    #[arg(long = "database-max-connections", value_name = "N", env = "RELAY_DATABASE_MAX_CONNECTIONS", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000), hide_short_help = true)]
    pub max: u32,
    /// Connections kept open while idle
    #[arg(long = "database-min-connections", value_name = "N", env = "RELAY_DATABASE_MIN_CONNECTIONS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000), hide_short_help = true)]
    pub min: u32,
    /// Seconds without use after which a further connection is closed
    #[arg(long = "database-idle-timeout", value_name = "SECONDS", env = "RELAY_DATABASE_IDLE_TIMEOUT", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400), hide_short_help = true)]
    pub idle_timeout: u64,
    /// Seconds after which a connection is replaced
    #[arg(long = "database-max-lifetime", value_name = "SECONDS", env = "RELAY_DATABASE_MAX_LIFETIME", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..=86_400), hide_short_help = true)]
    pub max_lifetime: u64,
}
