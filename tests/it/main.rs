//! The integration tests, in one binary. Modules mirror the rooms of src; `make test` gives them real servers.

mod bed;
mod conformance;
mod generated;
mod infra;
mod migrate;
mod store;
mod support;
