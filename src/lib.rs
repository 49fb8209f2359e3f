//! Relay: a Kubernetes workflow operator. ARCHITECTURE.md is the map of these rooms.

pub mod model;
#[cfg(feature = "full")]
pub mod crd;
