//! What needs a Kubernetes. Where the bed has none, `make test` leaves these tests out by name and says why.

mod leftovers;
mod node;
mod verbs;
