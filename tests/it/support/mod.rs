//! What several integration tests need: a database of their own, committed files, the built binary, other programs.

mod committed;
mod database;
pub mod jobs;
mod program;

pub use committed::committed;
pub use database::{TestDb, postgres_url, redis_url};
pub use program::{Finished, Program, relay};

use std::path::PathBuf;

/// A path within the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a committed file.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
