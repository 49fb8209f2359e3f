//! The words of the domain: plain values, valid once built. No clock, no I/O, no async.

pub mod change;
pub mod expr;
pub mod head;
pub mod ids;
pub mod job;
pub mod json;
pub mod log;
mod names;
pub mod reason;
pub mod revision;
pub mod run;
pub mod status;
pub mod task;
pub mod task_run;
pub mod time;
pub mod view;
pub mod workflow;
