//! The command line and the wiring: the one place that picks Postgres, Redis or memory.

fn main() {}
