//! When the operator says that it does not hear the API server.

use std::time::Duration;

use relay::clock::Clock;
use relay::operator::pulse::{Bounds, Pulses};

use super::second;

async fn seconds(n: u64) {
    tokio::time::advance(Duration::from_secs(n)).await;
}

fn pulses() -> Pulses {
    Pulses::new(Clock::manual(second(0)), Bounds::default())
}

#[tokio::test(start_paused = true)]
async fn errors_count_when_they_last_a_minute_and_no_longer_when_something_is_heard() {
    let pulses = pulses();
    pulses.bad("Run", "connection refused");
    for _ in 0..2 {
        seconds(29).await;
        pulses.bad("Run", "connection refused again");
        assert_eq!(pulses.deaf(), None, "an API server that starts again is no trouble");
    }
    pulses.bad("Workflow", "forbidden");
    seconds(2).await;
    let deaf = pulses.deaf().expect("a minute is over");
    assert_eq!((deaf.of, deaf.since, deaf.why.as_str()), ("Run", second(0), "connection refused again"));
    pulses.good("Run");
    assert_eq!(pulses.deaf(), None);
    seconds(60).await;
    assert_eq!(pulses.deaf().expect("the other one").of, "Workflow");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_has_nothing_to_tell_is_good_again_by_itself() {
    let pulses = pulses();
    for _ in 0..10 {
        pulses.bad("Run", "connection refused");
        seconds(20).await;
    }
    assert!(pulses.deaf().is_some());
    seconds(90).await;
    assert_eq!(pulses.deaf(), None, "it would have told of a further error");
    pulses.bad("Run", "connection refused");
    seconds(59).await;
    assert_eq!(pulses.deaf(), None, "this is another trouble");
}
