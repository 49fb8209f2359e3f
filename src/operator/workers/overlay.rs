//! Laying one pod template over another: objects key by key, lists of named things by their names.

use serde_json::{Map, Value};

/// `over` laid over `base`. Null takes a key away. Of two lists with named elements those of one name are merged and
/// the rest follows; any other list is replaced. Both come from a parser that bounds their depth.
pub fn laid_over(base: Value, over: &Value) -> Value {
    merged(base, over, Merge::Deep)
}

/// The same, but what `over` says of a thing is all that is left of it: of a volume, a variable, a probe. Only
/// containers keep what `over` does not name.
pub fn imposed(base: Value, over: &Value) -> Value {
    merged(base, over, Merge::Whole)
}

/// What may become of two values of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// They are merged, however deep.
    Deep,
    /// They are merged down to the fields of containers.
    Whole,
    /// The upper one stands.
    Replace,
}

impl Merge {
    fn below(self, key: &str) -> Merge {
        const PARTS: [&str; 9] = [
            "metadata",
            "labels",
            "annotations",
            "spec",
            "containers",
            "initContainers",
            "env",
            "volumes",
            "volumeMounts",
        ];
        match self {
            Merge::Whole if !PARTS.contains(&key) => Merge::Replace,
            same => same,
        }
    }

    /// For the elements of a list.
    fn within(self, key: &str) -> Merge {
        match self {
            Merge::Whole if !["containers", "initContainers"].contains(&key) => Merge::Replace,
            same => same,
        }
    }
}

fn merged(base: Value, over: &Value, how: Merge) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) if how != Merge::Replace => {
            Value::Object(objects(base, over, how))
        }
        // So that nulls below take nothing away and leave nothing behind.
        (_, Value::Object(over)) => Value::Object(objects(Map::new(), over, Merge::Deep)),
        (_, over) => over.clone(),
    }
}

fn objects(mut base: Map<String, Value>, over: &Map<String, Value>, how: Merge) -> Map<String, Value> {
    for (key, value) in over {
        if value.is_null() {
            base.remove(key);
            continue;
        }
        let value = match (base.remove(key), value) {
            (Some(Value::Array(base)), Value::Array(over)) => lists(base, over, key, how.below(key)),
            (under, over) => merged(under.unwrap_or(Value::Null), over, how.below(key)),
        };
        base.insert(key.clone(), value);
    }
    base
}

/// By what the elements of two lists are told apart: a mount by its path, for a volume may be mounted twice.
fn named(base: &[Value], over: &[Value]) -> Option<&'static str> {
    let all =
        |key: &str| base.iter().chain(over).all(|element| element.get(key).is_some_and(Value::is_string));
    ["mountPath", "name"].into_iter().find(|key| all(key))
}

fn lists(base: Vec<Value>, over: &[Value], key: &str, how: Merge) -> Value {
    let name = match (named(&base, over), how) {
        (Some(name), Merge::Deep | Merge::Whole) => name,
        // An element without a name is the user's mistake, and for the API server to name.
        (None, Merge::Whole) => return base.into_iter().chain(over.iter().cloned()).collect(),
        _ => return Value::from(over),
    };
    let mut used = vec![false; over.len()];
    let mut all: Vec<Value> = Vec::with_capacity(base.len() + over.len());
    for element in base {
        // Two of one name are the user's mistake: both stay, and the API server names them.
        match over.iter().position(|o| o[name] == element[name]) {
            Some(at) => {
                used[at] = true;
                all.push(merged(element, &over[at], how.within(key)));
            }
            None => all.push(element),
        }
    }
    all.extend(over.iter().zip(used).filter(|(_, used)| !used).map(|(element, _)| element.clone()));
    Value::Array(all)
}
