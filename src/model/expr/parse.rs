//! One expression: parsed, analysed and metered once, evaluated many times.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::parser::{Expression, PrattParser};
use cel::{Context, Value as CelValue};
use serde_json::Value;

use super::explain::{self, EvalError, EvalErrorKind};
use super::fuel::{self, Fuel};
use super::limits::MAX_SOURCE_BYTES;
use super::meter;
use super::refs::{self, Path, Refs};
use super::scan;
use super::scope::Scope;
use super::stack;
use super::value;

/// Why a text is not an expression (or a template).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// For the user.
    pub message: String,
    /// Where, in characters from the start of the source, if that is known.
    pub at: Option<usize>,
}

/// One CEL expression, parsed and analysed; cheap to clone. Equal when the sources are.
#[derive(Clone)]
pub struct Expr(Arc<Inner>);

struct Inner {
    source: String,
    tree: Expression,
    /// Of `tree`, in levels.
    depth: usize,
    refs: Refs,
    paths: Vec<Path>,
}

impl Expr {
    /// Parses and analyses; refuses what could not be evaluated safely.
    pub fn parse(source: &str) -> Result<Expr, ExprError> {
        let refuse = |message: String| ExprError { message, at: None };
        if source.trim().is_empty() {
            return Err(refuse("an expression is expected here".into()));
        }
        if source.len() > MAX_SOURCE_BYTES {
            return Err(refuse(format!(
                "the expression has {} bytes; at most {MAX_SOURCE_BYTES} are allowed",
                source.len()
            )));
        }
        scan::check_nesting(source)
            .map_err(|e| ExprError { message: e.message, at: Some(scan::chars_before(source, e.at)) })?;
        let tree = parse_tree(source)?;
        let (refs, paths) = refs::analyse(&tree).map_err(refuse)?;
        let tree = meter::meter(tree);
        let depth = refs::depth(&tree);
        Ok(Expr(Arc::new(Inner { source: source.to_owned(), tree, depth, refs, paths })))
    }

    /// As the user wrote it.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The names it uses.
    pub fn refs(&self) -> &Refs {
        &self.0.refs
    }

    /// Its value as JSON.
    pub fn eval(&self, scope: &Scope) -> Result<Value, EvalError> {
        self.run(scope).map_err(|kind| EvalError::new(self.source(), kind))
    }

    /// Its value, which must be true or false.
    pub fn eval_bool(&self, scope: &Scope) -> Result<bool, EvalError> {
        match self.eval(scope)? {
            Value::Bool(yes) => Ok(yes),
            other => Err(self.wrong_type("a boolean", &other)),
        }
    }

    /// Its value, which must be a list.
    pub fn eval_list(&self, scope: &Scope) -> Result<Vec<Value>, EvalError> {
        match self.eval(scope)? {
            Value::Array(items) => Ok(items),
            other => Err(self.wrong_type("a list", &other)),
        }
    }

    fn wrong_type(&self, want: &'static str, got: &Value) -> EvalError {
        EvalError::new(self.source(), EvalErrorKind::WrongType { want, got: value::type_name(got) })
    }

    fn run(&self, scope: &Scope) -> Result<Value, EvalErrorKind> {
        // cel's evaluator is other people's code with panics of its own; a user's text must not end a
        // conductor. Nothing outlives the closure, so nothing half-changed can be seen.
        let guarded = || catch_unwind(AssertUnwindSafe(|| self.0.evaluate(scope))).ok();
        stack::with_room(self.0.depth, guarded)
            .flatten()
            .unwrap_or_else(|| Err(EvalErrorKind::Failed(BROKEN.to_owned())))
    }
}

/// Only ever shown when the evaluator panicked or no thread could be had.
const BROKEN: &str = "it cannot be evaluated";

impl Inner {
    fn evaluate(&self, scope: &Scope) -> Result<Value, EvalErrorKind> {
        let meter = Fuel::full();
        let mut context = Context::with_env(fuel::environment());
        context.set_variable_resolver(scope);
        meter.install(&mut context);
        let outcome = CelValue::resolve_val(&self.tree, &context);
        if meter.is_spent() {
            return Err(EvalErrorKind::TooCostly);
        }
        match outcome {
            Ok(result) => value::to_json(result.as_ref()),
            Err(error) => Err(EvalErrorKind::Failed(explain::in_words(&error, &self.paths, scope))),
        }
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.0.source).finish()
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expr {}

fn parse_tree(source: &str) -> Result<Expression, ExprError> {
    // The parser slices the source by byte offsets of its own; should one ever fall inside a character,
    // the text is refused instead of ending the process.
    let parser = PrattParser::new().enable_optional_syntax(true).max_recursion_depth(u16::MAX - 1);
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(source)))
        .map_err(|_| ExprError { message: "this cannot be read as an expression".into(), at: None })?;
    parsed.map_err(|errors| {
        let first = errors.errors.first();
        let message = first.map_or("this cannot be read as an expression", |e| e.msg.as_str());
        ExprError { message: explain::syntax(message), at: first.and_then(|e| char_offset(source, e.pos)) }
    })
}

/// The parser's (line from 1, byte column from 1) as characters from the start.
fn char_offset(source: &str, (line, column): (isize, isize)) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    Some(scan::chars_before(source, (before + column).min(source.len())))
}
