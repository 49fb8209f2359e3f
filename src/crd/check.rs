//! A document against its kind's schema: every structural finding at once, and what is sound left for the next checks.

use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind as Found;
use jsonschema::paths::{Location, LocationSegment};

use crate::crd::finding::Remarks;
use crate::crd::schema::Kind;
use crate::crd::tree::{Cursor, Node, Value};
use crate::crd::words;

/// Taking a value out can make another incomplete; the types nest less deep than this.
const ROUNDS_MAX: usize = 16;
/// Structural findings gathered of one document.
const ERRORS_MAX: usize = 5_000;

/// A step from a value to one inside it; lists are removed from the back, so the order matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(String),
}

/// Remarks on everything that the schema refuses and takes it out of the tree. What stays fits the schema, but for
/// missing fields at the root and of metadata: so a misspelt label does not hide a cycle. False: nothing usable stays.
pub(super) fn check(kind: Kind, document: &mut Node, remarks: &mut Remarks) -> bool {
    for round in 0..ROUNDS_MAX {
        let json = document.to_json();
        let mut damage: Vec<Vec<Step>> = Vec::new();
        for error in validator(kind).iter_errors(&json).take(ERRORS_MAX) {
            let steps = steps(error.instance_path(), document);
            if round == 0 {
                words::explain(&error, &walk(document, &steps), kind.schema(), remarks);
            }
            match error.kind() {
                Found::AdditionalProperties { unexpected } => damage.extend(unexpected.iter().map(|key| {
                    let mut steps = steps.clone();
                    steps.push(Step::Key(key.clone()));
                    steps
                })),
                Found::Required { .. } if steps.len() <= 1 && steps.first() != Some(&Step::Key("spec".into())) => {}
                _ => damage.push(steps),
            }
        }
        if damage.is_empty() {
            return document.get("spec").is_some();
        }
        damage.sort();
        damage.dedup();
        if damage.iter().any(Vec::is_empty) {
            return false;
        }
        for steps in damage.iter().rev() {
            remove(document, steps);
        }
    }
    false
}

fn validator(kind: Kind) -> &'static Validator {
    static VALIDATORS: LazyLock<[Validator; 3]> = LazyLock::new(|| {
        Kind::ALL.map(|kind| jsonschema::validator_for(kind.schema()).expect("a test builds each generated schema"))
    });
    &VALIDATORS[kind as usize]
}

/// The path of an error as steps; a field may be called `0`, so the tree decides what a step is.
fn steps(path: &Location, document: &Node) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut node = Some(document);
    for segment in path {
        let is_list = node.is_some_and(|node| matches!(node.value, Value::List(_)));
        let step = match segment {
            LocationSegment::Index(index) if is_list => Step::Index(index),
            other => Step::Key(other.to_string()),
        };
        node = node.and_then(|node| child(node, &step));
        steps.push(step);
    }
    steps
}

fn child<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match step {
        Step::Index(index) => node.items().get(*index).map(|item| &item.node),
        Step::Key(key) => node.get(key).map(|entry| &entry.node),
    }
}

fn walk<'a>(document: &'a Node, steps: &[Step]) -> Cursor<'a> {
    steps.iter().fold(Cursor::root(document), |cursor, step| match step {
        Step::Index(index) => cursor.item(*index),
        Step::Key(key) => cursor.field(key),
    })
}

fn remove(node: &mut Node, steps: &[Step]) {
    let Some((first, rest)) = steps.split_first() else { return };
    match (&mut node.value, first) {
        (Value::List(items), Step::Index(index)) if *index < items.len() => {
            if rest.is_empty() {
                items.remove(*index);
                node.lost.push(String::new());
            } else {
                remove(&mut items[*index].node, rest);
            }
        }
        (Value::Map(entries), Step::Key(key)) => {
            let Some(index) = entries.iter().position(|entry| entry.key == *key) else { return };
            if rest.is_empty() {
                entries.remove(index);
                node.lost.push(key.clone());
            } else {
                remove(&mut entries[index].node, rest);
            }
        }
        _ => {}
    }
}
