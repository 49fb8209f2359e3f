//! desiredState against what a run does.

use relay::crd::run::DesiredState::{self, Cancelled, CancelledRunFinally, Paused, Running};
use relay::model::reason::Reason;
use relay::model::run::Stop;
use relay::operator::desire::{Act, desire};

use super::{a_view, second};

/// What a run does: `paused`, and how it is being stopped.
fn acts(desired: DesiredState, paused: bool, stop: Option<(Reason, bool)>) -> (Option<Act>, bool) {
    let mut view = a_view();
    view.row.paused_at = paused.then(|| second(1));
    view.row.stop = stop.map(|(reason, finally)| Stop { reason, finally });
    let told = desire(desired, &view);
    (told.act, told.note.is_some())
}

#[test]
fn every_wish_meets_every_run() {
    let cancel = |finally| Some(Act::Cancel { finally });
    let (plain, finally, late) =
        (Some((Reason::Cancelled, false)), Some((Reason::Cancelled, true)), Some((Reason::RunTimeout, true)));
    let table = [
        (Running, false, None, None, false),
        (Running, true, None, Some(Act::Resume), false),
        (Running, false, plain, None, true),
        (Running, false, late, None, false),
        (Paused, false, None, Some(Act::Pause), false),
        (Paused, true, None, None, false),
        (Paused, false, finally, None, true),
        (Paused, false, late, None, true),
        (Cancelled, false, None, cancel(false), false),
        (Cancelled, true, None, cancel(false), false),
        (Cancelled, false, finally, cancel(false), false),
        (Cancelled, false, plain, None, false),
        (Cancelled, false, late, cancel(false), false),
        (CancelledRunFinally, false, None, cancel(true), false),
        (CancelledRunFinally, true, None, cancel(true), false),
        (CancelledRunFinally, false, plain, None, true),
        (CancelledRunFinally, false, finally, None, false),
        (CancelledRunFinally, false, late, cancel(true), false),
    ];
    for (desired, paused, stop, act, note) in table {
        assert_eq!(acts(desired, paused, stop), (act, note), "{desired:?}, paused {paused}, stop {stop:?}");
    }
}
