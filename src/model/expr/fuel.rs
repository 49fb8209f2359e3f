//! What an evaluation may spend, and the functions of the metered tree that spend it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelString, CelUInt};
use cel::common::value::{BuiltinRef, CowVal, Val};
use cel::{Context, Env, ExecutionError, FunctionContext};
use regex::{Regex, RegexBuilder};

use super::limits::{ELEMENT_FUEL, FUEL, MAX_STEPS, REGEX_BYTES, REGEX_FUEL, TEXT_BYTES_PER_FUEL};

/// Weighs a value that is about to be copied, compared or searched, and gives it on.
pub const TOUCH: &str = "@touch";
/// Weighs a text only: for what reads no further than that.
pub const GLANCE: &str = "@glance";
/// Gives an index on if a list can take it.
pub const KEY: &str = "@key";
/// Pays for one loop step and its element; true.
pub const TICK: &str = "@tick";
/// What a loop goes through: of a map its keys, in order.
pub const RANGE: &str = "@range";
/// `matches` with a bound on the pattern.
pub const MATCHES: &str = "@matches";

/// CEL's standard functions without clock (cel's `chrono` feature is off) and extensions; built once.
pub fn environment() -> Arc<Env> {
    static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
    Arc::clone(&STANDARD)
}

/// What is left for one evaluation.
#[derive(Clone)]
pub struct Fuel(Arc<Tank>);

struct Tank {
    steps: AtomicI64,
    fuel: AtomicI64,
}

type Meter = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync,
>;

impl Fuel {
    /// Enough for one evaluation.
    pub fn full() -> Fuel {
        Fuel(Arc::new(Tank { steps: AtomicI64::new(MAX_STEPS as i64), fuel: AtomicI64::new(FUEL as i64) }))
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
                value.and_then(|v| v.downcast_ref::<CelString>()).map(|s| s.inner().to_owned())
            };
            let (Some(subject), Some(pattern), 2) =
                (text(call.args.first()), text(call.args.get(1)), call.args.len())
            else {
                let types = call.args.iter().map(|arg| arg.get_type().name().to_owned()).collect();
                return Err(ExecutionError::no_such_overload("matches", types));
            };
            fuel.spend(subject.len() as u64)?;
            let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
                fuel.spend(REGEX_FUEL)?;
                let compiled = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build();
                let compiled = compiled.map_err(|e| ExecutionError::function_error("matches", e))?;
                *last = Some((pattern, compiled));
            }
            let yes = last.as_ref().is_some_and(|(_, regex)| regex.is_match(&subject));
            Ok(CowVal::owned(CelBool::from(yes)))
        })
    }
}

fn take(left: &AtomicI64, amount: u64) -> Result<(), ExecutionError> {
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let rest = left.load(Ordering::Relaxed).saturating_sub(amount);
    left.store(rest, Ordering::Relaxed);
    if rest < 0 { Err(ExecutionError::function_error("@fuel", "spent")) } else { Ok(()) }
}

/// A fractional index is refused here: the evaluator would copy the whole list into its error.
fn key() -> Meter {
    Box::new(|call| {
        let value = argument(call)?;
        match value.downcast_ref::<CelDouble>() {
            Some(number) if number.inner().fract() != 0.0 || !number.inner().is_finite() => {
                Err(ExecutionError::function_error("[]", "a list is indexed by an int"))
            }
            _ => Ok(value),
        }
    })
}

fn argument<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> {
    call.args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
}

/// Numbers by value before texts, each in order; a map has keys of no other type but bool.
fn sort_key(key: &dyn Val) -> (u8, i128, String) {
    if let Some(text) = key.downcast_ref::<CelString>() {
        return (2, 0, text.inner().to_owned());
    }
    let int = key.downcast_ref::<CelInt>().map(|i| i128::from(*i.inner()));
    let number = int.or_else(|| key.downcast_ref::<CelUInt>().map(|u| i128::from(*u.inner())));
    let truth = key.downcast_ref::<CelBool>().map(|b| i128::from(*b.inner()));
    (u8::from(number.is_some()), number.or(truth).unwrap_or(0), String::new())
}

/// The fuel that copying or comparing a value costs; stops counting soon after `limit`.
fn weigh(value: &dyn Val, limit: u64) -> u64 {
    let text = |bytes: usize| 1 + bytes as u64 / TEXT_BYTES_PER_FUEL;
    match value.as_builtin() {
        BuiltinRef::String(s) => text(s.inner().len()),
        BuiltinRef::Bytes(b) => text(b.inner().len()),
        BuiltinRef::List(list) => weigh_all(list.inner().iter().map(|v| v.as_ref()), limit),
        BuiltinRef::Map(map) => {
            weigh_all(map.inner().iter().flat_map(|(key, v)| [key.inner(), v.as_ref()]), limit)
        }
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
