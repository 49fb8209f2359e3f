//! How the parts of `relay operator` and `relay worker` are put together, started, and ended in order.

pub mod bench;
mod claim;
mod crew;
mod division;
mod doors;
mod lead;
mod logging;
mod operator;
mod patience;
pub mod stores;
mod term;
mod watches;
pub mod worker;

pub use logging::begin as begin_logging;
pub use operator::operator;
