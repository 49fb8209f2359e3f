//! The order and the pace of writes.

use std::time::Duration;

use relay::model::ids::RunId;
use relay::model::time::later;
use relay::operator::desk::{ALL, Desk, EACH, Failed, Lane};
use relay::operator::events::PACE;

use super::second;

fn run(n: u32) -> RunId {
    format!("run-{n}").parse().expect("an id")
}

#[test]
fn ends_come_first_then_what_nobody_has_seen() {
    let mut desk = Desk::default();
    let now = second(0);
    desk.mark(&run(1), Lane::Further, now);
    desk.mark(&run(2), Lane::First, now);
    desk.mark(&run(3), Lane::Final, now);
    let order: Vec<RunId> = std::iter::from_fn(|| desk.take(now).map(|(run, _)| run)).collect();
    assert_eq!(order, [run(3), run(2), run(1)]);
}

#[test]
fn a_run_is_written_once_a_second_but_its_end_at_once() {
    let mut desk = Desk::default();
    let now = second(0);
    desk.mark(&run(1), Lane::First, now);
    let (id, _) = desk.take(now).expect("due");
    assert_eq!(desk.slot(&id, now), now);
    desk.done(&id, now);
    desk.mark(&id, Lane::Further, now);
    desk.mark(&id, Lane::Further, now);
    assert_eq!(desk.take(now), None);
    assert_eq!(desk.next(), Some(later(now, EACH)));
    desk.mark(&id, Lane::Final, now);
    assert_eq!(desk.take(now), Some((id.clone(), Lane::Final)));
    desk.done(&id, now);
    assert_eq!(desk.next(), None, "both marks were one");
}

#[test]
fn all_writes_together_keep_their_distance() {
    let mut desk = Desk::default();
    let now = second(0);
    let slots: Vec<_> = (0..200).map(|n| desk.slot(&run(n), now)).collect();
    assert_eq!(slots[0], now);
    assert!(slots.windows(2).all(|pair| pair[1] == later(pair[0], ALL)));
    let a_second = |pace: Duration| Duration::from_secs(1).as_nanos() / pace.as_nanos();
    assert!(a_second(ALL) + a_second(PACE) <= 100, "statuses and Events together");
    // What was not used is not saved up.
    assert_eq!(desk.slot(&run(1), second(60)), second(60));
    assert_eq!(desk.slot(&run(2), second(60)), later(second(60), ALL));
}

#[test]
fn what_changes_while_it_is_written_is_written_again() {
    let mut desk = Desk::default();
    let now = second(0);
    desk.mark(&run(1), Lane::Further, now);
    let (id, _) = desk.take(now).expect("due");
    desk.mark(&id, Lane::Final, now);
    assert_eq!(desk.take(now), None, "never twice at a time");
    desk.done(&id, now);
    assert_eq!(desk.take(now), Some((id, Lane::Final)));
}

#[test]
fn a_refused_write_is_not_tried_again_soon_whatever_is_marked() {
    let mut desk = Desk::default();
    let mut now = second(0);
    desk.mark(&run(1), Lane::Further, now);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (id, lane) = desk.take(now).expect("due");
        desk.again(&id, lane, Failed::Refused, now);
        desk.mark(&id, Lane::Final, now);
        let next = desk.next().expect("it comes again");
        waits.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
    let (id, _) = desk.take(now).expect("due");
    desk.done(&id, now);
    desk.mark(&id, Lane::Final, now);
    assert!(desk.take(now).is_some(), "what succeeds is free again");
}

#[test]
fn an_outdated_write_is_made_anew_at_once_a_few_times() {
    let mut desk = Desk::default();
    let now = second(0);
    desk.mark(&run(1), Lane::Final, now);
    for _ in 0..3 {
        let (id, lane) = desk.take(now).expect("at once");
        desk.again(&id, lane, Failed::Outdated, now);
    }
    let (id, lane) = desk.take(now).expect("at once");
    desk.again(&id, lane, Failed::Outdated, now);
    assert_eq!(desk.take(now), None);
}
