//! Manifests in, findings or valid values out: Workflow, Run and WorkerPool as users write them.

pub mod finding;
pub mod limits;
mod near;
pub mod pool;
pub mod run;
mod scalar;
pub mod schema;
pub mod shapes;
pub mod tree;
pub mod workflow;
mod yaml;
