//! What people type and what they read. One file a verb.

pub mod migrate;
