//! One suite a trait: every implementation passes the same cases.

pub mod store;
