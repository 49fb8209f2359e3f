//! Lines on their way through Redis: a stream a pool. Workers append to it, and wait while it is full; one reader stores
//! what is in all of them and trims them.
//!
//! So much waits in Redis at most, however much tasks print while the store is away; then their processes wait, as they
//! would at a full pipe. What is in Redis when Redis loses its content is lost: these are logs, and no results.

mod append;
mod backlog;
mod stream;

use std::time::Duration;

use crate::feed::FeedError;
use crate::link::LinkError;

pub use append::RedisFeed;
pub use backlog::Backlog;
pub use stream::RedisLogs;

/// What waits in one pool's stream at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Batches of lines.
    pub entries: usize,
    /// Bytes of them.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 10_000, bytes: 16 << 20 }
    }
}

/// What was not taken is said again after so long, and twice as long after each further time, ...
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// ... up to so long.
const AGAIN_LONGEST: Duration = Duration::from_secs(2);

impl From<LinkError> for FeedError {
    fn from(error: LinkError) -> FeedError {
        FeedError::Unavailable(error.to_string())
    }
}
