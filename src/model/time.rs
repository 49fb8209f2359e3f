//! Sums of instants and spans that cannot overflow.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use jiff::Timestamp;

/// `at`, so much later; the end of time where that is too late to be written down.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long from `from` to `to`; nothing when `to` comes first.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The wait before the next try, after so many that failed: `first`, twice that, and so on up to `longest`, and of that
/// between a half and all. Which part follows from who waits and for the how manieth time: many who wait for the same do
/// not come back at once, and a replay waits as long as the first time.
pub fn backoff<K: Hash + ?Sized>(who: &K, tries: u32, first: Duration, longest: Duration) -> Duration {
    let whole = first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(longest);
    let mut hasher = DefaultHasher::new();
    (who, tries).hash(&mut hasher);
    let part = 0.5 + 0.5 * (hasher.finish() % 1_000) as f64 / 1_000.0;
    whole.mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_spread() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let wait = |who: &str, tries| backoff(who, tries, first, longest);
        for tries in 1..200 {
            let whole = first.saturating_mul(1 << (tries - 1).min(20)).min(longest);
            let wait = wait("a", tries);
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        let many: std::collections::BTreeSet<Duration> = (0..100).map(|n| wait(&n.to_string(), 9)).collect();
        assert!(many.len() > 50, "{} waits of 100 who wait for the same", many.len());
        assert_eq!(wait("a", 9), wait("a", 9));
    }
}
