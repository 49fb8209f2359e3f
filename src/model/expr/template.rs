//! Text with `$( CEL )` inside; `$$(` is a literal `$(`.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::explain::{EvalError, EvalErrorKind};
use super::limits::{MAX_RESULT_BYTES, MAX_TEMPLATE_BYTES, MAX_TEMPLATE_EXPRS};
use super::parse::{Expr, ExprError};
use super::scan;
use super::scope::Scope;

/// A parsed template; cheap to clone. Equal when the sources are.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    parts: Arc<[Part]>,
}

enum Part {
    Text(String),
    Expr(Expr),
}

impl Template {
    /// Finds and parses every `$( CEL )`. An offset in an error counts from the template's start.
    pub fn parse(source: &str) -> Result<Template, ExprError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let message =
                format!("the text has {} bytes; at most {MAX_TEMPLATE_BYTES} are allowed", source.len());
            return Err(ExprError { message, at: None });
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut expressions = 0;
        let mut at = 0;
        while let Some(dollar) = source[at..].find('$').map(|n| at + n) {
            text.push_str(&source[at..dollar]);
            let rest = &source[dollar..];
            if rest.starts_with("$$(") {
                text.push_str("$(");
                at = dollar + 3;
            } else if rest.starts_with("$(") {
                let (expr, end) = parse_at(source, dollar + 2)?;
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Expr(expr));
                expressions += 1;
                at = end + 1;
            } else {
                text.push('$');
                at = dollar + 1;
            }
            if expressions > MAX_TEMPLATE_EXPRS {
                let message = format!("the text has more than {MAX_TEMPLATE_EXPRS} `$(...)`");
                return Err(ExprError { message, at: Some(scan::chars_before(source, dollar)) });
            }
        }
        text.push_str(&source[at..]);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Template { source: source.into(), parts: parts.into() })
    }

    /// As the user wrote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The expressions in it, in order.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expr(expr) => Some(expr),
            Part::Text(_) => None,
        })
    }

    /// Whether no expression is in it.
    pub fn is_literal(&self) -> bool {
        self.exprs().next().is_none()
    }

    /// As text: strings as they are, numbers and booleans as JSON, lists and objects as compact JSON with
    /// sorted keys; null is an error.
    pub fn render(&self, scope: &Scope) -> Result<String, EvalError> {
        let mut out = String::new();
        for part in self.parts.iter() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expr(expr) => out.push_str(&as_text(expr, expr.eval(scope)?)?),
            }
            if out.len() > MAX_RESULT_BYTES {
                return Err(EvalError::new(&self.source, EvalErrorKind::TooLarge));
            }
        }
        Ok(out)
    }

    /// As JSON: a single `$(e)` and nothing else keeps its type, anything else is a string.
    pub fn render_value(&self, scope: &Scope) -> Result<Value, EvalError> {
        match &*self.parts {
            [Part::Expr(expr)] => expr.eval(scope),
            _ => self.render(scope).map(Value::String),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

/// The expression whose text starts at byte `start`, and the byte offset of its `)`.
fn parse_at(source: &str, start: usize) -> Result<(Expr, usize), ExprError> {
    let ours = |message: String, at: usize| ExprError {
        message: format!("{message} (`$(` begins an expression of Relay; a literal `$(` is written `$$(`)"),
        at: Some(at),
    };
    let end =
        scan::expression_end(source, start).map_err(|e| ours(e.message, scan::chars_before(source, e.at)))?;
    let expr = Expr::parse(&source[start..end])
        .map_err(|e| ours(e.message, scan::chars_before(source, start) + e.at.unwrap_or(0)))?;
    Ok((expr, end))
}

fn as_text(expr: &Expr, value: Value) -> Result<String, EvalError> {
    match value {
        Value::Null => Err(EvalError::new(expr.source(), EvalErrorKind::Null)),
        Value::String(text) => Ok(text),
        // Objects are built with their keys in order, so this prints them so.
        other => Ok(other.to_string()),
    }
}
