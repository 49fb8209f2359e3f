//! Manifests in, findings or valid values out: Workflow, Run and WorkerPool as users write them.
//!
//! Bytes become YAML trees that know their places (`yaml`, `tree`), each tree is compared with its kind's schema
//! (`check`, `words`), what is sound becomes typed (`workflow`, `run`, `pool`) and is converted (`convert`) to the model.
//! `object` is the same door for live objects; `status` holds what Relay writes into them. No step stops at its first finding, and none judges what an earlier one has taken out.

mod check;
mod convert;
pub mod definition;
mod documents;
mod duration;
mod file;
pub mod finding;
mod fitted;
mod foreign;
mod kinds;
pub mod limits;
mod load;
mod near;
pub mod object;
mod params;
mod places;
pub mod pool;
mod revision;
mod rules;
pub mod run;
mod scalar;
pub mod schema;
pub mod shapes;
pub mod status;
mod structural;
pub mod tree;
mod words;
pub mod workflow;
mod yaml;

pub use file::read;
pub use finding::{Finding, Findings};
pub use load::{Manifests, PoolManifest, RunManifest, RunName, WorkflowManifest, compile, load};
pub use object::{PoolObject, RunObject, params_of, pool_of, run_of, workflow_of};
pub use params::{Overrides, resolve};
pub use revision::{UNHASHED, revision};
