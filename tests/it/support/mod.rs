//! What several integration tests need: a database of their own, committed files, the built binary, other programs.

mod certificates;
mod committed;
mod database;
#[allow(dead_code, reason = "the simulation uses the rest of it")]
pub mod dice;
pub mod jobs;
mod ports;
mod postgres_server;
mod program;
pub mod redis;
mod redis_server;
pub mod told;

pub use certificates::certificates;
pub use committed::committed;
pub use database::{TestDb, from_bed, postgres_url, redis_url};
pub use ports::free_port;
pub use postgres_server::{PostgresServer, own, postgres_program};
pub use program::{Finished, Program, relay};
pub use redis_server::RedisServer;
pub use told::Told;

use std::path::PathBuf;

/// A path within the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a committed file.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn relay_is_built_and_sees_nothing_of_the_developers_environment() {
    let command = relay();
    assert!(std::path::Path::new(command.get_program()).is_file());
    let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| ["PATH", "HOME", "TMPDIR"].contains(&name.as_str())), "{names:?}");
}
