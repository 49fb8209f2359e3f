//! The integration tests, in one binary. Modules mirror the rooms of src; `make test` gives them real servers.

mod bed;
mod crd;
mod generated;
mod infra;
mod support;
