//! The link to Redis: addresses, connections that heal, scripts, the names of keys. Queue and feed speak through it.
//!
//! Every call has a bound in time. A connection that failed is thrown away, and the next call makes a new one, so
//! nobody above needs to know whether Redis was away. Nothing is said twice here: after a connection broke, only the
//! caller knows whether its words may be repeated.

mod connection;
mod entry;
pub mod keys;
mod reply;
mod script;
mod settings;
mod wait;

pub use connection::Link;
pub use entry::EntryId;
pub use reply::{Reply, text};
pub use script::Script;
pub use settings::{BadSettings, RedisSettings, worker_url};
pub use wait::Wait;

/// What can go wrong between here and Redis.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection, or no answer in time: it may or may not have been done.
    #[error("{address}: {why}")]
    Unreachable {
        /// Where, without a password.
        address: String,
        /// What happened.
        why: String,
    },
    /// Redis does not know the script: whoever may load scripts does so first.
    #[error("Redis does not know the script yet")]
    NoScript,
    /// Redis is at the end of its memory: it was not done.
    #[error("Redis is out of memory")]
    OutOfMemory,
    /// Redis answered with an error: it was not done.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// An answer of another shape than expected.
    #[error("Redis answered with something else than expected: {0}")]
    Unexpected(&'static str),
}

impl LinkError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            LinkError::Unreachable { .. } => "unreachable",
            LinkError::NoScript => "no_script",
            LinkError::OutOfMemory => "out_of_memory",
            LinkError::Refused(_) => "refused",
            LinkError::Unexpected(_) => "unexpected",
        }
    }
}
