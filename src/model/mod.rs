//! The words of the domain: plain values, valid once built. No clock, no I/O, no async.

pub mod expr;
