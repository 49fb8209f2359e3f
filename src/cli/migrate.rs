//! `relay migrate`: the database's schema, forward, back, and where it is.

use std::fmt::Display;
use std::process::ExitCode;

/// Arguments of `relay migrate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// The database, as postgres://user:password@host:5432/database
    #[arg(long, value_name = "URL", env = "RELAY_DATABASE_URL", hide_env_values = true, global = true, default_value = "", hide_default_value = true)]
    pub database_url: String,
}

/// What to do with the schema.
#[derive(clap::Subcommand, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Apply what is pending; adopt a database that was made from the base file alone
    Up {
        /// Stop at this version
        #[arg(long, value_name = "N")]
        to: Option<i64>,
    },
    /// Take one step back; a step that would lose rows refuses and counts them
    Down {
        /// Take every step back down to this version; 0 is empty
        #[arg(long, value_name = "N")]
        to: Option<i64>,
    },
    /// Say where the database is and what is pending
    Version,
}

/// Says what came of it. The status is 0, or 1 for a failure.
pub fn show(outcome: Result<impl Display, impl Display>) -> ExitCode {
    match outcome {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
