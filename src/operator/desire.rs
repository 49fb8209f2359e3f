//! What the user wants of a live Run, against what it does: which verb, if any, brings the two together.

use crate::crd::run::DesiredState;
use crate::model::{reason::Reason, view::RunView};

/// A verb of the conductor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Cancel, with or without the finally tasks.
    Cancel {
        /// Do they run?
        finally: bool,
    },
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
}

/// What is to be done, and what the user should know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desire {
    /// The verb.
    pub act: Option<Act>,
    /// A sentence for the status.
    pub note: Option<&'static str>,
}

/// Compares. A cancel is never taken back, and a run that is being stopped is not paused.
pub fn desire(desired: DesiredState, view: &RunView) -> Desire {
    let act = |act| Desire { act: Some(act), note: None };
    let note = |note| Desire { act: None, note: Some(note) };
    let paused = view.row.paused_at.is_some();
    let stop = view.row.stop.as_ref();
    let cancelled = stop.filter(|stop| stop.reason == Reason::Cancelled);
    match (desired, cancelled) {
        (DesiredState::Cancelled, None) => act(Act::Cancel { finally: false }),
        (DesiredState::Cancelled, Some(cancel)) if cancel.finally => act(Act::Cancel { finally: false }),
        (DesiredState::CancelledRunFinally, None) => act(Act::Cancel { finally: true }),
        (DesiredState::CancelledRunFinally, Some(cancel)) if !cancel.finally => {
            note("it is being cancelled without its finally tasks, and that is not taken back")
        }
        (DesiredState::Running | DesiredState::Paused, Some(_)) => {
            note("a cancel is final: desiredState does not take it back")
        }
        (DesiredState::Paused, None) if stop.is_some() => note("it is being stopped, and so is not paused"),
        (DesiredState::Paused, None) if !paused => act(Act::Pause),
        (DesiredState::Running, None) if paused => act(Act::Resume),
        _ => Desire::default(),
    }
}
