//! Leadership before anything else: a run belongs to one process at a time.
//!
//! Whoever was killed has not given its shards up; they run out a few seconds later. So a shard that somebody holds
//! is waited for until it runs out, and refused as soon as its holder is seen to be alive.

use std::time::Duration;

use crate::local::{LocalError, Parts, screen::Screen, signals::Signals};
use crate::model::ids::ShardId;
use crate::store::{Leadership, TAKEOVER_AFTER};

/// How often a shard that is held is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest wait: leadership runs out before, or is renewed.
const PATIENCE: Duration = Duration::from_secs(TAKEOVER_AFTER.as_secs() + 1);

/// Takes the shards for `holder`. The conductor, who asks again by the same name, gets them at once.
/// False: the user did not want to wait.
pub(super) async fn take(
    parts: &Parts,
    (holder, shards): (&str, &[ShardId]),
    screen: &mut Screen,
    signals: &mut Signals,
) -> Result<bool, LocalError> {
    let mut seen: Option<(ShardId, String, u64)> = None;
    let mut waited = Duration::ZERO;
    loop {
        let led = tokio::select! {
            biased;
            () = signals.next() => return Ok(false),
            led = parts.store.lead(shards, holder) => led?,
        };
        let Leadership::Held { shard, holder: other, renewed_ms_ago } = led else { return Ok(true) };
        // Of several shards, that which runs out last is held when the others are free: it is judged by itself.
        let before = seen.as_ref().filter(|(at, ..)| *at == shard);
        let lives = before.is_some_and(|(_, name, ago)| *name != other || renewed_ms_ago < *ago);
        if lives || waited > PATIENCE {
            return Err(LocalError::Held { holder: other, renewed_ms_ago });
        }
        if seen.is_none() {
            screen.say(&format!(
                "note: {other} had this namespace {renewed_ms_ago} ms ago; waiting until it is free"
            ));
        }
        seen = Some((shard, other, renewed_ms_ago));
        tokio::select! {
            biased;
            () = signals.next() => return Ok(false),
            () = parts.clock.sleep(LOOK_EVERY) => waited += LOOK_EVERY,
        }
    }
}
