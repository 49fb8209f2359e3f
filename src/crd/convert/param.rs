//! Declared params: types, patterns, defaults that fit.

use regex::Regex;
use serde_json::Value;

use crate::crd::finding::{Remarks, quoted};
use crate::crd::tree::Cursor;
use crate::crd::workflow as spec;
use crate::model::expr::CEL_RESERVED;
use crate::model::workflow::{Param, ValueType, is_shallow, limits::JSON_DEPTH};

/// Bytes of a compiled pattern: bounds what one manifest can cost.
const PATTERN_BYTES: usize = 1 << 20;

impl From<spec::ValueType> for ValueType {
    fn from(kind: spec::ValueType) -> Self {
        match kind {
            spec::ValueType::String => Self::String,
            spec::ValueType::Integer => Self::Integer,
            spec::ValueType::Number => Self::Number,
            spec::ValueType::Boolean => Self::Boolean,
            spec::ValueType::Array => Self::Array,
            spec::ValueType::Object => Self::Object,
        }
    }
}

/// All declared params; what is wrong with one is remarked upon.
pub(in crate::crd) fn declared(
    specs: &[spec::ParamSpec],
    list: &Cursor<'_>,
    remarks: &mut Remarks,
) -> Vec<Param> {
    let mut params: Vec<Param> = Vec::new();
    for (place, param) in specs.iter().enumerate() {
        let at = list.item(place);
        let name_at = at.field("name");
        if params.iter().any(|known| known.name == param.name) {
            remarks.at(
                &name_at,
                format!("a second param called {}", quoted(&param.name)),
                Some("rename one".to_string()),
            );
            continue;
        }
        if CEL_RESERVED.contains(&param.name.as_str()) {
            let reason = format!("{} is a word that CEL keeps for itself", quoted(&param.name));
            remarks.at(&name_at, reason, Some(format!("for example {}_value", param.name)));
        }
        params.push(one(param, &at, remarks));
    }
    params
}

fn one(param: &spec::ParamSpec, at: &Cursor<'_>, remarks: &mut Remarks) -> Param {
    let before = remarks.len();
    let kind: ValueType = param.kind.unwrap_or(spec::ValueType::String).into();
    if let Some(pattern) = &param.pattern {
        let pattern_at = at.field("pattern");
        if kind != ValueType::String && !at.lost("type") {
            let reason = format!("a pattern has no meaning for type {kind}");
            remarks.at(&pattern_at, reason, Some("remove it, or make the type string".to_string()));
        }
        if let Err(error) = compiled(pattern) {
            remarks.at(&pattern_at, format!("no regular expression: {error}"), None);
        }
    }
    let mut built = Param {
        name: param.name.clone(),
        kind,
        pattern: param.pattern.clone(),
        allowed: param.allowed.clone(),
        default: param.default.clone(),
    };
    // Values are judged only by a declaration that is sound itself.
    if remarks.len() == before && !at.lost("type") {
        for (place, value) in param.allowed.iter().flatten().enumerate() {
            if let Err(reason) = fits(&Param { allowed: None, ..built.clone() }, value) {
                remarks.at(&at.field("enum").item(place), reason, quotes(kind, value));
            }
        }
        if let Some(value) = &param.default
            && let Err(reason) = fits(&built, value)
        {
            remarks.at(&at.field("default"), reason, quotes(kind, value));
        }
    }
    built.default = built.default.map(|value| whole(kind, value));
    built.allowed = built.allowed.map(|values| values.into_iter().map(|value| whole(kind, value)).collect());
    built
}

/// How to write a number or boolean where text is declared.
pub(in crate::crd) fn quotes(kind: ValueType, value: &Value) -> Option<String> {
    let bare = kind == ValueType::String && (value.is_number() || value.is_boolean());
    bare.then(|| format!("put it in quotes: \"{value}\""))
}

/// Whether a value may stand for a param; the error says why not.
pub(in crate::crd) fn fits(param: &Param, value: &Value) -> Result<(), String> {
    if !param.kind.fits(value) {
        return Err(format!(
            "{} is expected for {}, not {}",
            article(param.kind),
            quoted(&param.name),
            shown(value)
        ));
    }
    if !is_shallow(value) {
        return Err(format!("{} is nested deeper than {JSON_DEPTH} levels", quoted(&param.name)));
    }
    if has_nul(value) {
        return Err(format!("NUL (\\u0000) cannot be in a value, and is in {}", quoted(&param.name)));
    }
    if let (Some(pattern), Value::String(text)) = (&param.pattern, value)
        && compiled(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        return Err(format!(
            "{} does not match the pattern {pattern} of {}",
            quoted(text),
            quoted(&param.name)
        ));
    }
    let value = whole(param.kind, value.clone());
    if let Some(allowed) = &param.allowed
        && !allowed.iter().any(|known| whole(param.kind, known.clone()) == value)
    {
        let known: Vec<String> = allowed.iter().take(12).map(shown_bare).collect();
        let known = crate::crd::finding::one_of(known.iter().map(String::as_str));
        return Err(format!(
            "{} is none of the values of {}: {known}",
            shown_bare(&value),
            quoted(&param.name)
        ));
    }
    Ok(())
}

/// No database keeps a NUL in a text, and no process gets one. Only shallow values come here.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, field)| key.contains('\0') || has_nul(field)),
        _ => false,
    }
}

/// A whole number as an integer, `3.0` among them, so that every reader sees the same.
pub(in crate::crd) fn whole(kind: ValueType, value: Value) -> Value {
    match (kind, value.as_f64()) {
        (ValueType::Integer, Some(number))
            if !value.is_i64() && number.fract() == 0.0 && number.abs() < 9e15 =>
        {
            Value::from(number as i64)
        }
        _ => value,
    }
}

/// The type in words, as it must be given.
pub(in crate::crd) fn article(kind: ValueType) -> &'static str {
    match kind {
        ValueType::String => "text",
        ValueType::Integer => "a whole number",
        ValueType::Number => "a number",
        ValueType::Boolean => "true or false",
        ValueType::Array => "a list",
        ValueType::Object => "an object",
    }
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_string(),
        // The last line names the cause; those before draw the pattern.
        error => error
            .to_string()
            .lines()
            .last()
            .unwrap_or("it cannot be read")
            .trim()
            .trim_start_matches("error: ")
            .to_string(),
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing (null)".to_string(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
    }
}

fn shown_bare(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string().chars().take(80).collect(),
    }
}
