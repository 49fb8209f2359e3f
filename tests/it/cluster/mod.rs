//! What needs a Kubernetes. Where the bed has none, `make test` leaves these tests out by name and says why.

mod bench;
mod chaos;
mod chart;
mod crds;
mod faults;
mod installed;
mod keeper;
mod kubectl;
mod leftovers;
mod logs;
mod main_job;
mod node;
mod pools;
mod replicas;
mod rows;
mod runs;
mod servers;
mod verbs;
mod wishes;
