//! `relay migrate`: the database's schema, forward, back, and where it is.

use std::fmt::Display;
use std::process::ExitCode;

/// What to do with the schema.
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    /// Apply what is pending; adopt a database that was made from the base file alone
    Up {
        #[command(flatten)]
        database: Database,
        /// Stop at this version
        #[arg(long, value_name = "N")]
        to: Option<i64>,
    },
    /// Take one step back; a step that would lose rows refuses and counts them
    Down {
        #[command(flatten)]
        database: Database,
        /// Take every step back down to this version; 0 is empty
        #[arg(long, value_name = "N")]
        to: Option<i64>,
    },
    /// Say where the database is and what is pending
    Version {
        #[command(flatten)]
        database: Database,
    },
}

/// Which database.
#[derive(clap::Args)]
pub struct Database {
    /// The database, as postgres://user:password@host:5432/database
    #[arg(long = "database-url", value_name = "URL", env = "RELAY_DATABASE_URL", hide_env_values = true)]
    pub url: String,
}

impl std::fmt::Debug for Database {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
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
