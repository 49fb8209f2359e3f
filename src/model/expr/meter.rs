//! Puts a meter into an expression: cel has no budget, so the tree itself is made to pay.
//!
//! Every place where the evaluator copies, compares or searches a value of unknown size is wrapped in a
//! call that first weighs the value and spends fuel for it; every loop step pays for itself and its
//! element before its body runs. The names of these calls begin with `@`, which no source can spell.
//! A value can only grow by `+` and by list and map literals, whose parts are all weighed, so neither
//! memory nor time can exceed the fuel by more than one value that was already paid for.
//! Loops over a map go through its keys in order, so that the same scope always gives the same result.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr as Node, LiteralValue, operators};
use cel::parser::Expression;

use super::fuel::{GLANCE, KEY, MATCHES, RANGE, TICK, TOUCH};
use super::refs::is_optional_namespace;

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
        LOGICAL_AND | LOGICAL_OR | LOGICAL_NOT | CONDITIONAL | INDEX | OPT_INDEX | OPT_SELECT => meter,
        "size" | "type" => |arg| invoke(GLANCE, vec![meter(arg)]),
        // `@result + [x]`: the evaluator appends in place, and x is weighed as a part of a list.
        ADD if is_accumulator(call.args.first()) => meter,
        _ => touched,
    };
    call.args = call.args.into_iter().map(wrap).collect();
    if let Some(target) = call.target.take() {
        let plain = is_optional_namespace(&target);
        call.target = Some(if plain { target } else { Box::new(wrap(*target)) });
    }
    if name == "matches" {
        let text = call.target.take().map(|target| *target);
        return invoke(MATCHES, text.into_iter().chain(call.args).collect());
    }
    if (name == INDEX || name == OPT_INDEX) && call.args.len() == 2 {
        let index = call.args.remove(1);
        call.args.push(invoke(KEY, vec![index]));
    }
    let whole = Expression { id, expr: Node::Call(call) };
    // These two copy what they find.
    if name == OPT_INDEX || name == OPT_SELECT { invoke(TOUCH, vec![whole]) } else { whole }
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
    invoke(operators::CONDITIONAL, vec![invoke(TICK, vec![element]), body, never])
}

fn touched(node: Expression) -> Expression {
    let node = meter(node);
    if always_small(&node.expr) { node } else { invoke(TOUCH, vec![node]) }
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
    plain(Node::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

fn plain(expr: Node) -> Expression {
    Expression { id: 0, expr }
}
