//! What is proven without servers, and gains by being built for speed: the protocol as a model, and the simulation.

mod protocol;
mod sim;

#[path = "../it/support"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support {
    pub mod dice;
    pub mod jobs;
}
