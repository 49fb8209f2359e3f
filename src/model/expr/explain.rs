//! Errors in words: cel speaks of overloads and kinds, a user wants to know what to write instead.

use std::fmt;

use cel::common::ast::operators;
use cel::{ExecutionError, Value as CelValue};
use serde_json::Value;

use super::limits::{MAX_RESULT_BYTES, MAX_STEPS};
use super::refs::{Path, Step};
use super::scope::Scope;
use crate::model::workflow::limits::JSON_DEPTH;

/// An expression that did not give a value that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expr}`: {kind}")]
pub struct EvalError {
    /// The expression, shortened.
    pub expr: String,
    /// What happened.
    pub kind: EvalErrorKind,
}

/// What can happen when an expression is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalErrorKind {
    /// The evaluation itself failed, in words.
    #[error("{0}")]
    Failed(String),
    /// It gave a value of another type than its place takes.
    #[error("gives {got}; {want} is needed here")]
    WrongType {
        /// With its article: "a boolean".
        want: &'static str,
        /// With its article.
        got: &'static str,
    },
    /// It gave null, and a text has no word for that.
    #[error("gives null, which cannot stand in a text; use orValue(...) or a condition")]
    Null,
    /// It gave a value that JSON cannot say.
    #[error("gives {0}, which cannot leave an expression")]
    NotJson(String),
    /// The result is too large.
    #[error("gives more than {MAX_RESULT_BYTES} bytes")]
    TooLarge,
    /// The result is nested too deep.
    #[error("gives a value nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
    /// The evaluation is too much work.
    #[error("is too much work: more than {MAX_STEPS} loop steps, or as much copying")]
    TooCostly,
}

impl EvalError {
    pub(super) fn new(source: &str, kind: EvalErrorKind) -> EvalError {
        const SHOWN: usize = 120;
        let mut expr: String = source.trim().chars().take(SHOWN).collect();
        if source.trim().chars().nth(SHOWN).is_some() {
            expr.push_str("...");
        }
        EvalError { expr, kind }
    }
}

/// What the parser found, without its grammar's vocabulary.
pub fn syntax(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    match message {
        "mismatched input '<EOF>' expecting expression" => "the expression ends too early".to_owned(),
        "unexpected token" => "this is not expected here".to_owned(),
        _ => message
            .replace("mismatched input '<EOF>'", "the expression ends early,")
            .replace("mismatched input <EOF>", "the expression ends early,")
            .replace("mismatched input", "did not expect")
            .replace("expecting '<EOF>'", "after the end of the expression")
            .replace("expecting <EOF>", "after the end of the expression"),
    }
}

/// An evaluation error as a sentence.
pub fn in_words(error: &ExecutionError, paths: &[Path], scope: &Scope) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => missing_key(key, paths, scope),
        ExecutionError::UndeclaredReference(name) => {
            let known: Vec<&str> = scope.names().collect();
            format!("nothing is called `{name}` here; there is {}", listed(known.iter()))
        }
        ExecutionError::NoSuchOverload(e) => no_overload(e.function(), e.argument_types()),
        ExecutionError::UnexpectedType { got, want } => {
            format!("{} where {} is needed", type_in_words(got), type_in_words(want))
        }
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "remainder of a division by zero".to_owned(),
        ExecutionError::Overflow(operator, a, b) => format!(
            "{} {} {} is beyond what an integer of 64 bits holds",
            shown(a),
            symbol(operator),
            shown(b)
        ),
        ExecutionError::IndexOutOfBounds(index) => {
            format!("index {} is outside the list", shown(index))
        }
        ExecutionError::DuplicateKey(key) => format!("the map has the key {} twice", shown(key)),
        ExecutionError::UnsupportedKeyType(key) => {
            format!("{} cannot be a map's key", type_in_words(&type_of(key)))
        }
        ExecutionError::UnsupportedBinaryOperator(op, a, b) => no_overload(op, &[type_of(a), type_of(b)]),
        ExecutionError::ValuesNotComparable(a, b) => no_overload("_<_", &[type_of(a), type_of(b)]),
        ExecutionError::UnsupportedIndex(index, value) => {
            no_overload(operators::INDEX, &[type_of(value), type_of(index)])
        }
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function got {actual} arguments and takes {expected}")
        }
        ExecutionError::InternalError(message) => message.clone(),
        _ => "a value here has a type that this does not work on".to_owned(),
    }
}

/// CEL's name of a type, with an article.
pub fn type_in_words(name: &str) -> String {
    match name {
        "null_type" | "null" => "null".to_owned(),
        "bool" => "a boolean".to_owned(),
        "int" | "uint" => format!("an integer ({name})"),
        "double" => "a double".to_owned(),
        "string" => "a string".to_owned(),
        "optional_type" => "an optional value (end it with .orValue(...))".to_owned(),
        "iterable" => "a list or a map".to_owned(),
        _ if name.starts_with("a ") => name.to_owned(),
        _ if name.starts_with("list") => "a list".to_owned(),
        _ if name.starts_with("map") => "a map".to_owned(),
        _ => format!("a {name}"),
    }
}

fn no_overload(function: &str, types: &[String]) -> String {
    let words: Vec<String> = types.iter().map(|name| type_in_words(name)).collect();
    match (function, words.as_slice()) {
        ("_._" | "_?._", [value, ..]) => {
            format!("{value} has no fields; guard it with has(...) or a condition")
        }
        (operators::INDEX | operators::OPT_INDEX, [value, index]) => {
            format!("{value} cannot be indexed by {index}")
        }
        (_, [a, b]) if symbol(function) != function => {
            format!("`{}` does not work on {a} and {b}", symbol(function))
        }
        (_, [a]) if symbol(function) != function => {
            format!("`{}` does not work on {a}", symbol(function))
        }
        (_, []) => format!("`{function}` needs an argument"),
        _ => format!("`{function}` does not work on {}", words.join(" and ")),
    }
}

/// `_>_` is `>` to everybody else.
fn symbol(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "@in" => "in",
        _ => operator.trim_matches('_'),
    }
}

fn missing_key(key: &str, paths: &[Path], scope: &Scope) -> String {
    for path in paths {
        let Some(root) = scope.get(&path.root) else {
            continue;
        };
        if let Some((depth, keys)) = find_missing(root, &path.steps, key) {
            return Missing { path, depth, key, keys }.to_string();
        }
    }
    format!("there is no key `{key}`")
}

/// The object in which `key` is missing, as its depth in `steps`, and the keys it has.
fn find_missing<'a>(value: &'a Value, steps: &[Step], key: &str) -> Option<(usize, Vec<&'a str>)> {
    let (step, rest) = steps.split_first()?;
    let deeper = |found: (usize, Vec<&'a str>)| (found.0 + 1, found.1);
    match step {
        Step::Key(name) => match (value.as_object()?, value.get(name)) {
            (_, Some(next)) => find_missing(next, rest, key).map(deeper),
            (object, None) => (name == key).then(|| (0, object.keys().map(String::as_str).collect())),
        },
        Step::Index(i) => find_missing(value.get(i)?, rest, key).map(deeper),
        Step::Each => value.as_array()?.iter().find_map(|v| find_missing(v, rest, key)).map(deeper),
    }
}

struct Missing<'a> {
    path: &'a Path,
    depth: usize,
    key: &'a str,
    keys: Vec<&'a str>,
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}", self.path.name)?;
        for step in self.path.steps.iter().take(self.depth).skip(self.path.hidden) {
            match step {
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(i) => write!(f, "[{i}]")?,
                Step::Each => {}
            }
        }
        write!(f, "` has no key `{}`; it has {}", self.key, listed(self.keys.iter()))?;
        let outputs = matches!(self.path.steps.get(1), Some(Step::Key(name)) if name == "outputs");
        if self.keys.is_empty() && self.path.root == "tasks" && outputs {
            write!(f, " (a task has outputs only after SUCCESS)")?;
        }
        Ok(())
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names: Vec<&str> = names.copied().collect();
    let more = names.len().saturating_sub(SHOWN);
    names.sort_unstable();
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn type_of(value: &CelValue) -> String {
    value.type_of().to_string()
}

/// A scalar as the user would write it.
fn shown(value: &CelValue) -> String {
    match value {
        CelValue::Int(i) => i.to_string(),
        CelValue::UInt(u) => u.to_string(),
        CelValue::Float(d) => d.to_string(),
        CelValue::Bool(b) => b.to_string(),
        CelValue::String(s) => format!("\"{}\"", s.chars().take(40).collect::<String>()),
        other => type_in_words(&type_of(other)),
    }
}
