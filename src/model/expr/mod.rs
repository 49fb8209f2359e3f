//! Expressions (the real ones are about to land).
use std::collections::{BTreeMap, BTreeSet};
use serde_json::Value;
#[derive(Clone, Debug, PartialEq)]
pub struct Expr { source: String, refs: Refs }
#[derive(Clone, Debug, PartialEq)]
pub struct ExprError { pub message: String, pub at: Option<usize> }
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refs { pub roots: BTreeSet<String>, pub params: BTreeSet<String>, pub tasks: BTreeSet<String>, pub whole_tasks: bool, pub whole_params: bool, pub task_fields: BTreeMap<String, BTreeSet<String>> }
#[derive(Clone, Debug, Default)]
pub struct Scope { pub vars: BTreeMap<String, Value> }
impl Scope { pub fn set_double(&mut self, _r: &str, _n: &str) {} pub fn new() -> Scope { Scope::default() } pub fn set(&mut self, k: &str, v: Value) { self.vars.insert(k.into(), v); } }
impl Expr {
    pub fn parse(source: &str) -> Result<Expr, ExprError> { Ok(Expr { source: source.into(), refs: Refs::default() }) }
    pub fn source(&self) -> &str { &self.source }
    pub fn refs(&self) -> &Refs { &self.refs }
    pub fn eval(&self, _s: &Scope) -> Result<Value, EvalError> { Ok(Value::Null) }
    pub fn eval_bool(&self, _s: &Scope) -> Result<bool, EvalError> { Ok(true) }
    pub fn eval_list(&self, _s: &Scope) -> Result<Vec<Value>, EvalError> { Ok(vec![]) }
}
#[derive(Clone, Debug, PartialEq)]
pub struct Template { source: String }
impl Template {
    pub fn parse(source: &str) -> Result<Template, ExprError> { Ok(Template { source: source.into() }) }
    pub fn source(&self) -> &str { &self.source }
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> { [].into_iter() }
    pub fn is_literal(&self) -> bool { true }
    pub fn render(&self, _s: &Scope) -> Result<String, EvalError> { Ok(self.source.clone()) }
    pub fn render_value(&self, _s: &Scope) -> Result<Value, EvalError> { Ok(Value::Null) }
}
