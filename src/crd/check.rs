//! A document against its kind's schema: every structural finding at once, and what is sound left for the next checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind as Found;
use jsonschema::paths::{Location, LocationSegment};

use crate::crd::finding::Remarks;
use crate::crd::schema::Kind;
use crate::crd::tree::{Cursor, Lost, Node, Value};
use crate::crd::words;

/// Taking a value out can make another incomplete; the types nest less deep than this.
const ROUNDS_MAX: usize = 16;
/// Structural findings gathered of one document.
const ERRORS_MAX: usize = 5_000;

/// What to take out: by the steps to what holds it.
type Damage = BTreeMap<Vec<Step>, BTreeSet<Step>>;

/// A step from a value to one inside it.
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
        let mut damage = Damage::default();
        for error in validator(kind).iter_errors(&json).take(ERRORS_MAX) {
            let mut steps = steps(error.instance_path(), document);
            if round == 0 {
                words::explain(&error, &walk(document, &steps), kind.schema(), remarks);
            }
            match error.kind() {
                Found::AdditionalProperties { unexpected } => {
                    damage.entry(steps).or_default().extend(unexpected.iter().cloned().map(Step::Key));
                }
                Found::Required { .. }
                    if steps.len() <= 1 && steps.first() != Some(&Step::Key("spec".into())) => {}
                _ => match steps.pop() {
                    Some(last) => drop(damage.entry(steps).or_default().insert(last)),
                    None => return false,
                },
            }
        }
        if damage.is_empty() {
            return document.get("spec").is_some();
        }
        // What is inside goes before what holds it, so that the steps stay true.
        for (steps, gone) in damage.iter().rev() {
            remove(document, steps, gone);
        }
    }
    false
}

fn validator(kind: Kind) -> &'static Validator {
    static VALIDATORS: LazyLock<[Validator; 3]> = LazyLock::new(|| {
        Kind::ALL.map(|kind| {
            jsonschema::validator_for(kind.schema()).expect("a test builds each generated schema")
        })
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

fn remove(node: &mut Node, steps: &[Step], gone: &BTreeSet<Step>) {
    let Some((first, rest)) = steps.split_first() else {
        match &mut node.value {
            Value::List(items) => {
                let mut index = 0;
                items.retain(|item| {
                    index += 1;
                    let stays = !gone.contains(&Step::Index(index - 1));
                    if !stays {
                        node.lost.push(Lost::element(&item.node));
                    }
                    stays
                });
            }
            Value::Map(entries) => entries.retain(|entry| {
                let stays = !gone.contains(&Step::Key(entry.key.clone()));
                if !stays {
                    node.lost.push(Lost::field(entry.key.clone(), &entry.node));
                }
                stays
            }),
            _ => {}
        }
        return;
    };
    let inner = match (&mut node.value, first) {
        (Value::List(items), Step::Index(index)) => items.get_mut(*index).map(|item| &mut item.node),
        (Value::Map(entries), Step::Key(key)) => {
            entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
        }
        _ => None,
    };
    if let Some(inner) = inner {
        remove(inner, rest, gone);
    }
}
