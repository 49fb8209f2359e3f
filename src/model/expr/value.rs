//! From CEL back to JSON: only what JSON can say, and never more than a bound.

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelUInt};
use cel::common::value::{BuiltinRef, Val};
use serde_json::{Map, Number, Value};

use super::explain::{EvalErrorKind, type_in_words};
use super::limits::MAX_RESULT_BYTES;
use crate::model::workflow::limits::JSON_DEPTH;

/// The value as JSON; object keys are in order.
pub fn to_json(value: &dyn Val) -> Result<Value, EvalErrorKind> {
    let mut room = MAX_RESULT_BYTES;
    convert(value, &mut room, JSON_DEPTH)
}

/// A JSON value's type, for a message.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn convert(value: &dyn Val, room: &mut usize, levels: usize) -> Result<Value, EvalErrorKind> {
    let inner = || levels.checked_sub(1).ok_or(EvalErrorKind::TooDeep);
    match value.as_builtin() {
        BuiltinRef::String(text) => {
            take(room, text.inner().len() + 2)?;
            Ok(Value::String(text.inner().to_owned()))
        }
        BuiltinRef::List(list) => {
            take(room, 2)?;
            let levels = inner()?;
            let items = list.inner().iter().map(|item| {
                take(room, 1)?;
                convert(item.as_ref(), room, levels)
            });
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        BuiltinRef::Map(map) => {
            take(room, 2)?;
            let levels = inner()?;
            // In order, so that of two faulty values the same one is named each time.
            let mut entries = Vec::with_capacity(map.inner().len());
            for (key, item) in map.inner().iter() {
                entries.push((key_text(key.inner())?, item));
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let message = "two keys of the map are the same text in JSON";
                return Err(EvalErrorKind::Failed(message.into()));
            }
            let entries = entries.into_iter().map(|(key, item)| {
                take(room, key.len() + 4)?;
                Ok((key, convert(item.as_ref(), room, levels)?))
            });
            Ok(Value::Object(entries.collect::<Result<Map<_, _>, _>>()?))
        }
        _ => {
            take(room, 4)?;
            scalar(value)
        }
    }
}

fn scalar(value: &dyn Val) -> Result<Value, EvalErrorKind> {
    if let Some(b) = value.downcast_ref::<CelBool>() {
        Ok(Value::Bool(*b.inner()))
    } else if let Some(i) = value.downcast_ref::<CelInt>() {
        Ok(Value::from(*i.inner()))
    } else if let Some(u) = value.downcast_ref::<CelUInt>() {
        Ok(Value::from(*u.inner()))
    } else if value.downcast_ref::<CelNull>().is_some() {
        Ok(Value::Null)
    } else if let Some(d) = value.downcast_ref::<CelDouble>() {
        let number = Number::from_f64(*d.inner())
            .ok_or(EvalErrorKind::NotJson("a number that is not finite".into()))?;
        Ok(Value::Number(number))
    } else {
        Err(EvalErrorKind::NotJson(type_in_words(value.get_type().name())))
    }
}

fn key_text(key: &dyn Val) -> Result<String, EvalErrorKind> {
    match scalar_or_text(key)? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

fn scalar_or_text(key: &dyn Val) -> Result<Value, EvalErrorKind> {
    match key.as_builtin() {
        BuiltinRef::String(text) => Ok(Value::String(text.inner().to_owned())),
        _ => scalar(key),
    }
}

fn take(room: &mut usize, bytes: usize) -> Result<(), EvalErrorKind> {
    *room = room.checked_sub(bytes).ok_or(EvalErrorKind::TooLarge)?;
    Ok(())
}
