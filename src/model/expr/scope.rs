//! What an expression may see: JSON values by name, turned into CEL values once, when first asked for.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use serde_json::{Number, Value};

use super::limits::MAX_JSON_DEPTH;

/// Values by root name: `params`, `tasks`, `run`, `schedule`, `index`, the `as` variable.
///
/// Cheap to clone: the clones share their values. A value is turned into CEL when an expression first
/// names its root, and once for all clones, so the items of a forEach share the cost of `tasks`.
///
/// Numbers: JSON numbers without a fraction are `int` (1.0 and 1e3 too), others `double`. Above 2^63 a
/// number written as an integer is `uint`; what fits neither can be carried along but not used.
/// The params named in [`Scope::set_params`] as `type: number` are `double` always.
#[derive(Clone, Default)]
pub struct Scope {
    roots: BTreeMap<String, Arc<Root>>,
}

struct Root {
    json: Arc<Value>,
    doubles: BTreeSet<String>,
    cel: OnceLock<Box<dyn Val>>,
}

impl Scope {
    /// With nothing in it.
    pub fn new() -> Scope {
        Scope::default()
    }

    /// Sets a root; an earlier value of that name is gone.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Arc<Value>>) {
        self.set_root(name.into(), value.into(), BTreeSet::new());
    }

    /// Sets `params`; `doubles` are the names of those declared `type: number`.
    pub fn set_params(&mut self, params: impl Into<Arc<Value>>, doubles: BTreeSet<String>) {
        self.set_root("params".to_owned(), params.into(), doubles);
    }

    fn set_root(&mut self, name: String, json: Arc<Value>, doubles: BTreeSet<String>) {
        self.roots.insert(name, Arc::new(Root { json, doubles, cel: OnceLock::new() }));
    }

    /// The JSON under a root.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.roots.get(name).map(|root| &*root.json)
    }

    /// The roots there are, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.roots.keys().map(String::as_str)
    }

    /// Whether a root was turned into CEL already.
    #[cfg(test)]
    pub(super) fn is_converted(&self, name: &str) -> bool {
        self.roots.get(name).is_some_and(|root| root.cel.get().is_some())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.roots.iter().map(|(name, root)| (name, &root.json))).finish()
    }
}

impl VariableResolver for Scope {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let root = self.roots.get(variable)?;
        Some(CowVal::Borrowed(root.cel.get_or_init(|| root.convert()).as_ref()))
    }
}

impl Root {
    fn convert(&self) -> Box<dyn Val> {
        match &*self.json {
            Value::Object(fields) => map(fields.iter().map(|(name, value)| {
                let double = self.doubles.contains(name);
                (name, convert(value, double, MAX_JSON_DEPTH - 1))
            })),
            other => convert(other, false, MAX_JSON_DEPTH),
        }
    }
}

fn convert(json: &Value, double: bool, depth: usize) -> Box<dyn Val> {
    let Some(depth) = depth.checked_sub(1) else {
        return Box::new(Unusable::TooDeep);
    };
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(b) => Box::new(CelBool::from(*b)),
        Value::Number(n) => number(n, double),
        Value::String(s) => Box::new(CelString::from(s.clone())),
        Value::Array(items) => {
            let items: Vec<Box<dyn Val>> = items.iter().map(|item| convert(item, double, depth)).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(fields) => map(fields.iter().map(|(key, value)| (key, convert(value, double, depth)))),
    }
}

fn map<'a>(entries: impl Iterator<Item = (&'a String, Box<dyn Val>)>) -> Box<dyn Val> {
    let mut inner = CelMap::default().into_inner();
    inner.extend(entries.map(|(key, value)| (CelMapKey::from(key.clone()), value)));
    Box::new(CelMap::from(inner))
}

fn number(n: &Number, double: bool) -> Box<dyn Val> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let as_double = n.as_f64().unwrap_or(f64::NAN);
    if double && as_double.is_finite() {
        Box::new(CelDouble::from(as_double))
    } else if let Some(i) = n.as_i64() {
        Box::new(CelInt::from(i))
    } else if let Some(u) = n.as_u64() {
        Box::new(CelUInt::from(u))
    } else if as_double.is_finite() && as_double.fract() != 0.0 {
        Box::new(CelDouble::from(as_double))
    } else if (-TWO_TO_63..TWO_TO_63).contains(&as_double) {
        Box::new(CelInt::from(as_double as i64))
    } else {
        Box::new(Unusable::TooLarge)
    }
}

/// A value that may lie in the scope unused; whatever uses it fails, with its name in the message.
#[derive(Clone, Copy, Debug)]
enum Unusable {
    TooLarge,
    TooDeep,
}

static TOO_LARGE: Type = Type::new_unspecified_type("a number beyond 64 bits");
static TOO_DEEP: Type = Type::new_unspecified_type("a value nested too deep");

impl Val for Unusable {
    fn get_type(&self) -> &Type {
        match self {
            Unusable::TooLarge => &TOO_LARGE,
            Unusable::TooDeep => &TOO_DEEP,
        }
    }

    fn cel_type() -> &'static Type {
        &TOO_LARGE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Unusable {}
