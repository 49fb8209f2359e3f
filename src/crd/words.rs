//! What a schema's refusal means to the person who wrote the file: the reason and the fix in plain words.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Found;
use serde_json::Value as Json;

use crate::crd::finding::{Remark, Remarks, one_of, quoted};
use crate::crd::foreign;
use crate::crd::limits::{self, DURATION};
use crate::crd::near;
use crate::crd::schema::BY_THE_SERVER;
use crate::crd::tree::{Cursor, Value};

/// Unknown fields of one object that are remarked upon.
const UNKNOWN_MAX: usize = 200;

/// A reason and, where one is known, a fix.
type Words = (String, Option<String>);

/// Adds the remarks for one error of the schema at the value under `cursor`.
pub(super) fn explain(
    error: &ValidationError<'_>,
    cursor: &Cursor<'_>,
    schema: &Json,
    remarks: &mut Remarks,
) {
    let pointer = error.schema_path().as_str();
    let around =
        pointer.rsplit_once('/').and_then(|(parent, _)| schema.pointer(parent)).unwrap_or(&Json::Null);
    match error.kind() {
        Found::AdditionalProperties { unexpected } => {
            let holder = foreign::holder(schema["title"].as_str().unwrap_or_default(), pointer);
            // Of a map with a million strangers the first show what is meant.
            for key in unexpected.iter().take(UNKNOWN_MAX) {
                let field = cursor.field(key);
                let (reason, fix) = unknown(key, &holder, around);
                remarks.push(Remark { at: field.key_at, path: field.path, reason, fix });
            }
        }
        Found::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            // `valueFrom` was remarked upon already; asking for `value` as well would mislead.
            if name == "value" && cursor.node.is_some_and(|node| node.get("valueFrom").is_some()) {
                return;
            }
            let fix = missing(name, &around["properties"][name]);
            let path = cursor.field(name).path;
            remarks.push(Remark { at: cursor.at, path, reason: "this field is required".to_string(), fix });
        }
        kind => {
            let (reason, fix) = refused(kind, cursor, around)
                .unwrap_or_else(|| (format!("refused by {}", kind.keyword()), None));
            // Nothing has no place of its own: the field's name shows where it is missing.
            let nothing = cursor.node.is_some_and(|node| matches!(node.value, Value::Null));
            let at = if nothing { cursor.key_at } else { cursor.at };
            remarks.push(Remark { at, path: cursor.path.clone(), reason, fix });
        }
    }
}

/// How to add a field: with its one value where there is but one, else with what it is for.
fn missing(name: &str, field: &Json) -> Option<String> {
    if name == "metadata" {
        return Some("add metadata: {name: ...}".to_string());
    }
    if let Some([Json::String(only)]) = field["enum"].as_array().map(Vec::as_slice) {
        return Some(format!("add {name}: {only}"));
    }
    let about = field["description"].as_str()?.split(['.', ';', ':']).next()?;
    Some(format!("add {name}: {}", lower_first(about)))
}

fn unknown(key: &str, holder: &str, around: &Json) -> Words {
    let reason = format!("unknown field {}", quoted(key));
    if foreign::not_built(key, holder) {
        return (format!("{key} is not supported yet"), Some("remove it".to_string()));
    }
    let fields = || known_fields(around);
    let fix = near::did_you_mean(key, fields())
        .or_else(|| foreign::relays_word(key, holder).map(str::to_string))
        .or_else(|| Some(format!("known here: {}", fields().collect::<Vec<_>>().join(", "))));
    (reason, fix)
}

fn known_fields(around: &Json) -> impl Iterator<Item = &str> {
    let fields = around["properties"].as_object().into_iter().flatten();
    fields.filter(|(_, field)| field["description"] != BY_THE_SERVER).map(|(name, _)| name.as_str())
}

fn refused(kind: &Found, cursor: &Cursor<'_>, around: &Json) -> Option<Words> {
    let text = cursor.node.and_then(|node| node.as_text()).unwrap_or_default();
    let items = cursor.node.map_or(0, |node| node.items().len());
    Some(match kind {
        Found::Type { .. } => wrong_type(cursor, around),
        Found::Enum { options } => not_listed(cursor, options),
        Found::MaxLength { limit } => (
            format!("{} characters, and {limit} are allowed", text.chars().count()),
            Some("shorten it".to_string()),
        ),
        Found::MinLength { .. } => {
            ("empty text".to_string(), Some("give it a value or remove the field".to_string()))
        }
        Found::MaxItems { limit } => {
            (format!("{items} elements, and {limit} are allowed"), Some("split it".to_string()))
        }
        Found::MaxProperties { limit } => {
            let fields = cursor.node.map_or(0, |node| node.fields().len());
            (format!("{fields} fields, and {limit} are allowed"), Some("remove some".to_string()))
        }
        Found::MinItems { limit } => (format!("{items} elements, and at least {limit} must be there"), None),
        Found::Minimum { limit } => {
            (format!("{} is too small", shown(cursor)), Some(format!("{limit} is the least")))
        }
        Found::Maximum { limit } => {
            (format!("{} is too large", shown(cursor)), Some(format!("{limit} is the most")))
        }
        Found::Pattern { pattern } => mismatch(text, pattern),
        _ => return None,
    })
}

fn wrong_type(cursor: &Cursor<'_>, around: &Json) -> Words {
    let given = cursor.node.map_or_else(String::new, |node| node.described());
    let value = cursor.node.map(|node| &node.value);
    if matches!(value, Some(Value::Null)) {
        return ("this field has no value".to_string(), Some("give it one, or remove the field".to_string()));
    }
    let wanted = around["type"].as_str().unwrap_or_default();
    if around["pattern"] == DURATION {
        let fix = match value {
            Some(Value::Number(n)) => format!("write {n}s for {n} seconds"),
            _ => "write a text such as 10s or 1h30m".to_string(),
        };
        return (format!("a duration is expected, not {given}"), Some(fix));
    }
    let expected = match wanted {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object",
    };
    let fix = match (wanted, value) {
        ("string", Some(Value::Number(_) | Value::Bool(_))) => {
            Some(format!("put it in quotes: \"{}\"", shown(cursor)))
        }
        ("string", Some(Value::List(_))) if cursor.path.ends_with(".from") => {
            Some("from is CEL: write '[\"a\", \"b\"]', or params.x for a list that a Run gives".to_string())
        }
        ("array", Some(Value::Text(_))) if cursor.path.ends_with(".command") => Some(
            "command is a list of arguments without a shell: write [program, argument], or use script"
                .to_string(),
        ),
        ("array", Some(Value::Text(text))) if text.len() < 64 => Some(format!("write a list: [{text}]")),
        ("integer" | "number" | "boolean", Some(Value::Text(_))) => {
            Some("write it without quotes".to_string())
        }
        _ => None,
    };
    (format!("{expected} is expected, not {given}"), fix)
}

fn not_listed(cursor: &Cursor<'_>, options: &Json) -> Words {
    let known: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if let [only] = known.as_slice() {
        return (format!("{} is not known here", shown(cursor)), Some(format!("write {only}")));
    }
    let fix = cursor
        .node
        .and_then(|node| node.as_text())
        .and_then(|text| near::did_you_mean(text, known.iter().copied()));
    (format!("{} is not known here: it must be {}", shown(cursor), one_of(known)), fix)
}

fn mismatch(text: &str, pattern: &str) -> Words {
    if pattern == DURATION {
        let fix =
            text.trim_start_matches('-').parse::<f64>().ok().map(|_| format!("add a unit: {text}s, {text}m"));
        let reason = format!("{} is no duration", quoted(text));
        return (
            reason,
            fix.or_else(|| Some("write it as Go does: 500ms, 10s, 5m, 1h30m (no days: 24h)".to_string())),
        );
    }
    let wanted = limits::explained(pattern).unwrap_or(pattern);
    let fix = limits::mended(text, pattern).map(|name| format!("for example {name:?}"));
    (format!("{} does not fit: {wanted}", quoted(text)), fix)
}

/// A scalar as it was written, short.
fn shown(cursor: &Cursor<'_>) -> String {
    match cursor.node.map(|node| &node.value) {
        Some(Value::Text(text)) => quoted(text),
        Some(Value::Number(n)) => n.to_string(),
        Some(Value::Bool(b)) => b.to_string(),
        _ => cursor.node.map_or_else(String::new, |node| node.described()),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        // `CEL` and other shouted words stay.
        Some(first) if !letters.as_str().starts_with(|c: char| c.is_uppercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_string(),
    }
}
