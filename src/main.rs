//! Relay.

fn main() {}
