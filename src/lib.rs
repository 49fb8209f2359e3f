//! Relay: a Kubernetes workflow operator. ARCHITECTURE.md is the map of these rooms.

#[cfg(feature = "full")]
pub mod clock;
pub mod engine;
pub mod model;
#[cfg(feature = "full")]
pub mod queue;
#[cfg(feature = "full")]
pub mod store;
