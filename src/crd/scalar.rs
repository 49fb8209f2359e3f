//! What a YAML scalar means: the core schema of YAML 1.2, so `yes` is text and `0o17` a number.

use granit_parser::{ScalarStyle, Tag};

use crate::crd::tree::Value;

/// Reads one scalar; the error is a reason in words, without a place.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => plain(text),
            _ => Ok(Value::Text(text.to_string())),
        };
    };
    match tag.core_suffix() {
        Some("str") => Ok(Value::Text(text.to_string())),
        Some("null") if is_null(text) => Ok(Value::Null),
        Some(kind @ ("bool" | "int" | "float")) => match (kind, plain(text)?) {
            ("bool", value @ Value::Bool(_)) | ("int" | "float", value @ Value::Number(_)) => Ok(value),
            _ => Err(format!("tag !!{kind} does not fit this value")),
        },
        // A lone `!` only says "text".
        None if tag.original() == "!" => Ok(Value::Text(text.to_string())),
        _ => Err(format!("tag {} is not supported", tag.original())),
    }
}

fn plain(text: &str) -> Result<Value, String> {
    if is_null(text) {
        return Ok(Value::Null);
    }
    match text {
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if let Some(whole) = integer(text) {
        // CEL and JSON readers hold 64 bits; more would silently lose digits.
        return whole.map(|n| Value::Number(n.into())).ok_or_else(|| "an integer beyond 64 bits".to_string());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is no number in JSON"));
    }
    if is_decimal(unsigned) {
        let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
        return number.map(Value::Number).ok_or_else(|| "a number beyond 64 bits".to_string());
    }
    Ok(Value::Text(text.to_string()))
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// None: not written as an integer. Some(None): one that does not fit.
fn integer(text: &str) -> Option<Option<i64>> {
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return all.then(|| i64::from_str_radix(digits, radix).ok());
        }
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse::<i64>().ok())
}

/// `[0-9]+(.[0-9]*)?` or `.[0-9]+`, then an optional exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_fits && exponent_fits
}
