//! No text panics, and nothing that parses breaks when it is evaluated.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::model::expr::*;

fn words() -> impl Strategy<Value = String> {
    const WORDS: &str = "params tasks .a .?b [ ] [? ( ) { } ' \" ''' r' b' \\ $( $$( $ + - ! * / % == < && || ? : , \
        .map(x, .all(x, .filter(x, has( size( x 1 1u 0x 1.5 1e 9223372036854775807 null true in // \u{e4} \u{0} ` @ \
        optional.of( .orValue( matches( string( int( type(";
    let mut words: Vec<&str> = WORDS.split(' ').filter(|word| !word.is_empty()).collect();
    words.extend([" ", "\n"]);
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
}

fn one_of(words: &'static str) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(words.split_whitespace().collect::<Vec<_>>())
}

/// Text that follows the grammar, so that most of it parses.
fn grammar() -> impl Strategy<Value = String> {
    let leaf = one_of(
        "params tasks x params.a tasks.a.outputs 1 0 -1 2.5 0.0 's' \"\" b'x' null true false [] {} 3u \
         9223372036854775807 (-9223372036854775807-1) optional.none()",
    );
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let binary = one_of("+ - * / % == != < <= > >= in && ||");
        let call = one_of("size string int uint double bool bytes type dyn optional.of ! -");
        let method = one_of("contains startsWith endsWith matches orValue or");
        let looped = one_of("map filter all exists exists_one");
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (pair.clone(), binary).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (call, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (pair.clone(), method).prop_map(|((a, b), f)| format!("({a}).{f}({b})")),
            (pair.clone(), looped).prop_map(|((a, b), f)| format!("({a}).{f}(x, {b})")),
            pair.clone().prop_map(|(a, b)| format!("({a})[{b}]")),
            pair.clone().prop_map(|(a, b)| format!("({a})[?{b}]")),
            (pair.clone(), inner.clone()).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
            pair.clone().prop_map(|(a, b)| format!("{{{a}: {b}, ?'k': {b}}}")),
            pair.prop_map(|(a, b)| format!("[{a}, ?{b}]")),
            inner.clone().prop_map(|a| format!("({a}).a")),
            inner.clone().prop_map(|a| format!("({a}).?b.value()")),
            inner.prop_map(|a| format!("has(({a}).a)")),
        ]
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|m| json!(m)),
        ]
    })
}

fn read_all(text: &str, scope: &Scope) {
    if let Ok(expr) = Expr::parse(text) {
        if let Err(error) = expr.eval(scope) {
            let message = error.to_string();
            assert!(!message.contains("it cannot be evaluated"), "the evaluator panicked at {text}");
        }
        let _ = (expr.eval_bool(scope), expr.eval_list(scope));
    }
    if let Ok(template) = Template::parse(text) {
        let _ = (template.render(scope), template.render_value(scope));
    }
    let _ = find_interpolation(text, Some("x"));
    let argv: Vec<String> = text.split(' ').map(str::to_owned).collect();
    assert!(script_argument(&argv).is_none_or(|i| i < argv.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in ".{0,64}", value in any_json()) {
        let mut scope = Scope::new();
        scope.set("params", value);
        read_all(&text, &scope);
        read_all(&format!("$({text})"), &scope);
    }

    #[test]
    fn any_words(text in words(), value in any_json()) {
        let mut scope = Scope::new();
        scope.set("params", value.clone());
        scope.set("x", value);
        read_all(&text, &scope);
        read_all(&format!("a$({text})b"), &scope);
    }

    #[test]
    fn any_expression(text in grammar(), params in any_json(), tasks in any_json()) {
        let mut scope = Scope::new();
        scope.set("params", params.clone());
        scope.set("tasks", tasks);
        scope.set("x", params);
        read_all(&text, &scope);
        match Expr::parse(&text) {
            Ok(expr) => prop_assert_eq!(expr.eval(&scope), expr.eval(&scope)),
            Err(error) => prop_assert!(error.message.contains("too deep"), "{}: {}", text, error),
        }
    }

    #[test]
    fn the_meter_changes_no_result(text in grammar(), params in any_json(), tasks in any_json()) {
        let mut scope = Scope::new();
        scope.set("params", params.clone());
        scope.set("tasks", tasks);
        scope.set("x", params);
        // Without the meter a loop over a map takes its keys in any order.
        prop_assume!(!text.contains('{') && !format!("{scope:?}").contains("\"b\""));
        if let Ok(expr) = Expr::parse(&text) {
            let metered = expr.eval(&scope);
            // The one thing made stricter: `[?0.5]` is an error, not nothing.
            let stricter = |e: &EvalError| e.to_string().contains("indexed by an int");
            if !metered.as_ref().is_err_and(stricter) && !text.contains("[?") {
                prop_assert_eq!(metered.ok(), plain(&text, &scope), "{}", text);
            }
        }
    }

    #[test]
    fn json_goes_through_unchanged(value in any_json()) {
        let mut scope = Scope::new();
        scope.set("x", value.clone());
        let whole = Expr::parse("x").expect("parses").eval(&scope);
        let unusable = |error: &EvalError| matches!(error.kind, EvalErrorKind::NotJson(_));
        match whole {
            Ok(out) => prop_assert_eq!(numbers_as_doubles(&out), numbers_as_doubles(&value)),
            Err(error) => prop_assert!(unusable(&error), "{}", error),
        }
    }

    #[test]
    fn any_command(argv in prop::collection::vec("(sh|env|timeout|python3|perl|node|-c|-lc|-o|--|-|-e|A=1|x|)", 0..8)) {
        if let Some(i) = script_argument(&argv) {
            prop_assert!(i < argv.len());
        }
    }
}

/// What cel's other parser and its evaluator make of a text, without the meter.
fn plain(text: &str, scope: &Scope) -> Option<Value> {
    let work = || {
        let env = std::sync::Arc::new(cel::Env::stdlib());
        let program = env.compile(text).ok()?;
        let mut context = cel::Context::with_env(env);
        context.set_variable_resolver(scope);
        let result = cel::Value::resolve_val(program.expression(), &context).ok()?;
        value::to_json(result.as_ref()).ok()
    };
    stack::with_room(100, work).flatten()
}

/// 1.0 and 1 are the same number in JSON.
fn numbers_as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(items) => items.iter().map(numbers_as_doubles).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), numbers_as_doubles(v))).collect(),
        other => other.clone(),
    }
}
