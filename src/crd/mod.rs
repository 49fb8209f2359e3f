//! Manifests in, findings or valid values out: Workflow, Run and WorkerPool as users write them.
//!
//! Bytes become YAML trees that know their places (`yaml`, `tree`), each tree is compared with its kind's schema
//! (`check`, `words`), what is sound becomes typed (`workflow`, `run`, `pool`) and is converted (`convert`) to the model.
//! No step stops at its first finding, and none judges what an earlier one has taken out.

mod check;
mod convert;
mod documents;
mod duration;
mod file;
pub mod finding;
mod foreign;
mod kinds;
pub mod limits;
mod load;
mod near;
mod params;
mod places;
pub mod pool;
mod revision;
pub mod run;
mod scalar;
pub mod schema;
pub mod shapes;
pub mod tree;
mod words;
pub mod workflow;
mod yaml;

pub use file::read;
pub use finding::{Finding, Findings};
pub use load::{Manifests, PoolManifest, RunManifest, RunName, WorkflowManifest, compile, load};
pub use params::{Overrides, resolve};
