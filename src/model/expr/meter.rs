//! Puts a meter into an expression: cel has no budget, so the tree itself is made to pay.
//!
//! Every place where the evaluator copies, compares or searches a value of unknown size is wrapped in a
//! call that first weighs the value and spends fuel for it; every loop step pays for itself and its
//! element before its body runs. The names of these calls begin with `@`, which no source can spell.
//! A value can only grow by `+` and by list and map literals, whose parts are all weighed, so neither
//! memory nor time can exceed the fuel by more than one value that was already paid for.
//! Loops over a map go through its keys in order, so that the same scope always gives the same result.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr as Node, LiteralValue, operators,
};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, CelUInt};
use cel::common::value::{BuiltinRef, CowVal, Val};
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError, FunctionContext};
use regex::{Regex, RegexBuilder};

use super::limits::{ELEMENT_FUEL, FUEL, MAX_STEPS, REGEX_BYTES, REGEX_FUEL, TEXT_BYTES_PER_FUEL};
use super::refs::is_optional_namespace;

const TOUCH: &str = "@touch";
const GLANCE: &str = "@glance";
const KEY: &str = "@key";
const TICK: &str = "@tick";
const RANGE: &str = "@range";
const MATCHES: &str = "@matches";

/// CEL's standard functions without clock (cel's `chrono` feature is off) and extensions; built once.
pub fn environment() -> Arc<Env> {
    static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
    Arc::clone(&STANDARD)
}

/// The same expression, with the meter in it.
pub fn meter(node: Expression) -> Expression {
    let Expression { id, expr } = node;
    let expr = match expr {
        Node::Call(call) => return meter_call(id, call),
        Node::Comprehension(loops) => Node::Comprehension(Box::new(meter_loop(*loops))),
        Node::List(mut list) => {
            list.elements = list.elements.into_iter().map(touched).collect();
            Node::List(list)
        }
        Node::Map(mut map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    entry.key = touched(std::mem::take(&mut entry.key));
                    entry.value = touched(std::mem::take(&mut entry.value));
                }
            }
            Node::Map(map)
        }
        Node::Select(mut select) => {
            *select.operand = meter(std::mem::take(&mut *select.operand));
            Node::Select(select)
        }
        other => other,
    };
    Expression { id, expr }
}

fn meter_call(id: u64, mut call: CallExpr) -> Expression {
    use operators::*;
    let name = call.func_name.clone();
    let wrap: fn(Expression) -> Expression = match name.as_str() {
        LOGICAL_AND | LOGICAL_OR | LOGICAL_NOT | CONDITIONAL | INDEX | OPT_INDEX | OPT_SELECT => {
            meter
        }
        "size" | "type" => |arg| invoke(GLANCE, vec![meter(arg)]),
        // `@result + [x]`: the evaluator appends in place, and x is weighed as a part of a list.
        ADD if is_accumulator(call.args.first()) => meter,
        _ => touched,
    };
    call.args = call.args.into_iter().map(wrap).collect();
    if let Some(target) = call.target.take() {
        let plain = is_optional_namespace(&target);
        call.target = Some(if plain {
            target
        } else {
            Box::new(wrap(*target))
        });
    }
    if name == "matches" {
        let text = call.target.take().map(|target| *target);
        return invoke(MATCHES, text.into_iter().chain(call.args).collect());
    }
    if (name == INDEX || name == OPT_INDEX) && call.args.len() == 2 {
        let index = call.args.remove(1);
        call.args.push(invoke(KEY, vec![index]));
    }
    let whole = Expression {
        id,
        expr: Node::Call(call),
    };
    // These two copy what they find.
    if name == OPT_INDEX || name == OPT_SELECT {
        invoke(TOUCH, vec![whole])
    } else {
        whole
    }
}

fn meter_loop(loops: ComprehensionExpr) -> ComprehensionExpr {
    let variable = loops.iter_var.clone();
    ComprehensionExpr {
        iter_range: invoke(RANGE, vec![meter(loops.iter_range)]),
        accu_init: meter(loops.accu_init),
        loop_step: tick_step(meter(loops.loop_step), &variable),
        ..loops
    }
}

/// Puts the tick where the user's part of the step begins, so that the evaluator still knows the shapes
/// `@result + [x]`, `c ? @result + [x] : @result` and `@result && x`, which it runs without copying.
fn tick_step(mut step: Expression, variable: &str) -> Expression {
    if let Node::Call(call) = &mut step.expr {
        let users_part = match call.func_name.as_str() {
            operators::CONDITIONAL => call.args.first_mut(),
            operators::LOGICAL_AND | operators::LOGICAL_OR => call.args.get_mut(1),
            operators::ADD => match call.args.get_mut(1).map(|list| &mut list.expr) {
                Some(Node::List(list)) => list.elements.first_mut(),
                _ => None,
            },
            _ => None,
        };
        if let Some(part) = users_part {
            *part = after_tick(std::mem::take(part), variable);
            return step;
        }
    }
    after_tick(step, variable)
}

/// `@tick(variable) ? body : false`; the tick is always true, or an error.
fn after_tick(body: Expression, variable: &str) -> Expression {
    let element = plain(Node::Ident(variable.to_owned()));
    let never = plain(Node::Literal(LiteralValue::Boolean(false.into())));
    invoke(
        operators::CONDITIONAL,
        vec![invoke(TICK, vec![element]), body, never],
    )
}

fn touched(node: Expression) -> Expression {
    let node = meter(node);
    if always_small(&node.expr) {
        node
    } else {
        invoke(TOUCH, vec![node])
    }
}

/// Whether a value is a number or a boolean, or was counted when the source was measured.
fn always_small(node: &Node) -> bool {
    use operators::*;
    const SMALL: &[&str] = &[
        EQUALS,
        NOT_EQUALS,
        LESS,
        LESS_EQUALS,
        GREATER,
        GREATER_EQUALS,
        IN,
        LOGICAL_AND,
        LOGICAL_OR,
        LOGICAL_NOT,
        SUBSTRACT,
        MULTIPLY,
        DIVIDE,
        MODULO,
        NEGATE,
        "size",
        TOUCH,
    ];
    match node {
        Node::Literal(_) => true,
        Node::Call(call) => SMALL.contains(&call.func_name.as_str()),
        _ => false,
    }
}

fn is_accumulator(node: Option<&Expression>) -> bool {
    matches!(node.map(|n| &n.expr), Some(Node::Ident(name)) if name.starts_with('@'))
}

fn invoke(name: &str, args: Vec<Expression>) -> Expression {
    plain(Node::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    }))
}

fn plain(expr: Node) -> Expression {
    Expression { id: 0, expr }
}

/// What is left for one evaluation.
#[derive(Clone)]
pub struct Fuel(Arc<Tank>);

struct Tank {
    steps: AtomicI64,
    fuel: AtomicI64,
}

type Meter = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError>
        + Send
        + Sync,
>;

impl Fuel {
    /// Enough for one evaluation.
    pub fn full() -> Fuel {
        Fuel(Arc::new(Tank {
            steps: AtomicI64::new(MAX_STEPS as i64),
            fuel: AtomicI64::new(FUEL as i64),
        }))
    }

    /// Whether the evaluation wanted more than there was. An error alone does not tell: `||` may swallow it.
    pub fn is_spent(&self) -> bool {
        self.0.fuel.load(Ordering::Relaxed) < 0 || self.0.steps.load(Ordering::Relaxed) < 0
    }

    fn spend(&self, amount: u64) -> Result<(), ExecutionError> {
        take(&self.0.fuel, amount)
    }

    fn spend_for(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        let left = u64::try_from(self.0.fuel.load(Ordering::Relaxed)).unwrap_or(0);
        self.spend(weigh(value, left))
    }

    /// Gives `context` the functions that the metered tree calls.
    pub fn install(&self, context: &mut Context<'_, '_>) {
        let meters: [(&str, Meter); 6] = [
            (TOUCH, self.touch()),
            (GLANCE, self.glance()),
            (KEY, key()),
            (TICK, self.tick()),
            (RANGE, self.range()),
            (MATCHES, self.matches()),
        ];
        for (name, function) in meters {
            // Fails only for a name of the standard library; none begins with `@` but `@in` and its like.
            let added = context.add_function(name, function);
            debug_assert!(added.is_ok());
        }
    }

    fn touch(&self) -> Meter {
        let fuel = self.clone();
        Box::new(move |call| {
            let value = argument(call)?;
            fuel.spend_for(value.as_ref())?;
            Ok(value)
        })
    }

    fn glance(&self) -> Meter {
        let fuel = self.clone();
        Box::new(move |call| {
            let value = argument(call)?;
            if let BuiltinRef::String(_) = value.as_builtin() {
                fuel.spend_for(value.as_ref())?;
            }
            Ok(value)
        })
    }

    fn tick(&self) -> Meter {
        let fuel = self.clone();
        Box::new(move |call| {
            take(&fuel.0.steps, 1)?;
            fuel.spend_for(argument(call)?.as_ref())?;
            Ok(CowVal::owned(CelBool::from(true)))
        })
    }

    fn range(&self) -> Meter {
        let fuel = self.clone();
        Box::new(move |call| {
            let value = argument(call)?;
            let BuiltinRef::Map(map) = value.as_builtin() else {
                return Ok(value);
            };
            fuel.spend(ELEMENT_FUEL.saturating_mul(map.inner().len() as u64))?;
            let mut keys: Vec<_> = map.inner().keys().map(|key| key.inner()).collect();
            keys.sort_by_cached_key(|key| sort_key(*key));
            let keys: Vec<_> = keys.into_iter().map(Val::clone_as_boxed).collect();
            Ok(CowVal::owned(CelList::from(keys)))
        })
    }

    fn matches(&self) -> Meter {
        let fuel = self.clone();
        let last: Mutex<Option<(String, Regex)>> = Mutex::new(None);
        Box::new(move |call| {
            let text = |value: Option<&CowVal<'_, '_>>| {
                value
                    .and_then(|v| v.downcast_ref::<CelString>())
                    .map(|s| s.inner().to_owned())
            };
            let (Some(subject), Some(pattern), 2) = (
                text(call.args.first()),
                text(call.args.get(1)),
                call.args.len(),
            ) else {
                let types = call
                    .args
                    .iter()
                    .map(|arg| arg.get_type().name().to_owned())
                    .collect();
                return Err(ExecutionError::no_such_overload("matches", types));
            };
            fuel.spend(subject.len() as u64)?;
            let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
                fuel.spend(REGEX_FUEL)?;
                let compiled = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build();
                let compiled =
                    compiled.map_err(|e| ExecutionError::function_error("matches", e))?;
                *last = Some((pattern, compiled));
            }
            let yes = last
                .as_ref()
                .is_some_and(|(_, regex)| regex.is_match(&subject));
            Ok(CowVal::owned(CelBool::from(yes)))
        })
    }
}

fn take(left: &AtomicI64, amount: u64) -> Result<(), ExecutionError> {
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let rest = left.load(Ordering::Relaxed).saturating_sub(amount);
    left.store(rest, Ordering::Relaxed);
    if rest < 0 {
        Err(ExecutionError::function_error("@fuel", "spent"))
    } else {
        Ok(())
    }
}

/// A fractional index is refused here: the evaluator would copy the whole list into its error.
fn key() -> Meter {
    Box::new(|call| {
        let value = argument(call)?;
        match value.downcast_ref::<CelDouble>() {
            Some(number) if number.inner().fract() != 0.0 || !number.inner().is_finite() => Err(
                ExecutionError::function_error("[]", "a list is indexed by an int"),
            ),
            _ => Ok(value),
        }
    })
}

fn argument<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> {
    call.args
        .pop()
        .ok_or(ExecutionError::MissingArgumentOrTarget)
}

/// Numbers by value before texts, each in order; a map has keys of no other type but bool.
fn sort_key(key: &dyn Val) -> (u8, i128, String) {
    if let Some(text) = key.downcast_ref::<CelString>() {
        return (2, 0, text.inner().to_owned());
    }
    let int = key.downcast_ref::<CelInt>().map(|i| i128::from(*i.inner()));
    let number = int.or_else(|| {
        key.downcast_ref::<CelUInt>()
            .map(|u| i128::from(*u.inner()))
    });
    let truth = key
        .downcast_ref::<CelBool>()
        .map(|b| i128::from(*b.inner()));
    (
        u8::from(number.is_some()),
        number.or(truth).unwrap_or(0),
        String::new(),
    )
}

/// The fuel that copying or comparing a value costs; stops counting soon after `limit`.
fn weigh(value: &dyn Val, limit: u64) -> u64 {
    let text = |bytes: usize| 1 + bytes as u64 / TEXT_BYTES_PER_FUEL;
    match value.as_builtin() {
        BuiltinRef::String(s) => text(s.inner().len()),
        BuiltinRef::Bytes(b) => text(b.inner().len()),
        BuiltinRef::List(list) => weigh_all(list.inner().iter().map(|v| v.as_ref()), limit),
        BuiltinRef::Map(map) => weigh_all(
            map.inner()
                .iter()
                .flat_map(|(key, v)| [key.inner(), v.as_ref()]),
            limit,
        ),
        BuiltinRef::Optional(inner) => inner.option().map_or(1, |v| weigh(v, limit)),
        _ => 1,
    }
}

fn weigh_all<'a>(values: impl Iterator<Item = &'a (dyn Val + 'a)>, limit: u64) -> u64 {
    let mut sum = ELEMENT_FUEL;
    for value in values {
        sum = sum.saturating_add(ELEMENT_FUEL + weigh(value, limit.saturating_sub(sum)));
        if sum > limit {
            break;
        }
    }
    sum
}
