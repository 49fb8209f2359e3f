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
}

/// What is to be done, and what the user should know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desire {
    /// The verb.
    pub act: Option<Act>,
    /// A sentence for the status.
    pub note: Option<&'static str>,
}

/// Compares. A cancel is never taken back.
pub fn desire(desired: DesiredState, view: &RunView) -> Desire {
    let cancelled = view.row.stop.as_ref().filter(|stop| stop.reason == Reason::Cancelled);
    let act = |act| Desire { act: Some(act), note: None };
    match (desired, cancelled) {
        (DesiredState::Cancelled, None) => act(Act::Cancel { finally: false }),
        (DesiredState::Cancelled, Some(stop)) if stop.finally => act(Act::Cancel { finally: false }),
        (DesiredState::CancelledRunFinally, None) => act(Act::Cancel { finally: true }),
        (DesiredState::Running | DesiredState::Paused, Some(_)) => {
            Desire { act: None, note: Some("a cancel is final: desiredState does not take it back") }
        }
        (DesiredState::Cancelled | DesiredState::CancelledRunFinally, Some(_))
        | (DesiredState::Running | DesiredState::Paused, None) => Desire::default(),
    }
}
