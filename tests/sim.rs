//! The simulation alone, built in little time for `make sim`: the same modules as in `tests/it`.

#[path = "it/sim/mod.rs"]
mod sim;

#[path = "it/support"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support {
    pub mod jobs;
}
