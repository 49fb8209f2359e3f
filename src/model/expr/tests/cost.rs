//! Every cost has a bound: depth, steps, copying, results.

use std::thread;

use serde_json::json;

use crate::model::expr::*;
use crate::model::workflow::limits::JSON_DEPTH;

/// A worker thread's stack; everything here must fit, in a debug build too.
fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(check);
    thread.expect("a thread").join().expect("no overflow and no failed check");
}

fn list_scope(items: usize) -> Scope {
    let mut scope = Scope::new();
    scope.set("l", json!((0..items).collect::<Vec<_>>()));
    scope.set("s", json!("x".repeat(items)));
    scope.set("objects", json!((0..items).map(|i| json!({"a": i, "b": [i]})).collect::<Vec<_>>()));
    scope
}

fn kind(source: &str, scope: &Scope) -> Option<EvalErrorKind> {
    Expr::parse(source).expect(source).eval(scope).err().map(|e| e.kind)
}

#[test]
fn deep_sources_are_refused_or_evaluated_never_fatal() {
    on_a_small_stack(|| {
        let deep = |open: &str, n: usize, close: &str| open.repeat(n) + "1" + &close.repeat(n);
        for n in [10, 16, 24, 32, 33, 48, 100, 400, 1000, 2000, 10_000] {
            let sources = [
                deep("(", n, ")"),
                deep("[", n, "]"),
                deep("{1:", n, "}"),
                deep("!", n, ""),
                deep("-", n, ""),
                deep("!-", n, ""),
                deep("- ", n, ""),
                deep("true ? ", n, " : 1"),
                deep("true ? 1 : ", n, ""),
                deep("size([", n, "])"),
                deep("", n, "+1"),
                deep("", n, " in [1]"),
                deep("x", n, ""),
                format!("a{}", ".b".repeat(n)),
                format!("a{}", ".?b".repeat(n)),
                format!("a{}", "[0]".repeat(n)),
                format!("'a'{}", ".size()".repeat(n)),
                format!("[1]{}", ".map(x,x)".repeat(n)),
                format!("[1]{}1{}", ".map(x,[x]".repeat(n), ")".repeat(n)),
                format!("{}[1]{}", "[1].map(x,".repeat(n), ")".repeat(n)),
                format!("true{}", " || true".repeat(n)),
                "(".repeat(n),
                "[".repeat(n),
                "{".repeat(n),
                "$(".repeat(n),
            ];
            for source in sources {
                if let Ok(expr) = Expr::parse(&source) {
                    let _ = expr.eval(&list_scope(2));
                }
                let _ = Template::parse(&format!("$({source})")).map(|t| t.render(&Scope::new()));
                let _ = Template::parse(&source);
            }
        }
    });
}

#[test]
fn the_deepest_expression_allowed_is_evaluated() {
    on_a_small_stack(|| {
        let sum = vec!["1"; 40].join(" + ");
        assert_eq!(Expr::parse(&sum).expect("parses").eval(&Scope::new()), Ok(json!(40)));
        let loops = format!("{}1{}", "[1].map(x, ".repeat(12), ")".repeat(12));
        assert!(Expr::parse(&loops).expect("parses").eval(&Scope::new()).is_ok());
    });
}

#[test]
fn a_result_is_nested_no_deeper_than_a_value_may_be() {
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let mut scope = Scope::new();
    scope.set("v", nested(JSON_DEPTH));
    assert_eq!(kind("v", &scope), None);
    assert_eq!(kind("[v]", &scope), Some(EvalErrorKind::TooDeep));
    assert_eq!(kind("{'k': v}", &scope), Some(EvalErrorKind::TooDeep));
    assert_eq!(kind("[v].size()", &scope), None, "what does not leave it is nobody's business");
}

#[test]
fn loop_steps_have_a_bound() {
    let pairs = "l.map(x, l.filter(y, x == y).size()).size()";
    assert_eq!(kind(pairs, &list_scope(300)), None);
    let scope = list_scope(2000);
    assert_eq!(kind(pairs, &scope), Some(EvalErrorKind::TooCostly));
    // An error inside a loop, or a true beside it, does not hide what it cost.
    let hidden = "l.exists(x, l.exists(y, 1 / 0 > y)) || true";
    assert_eq!(kind(hidden, &scope), Some(EvalErrorKind::TooCostly));
}

#[test]
fn a_for_each_of_full_size_can_be_gathered() {
    let scope = list_scope(100_000);
    let gathered = Expr::parse("objects.filter(o, o.a % 2 == 0).map(o, o.a).size()").expect("parses");
    assert_eq!(gathered.eval(&scope), Ok(json!(50_000)));
}

#[test]
fn growth_has_a_bound() {
    let scope = list_scope(1000);
    let doubling = |step: &str, n| format!("['xxxxxxxxxxxxxxxx']{}", step.repeat(n));
    assert_eq!(kind(&doubling(".map(x,x+x)", 25), &scope), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind(&doubling(".map(x,[x,x])", 25), &scope), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind(&doubling(".map(x,{1:x,2:x})", 25), &scope), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("l.map(x, s + s).size()", &list_scope(100_000)), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("l.map(x, l)", &list_scope(5000)), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("l.map(x, l == objects)", &list_scope(5000)), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("l.map(x, x in l)", &list_scope(5000)), Some(EvalErrorKind::TooCostly));
    assert_eq!(
        kind("l.map(x, l - 1)", &list_scope(5000)),
        Some(EvalErrorKind::Failed("`-` does not work on a list and an integer (int)".into()))
    );
    assert_eq!(kind("l.exists(x, l - 1 == 0)", &list_scope(5000)), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("l.map(x, {'l': l}.?l.hasValue())", &list_scope(5000)), Some(EvalErrorKind::TooCostly));
}

#[test]
fn a_result_has_a_bound() {
    let text = |bytes: usize| {
        let mut scope = Scope::new();
        scope.set("s", json!("x".repeat(bytes)));
        scope
    };
    assert_eq!(kind("s", &text(MAX_RESULT_BYTES - 2)), None);
    assert_eq!(kind("s", &text(MAX_RESULT_BYTES)), Some(EvalErrorKind::TooLarge));
    assert_eq!(kind("objects", &list_scope(60_000)), Some(EvalErrorKind::TooLarge));
    let twice = Template::parse("$(s)$(s)").expect("parses");
    let error = twice.render(&text(600_000)).expect_err("too large");
    assert_eq!(error.kind, EvalErrorKind::TooLarge);
}

#[test]
fn regular_expressions_have_a_bound() {
    let scope = list_scope(100);
    assert_eq!(kind("l.all(x, s.matches('x+'))", &scope), None);
    assert!(matches!(kind("s.matches('(\\\\w{1000}){1000}')", &scope), Some(EvalErrorKind::Failed(_))));
    let patterns = "l.map(x, s.matches(string(x)))";
    assert_eq!(kind(patterns, &scope), Some(EvalErrorKind::TooCostly));
    assert_eq!(kind("s.matches('(a*)*(a*)*(a*)*b')", &list_scope(100_000)), None);
}

#[test]
fn long_sources_are_refused() {
    assert!(Expr::parse(&format!("'{}'", "x".repeat(MAX_SOURCE_BYTES))).is_err());
    assert!(Template::parse(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
    assert!(Template::parse(&"$(1)".repeat(300)).is_err());
}

#[test]
fn a_loop_over_a_map_goes_in_order() {
    let mut scope = Scope::new();
    let fields: Vec<_> = (0..50).map(|i| (format!("k{i:02}"), json!(i))).collect();
    scope.set("m", json!(fields.iter().cloned().collect::<serde_json::Map<_, _>>()));
    let keys = Expr::parse("m.map(k, m[k])").expect("parses").eval(&scope);
    assert_eq!(keys, Ok(json!((0..50).collect::<Vec<_>>())));
    let mixed = Expr::parse("{'b': 1, 'a': 2, 10: 3, 9: 4, true: 5}.map(k, k)").expect("parses");
    assert_eq!(mixed.eval(&scope), Ok(json!([true, 9, 10, "a", "b"])));
}
