//! Whatever is given, the answer is manifests or findings with a line of the file; never a panic.

use proptest::prelude::*;
use proptest::sample::Index;
use relay::crd::{Overrides, load};
use serde_json::{Value, json};

use super::COMPLETE;

/// Loads and checks what holds of every answer.
fn answered(bytes: &[u8]) -> bool {
    let overrides = Overrides::default();
    match load("x.yaml", bytes, &overrides) {
        Ok(manifests) => {
            assert!(!manifests.workflows.is_empty() || !manifests.runs.is_empty());
            true
        }
        Err(findings) => {
            let lines = String::from_utf8_lossy(bytes).split(['\n', '\r']).count();
            assert!(!findings.list.is_empty() && findings.list.len() <= 100);
            for finding in &findings.list {
                assert!((1..=lines.max(1)).contains(&(finding.line as usize)), "{finding} of {lines} lines");
                assert!(finding.column >= 1 && !finding.reason.is_empty(), "{finding}");
                assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
            }
            assert!(findings.list.is_sorted_by_key(|finding| (finding.line, finding.column)));
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        answered(&bytes);
    }

    #[test]
    fn any_text_of_yamls_own_signs(text in "[-a-c:#&*!|>'\"%@{}\\[\\], \t\n\r?<~0-9é]{0,200}") {
        answered(text.as_bytes());
    }

    /// A manifest with one piece cut out, doubled or replaced by another.
    #[test]
    fn a_manifest_cut_and_pasted(from in any::<Index>(), length in 0_usize..60, to in any::<Index>(), copy in any::<bool>()) {
        let letters: Vec<char> = COMPLETE.chars().collect();
        let from = from.index(letters.len());
        let piece = &letters[from..(from + length).min(letters.len())];
        let mut mutated = letters.clone();
        if copy {
            let to = to.index(letters.len());
            mutated.splice(to..to, piece.iter().copied());
        } else {
            mutated.drain(from..from + piece.len());
        }
        answered(mutated.into_iter().collect::<String>().as_bytes());
    }

    /// A manifest with one node deleted, renamed or of another type.
    #[test]
    fn a_manifest_with_one_node_changed(node in any::<Index>(), change in 0_usize..8) {
        let mut documents: Vec<Value> = documents();
        let count: usize = documents.iter().map(size).sum();
        let mut countdown = node.index(count);
        for document in &mut documents {
            if mutate(document, &mut countdown, change) {
                break;
            }
        }
        answered(written(&documents).as_bytes());
    }

    /// The order of fields means nothing.
    #[test]
    fn a_valid_manifest_stays_valid_however_its_fields_are_ordered(seed in any::<u64>()) {
        let mut seed = seed;
        let documents = documents();
        let text: String = documents.iter().map(|document| format!("---\n{}\n", shuffled(document, &mut seed))).collect();
        prop_assert!(answered(text.as_bytes()), "{}", text);
        let ids = |text: &str| {
            let manifests = load("x.yaml", text.as_bytes(), &Overrides::default()).expect("valid");
            manifests.workflows.iter().map(|workflow| workflow.workflow.id.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(ids(&text), ids(COMPLETE));
    }
}

fn documents() -> Vec<Value> {
    let documents = serde_saphyr::from_multiple::<Value>(COMPLETE).expect("YAML");
    assert_eq!(documents.len(), 4);
    documents
}

/// JSON is YAML, one document a line.
fn written(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{document:#}\n")).collect()
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    }
}

/// Changes the node at which `countdown` reaches zero; true once that is done.
fn mutate(value: &mut Value, countdown: &mut usize, change: usize) -> bool {
    if *countdown == 0 {
        *value = match change {
            0 => Value::Null,
            1 => json!(5),
            2 => json!("tasks.nobody + $("),
            3 => json!([value.clone()]),
            4 => json!({"name": value.clone()}),
            5 => json!(true),
            6 => json!("x".repeat(5000)),
            _ => json!([]),
        };
        return true;
    }
    *countdown -= 1;
    match value {
        Value::Array(items) => {
            let found = items.iter_mut().any(|item| mutate(item, countdown, change));
            if found && change == 0 {
                items.retain(|item| !item.is_null());
            }
            found
        }
        Value::Object(fields) => {
            let found = fields
                .iter_mut()
                .find_map(|(key, field)| mutate(field, countdown, change).then(|| key.clone()));
            // Deleted, or under a misspelt name.
            if let (Some(key), true) = (&found, change == 0 || change == 7) {
                let field = fields.remove(key);
                if change == 7 {
                    fields.insert(format!("{key}x"), field.unwrap_or_default());
                }
            }
            found.is_some()
        }
        _ => false,
    }
}

/// Flow style with fields in an order that `seed` decides.
fn shuffled(value: &Value, seed: &mut u64) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shuffled(item, seed)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<(u64, String)> = fields
                .iter()
                .map(|(key, field)| {
                    *seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (*seed >> 33, format!("{}: {}", json!(key), shuffled(field, &mut seed.clone())))
                })
                .collect();
            fields.sort();
            let fields: Vec<String> = fields.into_iter().map(|(_, field)| field).collect();
            format!("{{{}}}", fields.join(",\n "))
        }
        scalar => scalar.to_string(),
    }
}
