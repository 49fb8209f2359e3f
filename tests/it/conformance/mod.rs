//! What every implementation of a seam must do: one suite a seam, run over each of them.

mod queue;
pub mod store;
