//! The worker: its loops on a paused clock, and its executor on real processes.

mod bench;
mod ending;
mod once;
mod outputs;
mod poison;
mod processes;
mod program;
mod scripted;
mod shift;
mod spare;
mod together;
mod trouble;
mod whole;
