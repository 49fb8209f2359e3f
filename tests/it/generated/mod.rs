//! Files that are printed by code or copied from another, compared with their source. `make generate` runs these
//! tests with RELAY_GENERATE=1, and then they write the files.

mod chart;
mod cli;

use relay::crd::definition;

use crate::support::{committed, read};

/// The base schema stands twice: as the first migration, and where Postgres' image looks for it.
#[test]
fn infra_holds_the_base_schema_and_nothing_else() {
    committed("infra/migrations/001_init.sql", &read("migrations/0001_init.up.sql"));
    let folder = std::fs::read_dir(crate::support::repository("infra/migrations")).expect("a folder");
    let names: Vec<_> = folder.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["001_init.sql"], "later migrations belong to migrations/ alone");
}

/// The definitions stand twice: to be applied by hand, and in the chart, which installs and upgrades them.
#[test]
fn definitions_of_the_kinds_are_those_of_the_types() {
    for kind in relay::crd::schema::Kind::ALL {
        let (name, text) = (definition::file_name(kind), definition::printed(kind));
        committed(&format!("crds/{name}"), &text);
        committed(&format!("charts/relay/files/crds/{name}"), &text);
    }
}

/// Editors check manifests against these as they are written.
#[test]
fn schemas_of_the_kinds_are_those_of_the_types() {
    for (kind, path) in relay::crd::schema::Kind::ALL.iter().zip(["workflow", "run", "workerpool"]) {
        committed(&format!("crds/{path}.schema.json"), &relay::crd::schema::printed(*kind));
    }
}
