//! The queue in Redis.

mod access;
mod conductor;
mod inbox;
mod kept;
mod look;
mod parcel;
mod places;
mod publish;
mod reading;
mod roster;
mod scripts;
mod server;
mod worker;

pub use conductor::{Limits, RedisQueue};
pub use worker::RedisJobs;
