//! Who waits for which Workflow: nobody is forgotten, and nobody stays.

use relay::operator::accept::Found;
use relay::operator::api::ObjectName;
use relay::operator::book::{Definition, Definitions, RunRef, Version};
use serde_json::json;

use super::{name, object};

fn run(n: u32) -> RunRef {
    RunRef { name: ObjectName::new("data", &format!("run-{n}")), uid: format!("uid-{n}") }
}

#[test]
fn a_run_waits_for_one_workflow_and_leaves_without_naming_it() {
    let definitions = Definitions::default();
    for n in 0..1_000 {
        definitions.wait(&name(), &run(n));
        definitions.wait(&ObjectName::new("data", "other"), &run(n));
        definitions.leave(&run(n));
    }
    assert_eq!(definitions.waiting(), 0);
    definitions.wait(&ObjectName::new("data", "other"), &run(1));
    definitions.wait(&name(), &run(1));
    definitions.wait(&name(), &run(2));
    let definition = Definition {
        version: Version::of(&object("Workflow", json!({}), json!({}))),
        found: Found::Invalid(String::new()),
    };
    let other = definitions.set(&ObjectName::new("data", "other"), Some(definition.clone()));
    assert!(other.is_empty(), "it waits for another by now: {other:?}");
    assert_eq!(definitions.set(&name(), Some(definition)), [run(1), run(2)].into());
    assert_eq!(definitions.waiting(), 0);
}
