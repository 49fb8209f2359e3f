//! Walks a parsed expression: which names it uses, and whether every function in it exists.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr as Node, LiteralValue, operators};
use cel::parser::Expression;

use super::limits::MAX_DEPTH;
use super::names::TYPE_NAMES;

/// In `Refs::task_fields`: the task is used as a whole, so all of its fields are.
pub const WHOLE: &str = "*";

/// What an expression names; the variables of its own comprehensions are not among it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// First names: `params`, `tasks`, `run`, an `as` variable, ...
    pub roots: BTreeSet<String>,
    /// The `x` of `params.x`.
    pub params: BTreeSet<String>,
    /// The `a` of `tasks.a`, as written: with underscores.
    pub tasks: BTreeSet<String>,
    /// `tasks` is used without a literal name after it.
    pub whole_tasks: bool,
    /// `params` is used without a literal name after it.
    pub whole_params: bool,
    /// The fields of `tasks.<a>` in use; [`WHOLE`] among them if the task itself is a value.
    pub task_fields: BTreeMap<String, BTreeSet<String>>,
}

/// One step of a path into a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A field or a key.
    Key(String),
    /// A literal index.
    Index(usize),
    /// Any element, where a comprehension goes through a list.
    Each,
}

/// A chain of names in the source, kept to explain a missing key.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// How many steps at the front are not written in the source (a loop variable's list).
    pub hidden: usize,
    /// How the chain begins in the source: a root or a loop variable.
    pub name: String,
    /// The name in the scope.
    pub root: String,
    /// From the root on.
    pub steps: Vec<Step>,
}

/// Reads an expression's names and paths; refuses unknown functions and trees too deep to evaluate.
pub(super) fn analyse(tree: &Expression) -> Result<(Refs, Vec<Path>), String> {
    let mut walk = Walk { refs: Refs::default(), paths: Vec::new(), bound: Vec::new() };
    walk.visit(tree, 0)?;
    Ok((walk.refs, walk.paths))
}

struct Walk {
    refs: Refs,
    paths: Vec<Path>,
    /// Variables of the comprehensions around the current node, with the list each goes through, if it has a path.
    bound: Vec<(String, Option<Path>)>,
}

impl Walk {
    fn visit(&mut self, node: &Expression, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "too deep: operators, calls and fields are nested more than {MAX_DEPTH} deep; split it over several outputs"
            ));
        }
        if let Some(path) = self.path(node)? {
            return self.record(path);
        }
        match &node.expr {
            Node::Call(call) => self.visit_call(call, depth),
            Node::Comprehension(loops) => self.visit_loop(loops, depth),
            Node::List(list) => list.elements.iter().try_for_each(|e| self.visit(e, depth + 1)),
            Node::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth + 1)?;
                    self.visit(&entry.value, depth + 1)
                }
                EntryExpr::StructField(_) => Err(NO_MESSAGES.to_owned()),
            }),
            Node::Select(select) => self.visit(&select.operand, depth + 1),
            Node::Ident(_) | Node::Literal(_) => Ok(()),
            Node::Struct(_) => Err(NO_MESSAGES.to_owned()),
            Node::Unspecified => Err("there is no expression here".to_owned()),
        }
    }

    fn visit_call(&mut self, call: &CallExpr, depth: usize) -> Result<(), String> {
        let target = call.target.as_deref();
        let of_optional = target.is_some_and(is_optional_namespace);
        check_function(call, of_optional)?;
        if let Some(target) = target.filter(|_| !of_optional) {
            self.visit(target, depth + 1)?;
        }
        call.args.iter().try_for_each(|arg| self.visit(arg, depth + 1))
    }

    fn visit_loop(&mut self, loops: &ComprehensionExpr, depth: usize) -> Result<(), String> {
        self.visit(&loops.iter_range, depth + 1)?;
        self.visit(&loops.accu_init, depth + 1)?;
        let list = self.path(&loops.iter_range)?.map(|path| self.through_loops(path));
        self.bound.push((loops.accu_var.clone(), None));
        self.bound.push((loops.iter_var.clone(), list));
        if let Some(second) = &loops.iter_var2 {
            self.bound.push((second.clone(), None));
        }
        let outcome = self.visit(&loops.loop_cond, depth + 1).and_then(|()| {
            self.visit(&loops.loop_step, depth + 1)?;
            self.visit(&loops.result, depth + 1)
        });
        self.bound.truncate(self.bound.len() - 2 - usize::from(loops.iter_var2.is_some()));
        outcome
    }

    /// The chain of literal names and indices that `node` is, if it is one.
    fn path(&self, node: &Expression) -> Result<Option<Path>, String> {
        let mut steps = Vec::new();
        let mut at = node;
        loop {
            let (inner, step) = match &at.expr {
                Node::Ident(name) => {
                    if let Some(plain) = name.strip_prefix('.') {
                        return Err(format!("a name does not begin with a dot: write `{}`", plain));
                    }
                    steps.reverse();
                    return Ok(Some(Path { hidden: 0, name: name.clone(), root: name.clone(), steps }));
                }
                Node::Select(select) => (&*select.operand, Step::Key(select.field.clone())),
                Node::Call(call) => match literal_index(call) {
                    Some((inner, step)) => (inner, step),
                    None => return Ok(None),
                },
                _ => return Ok(None),
            };
            steps.push(step);
            if steps.len() > MAX_DEPTH {
                return Err(format!("too deep: a path of more than {MAX_DEPTH} fields"));
            }
            at = inner;
        }
    }

    fn record(&mut self, path: Path) -> Result<(), String> {
        let bound = self.bound.iter().any(|(name, _)| *name == path.name);
        let a_type = path.steps.is_empty() && TYPE_NAMES.contains(&path.root.as_str());
        if !bound && !a_type {
            self.refs.record(&path);
        }
        if !path.steps.is_empty() {
            let path = self.through_loops(path);
            self.paths.push(path);
        }
        Ok(())
    }

    /// The same path, seen from the scope: `o.x` inside `list.map(o, ...)` is `list`, each, `x`.
    fn through_loops(&self, path: Path) -> Path {
        match self.bound.iter().rev().find(|(name, _)| *name == path.name) {
            Some((_, Some(list))) => {
                let mut steps = list.steps.clone();
                steps.push(Step::Each);
                let hidden = steps.len();
                steps.extend(path.steps);
                Path { hidden, name: path.name, root: list.root.clone(), steps }
            }
            // A variable over something computed: no path from the scope leads there.
            Some((_, None)) => Path { root: String::new(), ..path },
            None => path,
        }
    }
}

impl Refs {
    fn record(&mut self, path: &Path) {
        self.roots.insert(path.root.clone());
        let first = match path.steps.first() {
            Some(Step::Key(name)) => Some(name),
            _ => None,
        };
        match (path.root.as_str(), first) {
            ("params", Some(name)) => {
                self.params.insert(name.clone());
            }
            ("params", None) => self.whole_params = true,
            ("tasks", Some(name)) => {
                self.tasks.insert(name.clone());
                let field = match path.steps.get(1) {
                    Some(Step::Key(field)) => field.clone(),
                    _ => WHOLE.to_owned(),
                };
                self.task_fields.entry(name.clone()).or_default().insert(field);
            }
            ("tasks", None) => self.whole_tasks = true,
            _ => {}
        }
    }
}

/// `a["x"]`, `a[0]`, `a[?"x"]`, `a.?x`: what is indexed, and by what.
fn literal_index(call: &CallExpr) -> Option<(&Expression, Step)> {
    let indexes = [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT];
    let [inner, index] = call.args.as_slice() else {
        return None;
    };
    if !indexes.contains(&call.func_name.as_str()) {
        return None;
    }
    match &index.expr {
        Node::Literal(LiteralValue::String(key)) => Some((inner, Step::Key(key.inner().to_owned()))),
        Node::Literal(LiteralValue::Int(i)) => Some((inner, Step::Index(usize::try_from(*i.inner()).ok()?))),
        _ => None,
    }
}

/// How many levels a tree has, which is how far the evaluator recurses.
pub(super) fn depth(node: &Expression) -> usize {
    let deepest = |nodes: &mut dyn Iterator<Item = &Expression>| nodes.map(depth).max().unwrap_or(0);
    1 + match &node.expr {
        Node::Call(call) => deepest(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Node::Comprehension(l) => {
            deepest(&mut [&l.iter_range, &l.accu_init, &l.loop_cond, &l.loop_step, &l.result].into_iter())
        }
        Node::List(list) => deepest(&mut list.elements.iter()),
        Node::Map(map) => deepest(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        Node::Select(select) => depth(&select.operand),
        Node::Struct(_) | Node::Ident(_) | Node::Literal(_) | Node::Unspecified => 0,
    }
}

/// Whether a call's target is the `optional` of `optional.of(x)`, which is no value.
pub(super) fn is_optional_namespace(target: &Expression) -> bool {
    matches!(&target.expr, Node::Ident(name) if name == "optional")
}

const NO_MESSAGES: &str = "a type name before `{` makes a protobuf message, which Relay does not have; a map is written {\"key\": value}";
const FUNCTIONS: &[&str] =
    &["bool", "bytes", "double", "dyn", "int", "matches", "size", "string", "type", "uint"];
const METHODS: &[&str] =
    &["contains", "endsWith", "hasValue", "matches", "or", "orValue", "size", "startsWith", "value"];
const OPTIONAL_FUNCTIONS: &[&str] = &["none", "of", "ofNonZeroValue"];
const MACROS: &[(&str, &str)] = &[
    ("has", "has(a.b)"),
    ("all", "list.all(x, condition)"),
    ("exists", "list.exists(x, condition)"),
    ("exists_one", "list.exists_one(x, condition)"),
    ("existsOne", "list.existsOne(x, condition)"),
    ("map", "list.map(x, value) or list.map(x, condition, value)"),
    ("filter", "list.filter(x, condition)"),
];
const TIME_FUNCTIONS: &[&str] =
    &["now", "timestamp", "duration", "getFullYear", "getHours", "rand", "random"];

fn check_function(call: &CallExpr, of_optional: bool) -> Result<(), String> {
    let name = call.func_name.as_str();
    // Operators carry names that no source can spell: `_+_`, `!_`, `@in`.
    let is_operator = !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    let known = match (&call.target, of_optional) {
        (Some(_), true) => OPTIONAL_FUNCTIONS.contains(&name),
        (Some(_), false) => METHODS.contains(&name),
        (None, _) => is_operator || FUNCTIONS.contains(&name),
    };
    if known {
        return Ok(());
    }
    if let Some((_, usage)) = MACROS.iter().find(|(other, _)| *other == name) {
        return Err(format!("`{name}` is written {usage}"));
    }
    if TIME_FUNCTIONS.contains(&name) {
        return Err(format!(
            "there is no function `{name}`: an expression has no clock and no random; what a schedule knows is under `schedule`, anything else is passed as a param"
        ));
    }
    Err(match &call.target {
        Some(_) if FUNCTIONS.contains(&name) => {
            format!("`{name}` is a function, not a method: write {name}(x)")
        }
        Some(_) => format!("there is no method `{name}`; there are {}", METHODS.join(", ")),
        None if METHODS.contains(&name) => format!("`{name}` is a method: write x.{name}(...)"),
        None => format!("there is no function `{name}`; there are {}", FUNCTIONS.join(", ")),
    })
}
