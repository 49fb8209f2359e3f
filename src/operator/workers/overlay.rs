//! Laying a user's pod template over ours: objects key by key, lists of named things by their names.

use serde_json::{Map, Value};

/// `over` laid over `base`. Null takes a key away. Of two lists with named elements those of one name are merged and
/// the rest follows; any other list is replaced. Both come from a parser that bounds their depth.
pub fn laid_over(base: Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => Value::Object(objects(base, over)),
        (Value::Array(base), Value::Array(over)) => match named(&base, over) {
            Some(key) => Value::Array(lists(base, over, key)),
            None => Value::Array(over.clone()),
        },
        (_, Value::Object(over)) => Value::Object(objects(Map::new(), over)),
        (_, over) => over.clone(),
    }
}

fn objects(mut base: Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in over {
        if value.is_null() {
            base.remove(key);
            continue;
        }
        let under = base.remove(key).unwrap_or(Value::Null);
        base.insert(key.clone(), laid_over(under, value));
    }
    base
}

/// By what the elements of two lists are told apart: a mount by its path, for a volume may be mounted twice.
fn named(base: &[Value], over: &[Value]) -> Option<&'static str> {
    let all =
        |key: &str| base.iter().chain(over).all(|element| element.get(key).is_some_and(Value::is_string));
    ["mountPath", "name"].into_iter().find(|key| all(key))
}

fn lists(base: Vec<Value>, over: &[Value], key: &str) -> Vec<Value> {
    let mut used = vec![false; over.len()];
    let mut merged: Vec<Value> = Vec::with_capacity(base.len() + over.len());
    for element in base {
        // Two of one name are the user's mistake: the second stays, and the API server names it.
        match over.iter().position(|o| o[key] == element[key]) {
            Some(at) => {
                used[at] = true;
                merged.push(laid_over(element, &over[at]));
            }
            None => merged.push(element),
        }
    }
    merged.extend(over.iter().zip(used).filter(|(_, used)| !used).map(|(element, _)| element.clone()));
    merged
}
