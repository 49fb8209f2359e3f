//! Expressions: CEL behind one small door, with names known before anything runs and a bound on every cost.
//!
//! `Expr` is one expression, `Template` is text with `$( CEL )` inside, `Scope` holds what they may see.
//! No clock and no random function is reachable: an expression is a function of its scope alone.

mod explain;
mod fuel;
mod limits;
mod meter;
mod names;
mod parse;
mod refs;
mod scan;
mod scope;
mod script;
mod stack;
mod template;
mod value;

#[cfg(test)]
mod tests;

pub use explain::{EvalError, EvalErrorKind};
pub use limits::{MAX_RESULT_BYTES, MAX_SOURCE_BYTES, MAX_STEPS, MAX_TEMPLATE_BYTES};
pub use names::{CEL_RESERVED, NOT_A_VARIABLE, cel_name};
pub use parse::{Expr, ExprError};
pub use refs::{Refs, WHOLE};
pub use scope::Scope;
pub use script::{find_interpolation, script_argument};
pub use template::Template;
