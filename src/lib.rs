//! Relay: a Kubernetes workflow operator. ARCHITECTURE.md is the map of these rooms.

#[cfg(feature = "full")]
pub mod api;
#[cfg(feature = "full")]
pub mod cli;
#[cfg(feature = "full")]
pub mod clock;
#[cfg(feature = "full")]
pub mod conductor;
#[cfg(feature = "full")]
pub mod crd;
pub mod engine;
#[cfg(feature = "full")]
pub mod feed;
#[cfg(feature = "full")]
pub mod link;
#[cfg(feature = "full")]
pub mod local;
pub mod model;
#[cfg(feature = "full")]
pub mod operator;
#[cfg(feature = "full")]
pub mod queue;
#[cfg(feature = "full")]
pub mod store;
#[cfg(feature = "full")]
pub mod worker;
