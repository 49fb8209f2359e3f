//! The integration tests, in one binary. Modules mirror the rooms of src; `make test` gives them real servers.

mod bed;
mod conformance;
mod feed;
mod generated;
mod infra;
mod support;
mod worker;
