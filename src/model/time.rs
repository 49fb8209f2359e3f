//! Sums of instants and spans that cannot overflow.

use std::time::Duration;

use jiff::Timestamp;

/// `at`, so much later; the end of time where that is too late to be written down.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long from `from` to `to`; nothing when `to` comes first.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
