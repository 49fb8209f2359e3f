//! Manifests in, findings or valid values out: Workflow, Run and WorkerPool as users write them.

mod check;
pub mod finding;
mod foreign;
pub mod limits;
mod near;
pub mod pool;
#[cfg(test)]
mod probe;
pub mod run;
mod scalar;
pub mod schema;
pub mod shapes;
pub mod tree;
mod words;
pub mod workflow;
mod yaml;
