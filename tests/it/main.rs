//! The integration tests, in one binary. Modules mirror the rooms of src; `make test` gives them real servers.

mod api;
mod bed;
mod bench;
mod cluster;
mod conformance;
mod crd;
mod division;
mod examples;
mod feed;
mod generated;
mod infra;
mod leadership;
mod left_out;
mod migrate;
mod operator;
mod pools;
mod queue;
mod readme;
mod refusals;
mod run;
mod speed;
mod store;
mod stubborn;
mod support;
mod wiring;
mod worker;
