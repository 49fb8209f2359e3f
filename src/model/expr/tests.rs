//! What expressions give, refuse and cost.

mod cost;
mod fuzz;
mod text;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// A scope as a run has it half way.
pub(super) fn a_scope() -> Scope {
    let mut scope = Scope::new();
    let params = json!({"date": "2026-11-20", "regions": ["eu", "us"], "ratio": 2, "tries": 3.0, "big": 1e3, "id": 18446744073709551615u64, "huge": 1e300});
    scope.set_params(params, BTreeSet::from(["ratio".to_owned()]));
    scope.set(
        "tasks",
        json!({
            "extract": {"status": "SUCCESS", "attempt": 1, "outputs": [{"rows": 3, "name": "a"}, {"rows": 5, "name": "b"}]},
            "load_data": {"status": "SUCCESS", "outputs": {"rows": 8, "bytes": 1.5}},
            "skipped": {"status": "SKIPPED", "outputs": {}},
        }),
    );
    scope.set("run", json!({"status": "FAILED"}));
    scope.set("index", json!(0));
    scope.set("region", json!("eu"));
    scope
}

pub(super) fn eval(source: &str) -> Result<Value, String> {
    let expr = Expr::parse(source).map_err(|e| e.message)?;
    expr.eval(&a_scope()).map_err(|e| e.kind.to_string())
}

fn fails(source: &str, words: &str) {
    let message = eval(source).expect_err(source);
    assert!(message.contains(words), "{source}: got {message:?}, want {words:?}");
    assert!(!message.contains("Some(") && !message.contains("String("), "debug output: {message}");
}

fn gives(cases: &[(&str, Value)]) {
    for (source, want) in cases {
        assert_eq!(eval(source).as_ref(), Ok(want), "{source}");
    }
}

#[test]
fn the_expressions_of_the_guide_give_what_they_say() {
    let cases = [
        ("params.regions", json!(["eu", "us"])),
        ("tasks.extract.outputs.map(o, o.rows)", json!([3, 5])),
        ("tasks.extract.outputs.all(o, o.rows > 0)", json!(true)),
        ("tasks.extract.outputs.filter(o, o.rows > 3).map(o, o.name)", json!(["b"])),
        ("tasks.extract.outputs.map(o, o.rows > 3, o.name)", json!(["b"])),
        ("tasks.extract.outputs.exists_one(o, o.rows == 5)", json!(true)),
        ("tasks.extract.outputs[0].rows + tasks.load_data.outputs.rows", json!(11)),
        ("tasks['load_data'].outputs['rows']", json!(8)),
        ("run.status == 'FAILED' ? 'bad' : 'good'", json!("bad")),
        ("'eu' in params.regions && index == 0", json!(true)),
        ("has(tasks.load_data.outputs.rows) && !has(tasks.load_data.outputs.lines)", json!(true)),
        ("tasks.skipped.outputs.?rows.orValue(0)", json!(0)),
        ("tasks.load_data.outputs[?'rows'].orValue(0)", json!(8)),
        ("tasks.?load_data.outputs.?rows.orValue(0)", json!(8)),
        ("tasks.load_data.outputs.?rows.hasValue()", json!(true)),
        ("[?tasks.skipped.outputs.?rows, 1]", json!([1])),
        ("optional.of(1).value()", json!(1)),
        ("{'b': [1, 2.5], 'a': null}", json!({"a": null, "b": [1, 2.5]})),
    ];
    gives(&cases);
}

#[test]
fn types_texts_and_numbers_are_those_of_cel() {
    let cases = [
        ("params.date.matches('^[0-9]{4}-') && params.date.startsWith('2026')", json!(true)),
        ("matches(params.date, '\\\\d+')", json!(true)),
        ("size(params.regions) + size('äö') + params.regions.size()", json!(6)),
        ("string(3) + '/' + string(true)", json!("3/true")),
        ("int('42') + int(2.9)", json!(44)),
        ("type(params.ratio) == double && type(params.tries) == int && type(params.big) == int", json!(true)),
        ("params.ratio / 4.0", json!(0.5)),
        ("params.big + 1", json!(1001)),
        ("1 == 1.0 && 1u == 1", json!(true)),
        ("params.id", json!(18446744073709551615u64)),
        ("r'\\d' == '\\\\d' && \"\"\"a'b\"\"\" == 'a\\'b'", json!(true)),
        ("[[1, 2], [3]].map(x, x.map(y, y * 2))", json!([[2, 4], [6]])),
        ("-9223372036854775808", json!(i64::MIN)),
    ];
    gives(&cases);
}

#[test]
fn a_failure_is_told_in_words() {
    fails("tasks.load_data.outputs.rowz", "`tasks.load_data.outputs` has no key `rowz`; it has bytes, rows");
    fails("tasks.extract.outputs.all(o, o.rowz > 0)", "`o` has no key `rowz`; it has name, rows");
    fails("tasks.extract.outputs[1].rowz", "`tasks.extract.outputs[1]` has no key `rowz`");
    fails("tasks.skipped.outputs.rows", "it has nothing (a task has outputs only after SUCCESS)");
    fails("param.date", "nothing is called `param` here; there is index, params, region, run, tasks");
    fails("params.date > 1", "`>` does not work on a string and an integer (int)");
    fails("params.date + 1", "`+` does not work on a string and an integer (int)");
    fails("params.date.rows", "a string has no fields");
    fails("params.regions[2]", "index 2 is outside the list");
    fails("params.regions[0.5]", "a list is indexed by an int");
    fails("params.regions['x']", "a list cannot be indexed by a string");
    fails("!params.date", "`!` does not work on a string");
    fails("1 / (index)", "division by zero");
    fails("9223372036854775807 + 1", "9223372036854775807 + 1 is beyond");
    fails("params.date.matches('(')", "regex");
    fails("{'a': 1, 'a': 2}", "twice");
    fails("params.date ? 1 : 2", "a string where a boolean is needed");
    fails("params.huge > 1", "a number beyond 64 bits");
    fails("[params.huge]", "a number beyond 64 bits, which cannot leave");
    fails("b'x'", "a bytes, which cannot leave");
    fails("type(1)", "a type, which cannot leave");
    fails("tasks.skipped.outputs.?rows", "end it with .orValue(...)");
    fails("1.0 / 0.0", "not finite");
    fails("int('x')", "int");
}

#[test]
fn a_mistake_is_refused_when_parsed() {
    let cases = [
        ("", "an expression is expected"),
        ("1 +", "ends too early"),
        ("a b", "did not expect 'b'"),
        ("'abc", "never closed"),
        ("if", "reserved"),
        ("now()", "no clock"),
        ("timestamp('2026-11-20T00:00:00Z')", "no clock"),
        ("foo(1)", "there is no function `foo`"),
        ("params.x.foo()", "there is no method `foo`"),
        ("params.regions.map(x)", "written list.map(x, value)"),
        ("params.x.string()", "write string(x)"),
        ("startsWith('a', 'b')", "is a method"),
        ("Foo{a: 1}", "protobuf"),
        (".params.x", "does not begin with a dot"),
        ("a & b", "'&'"),
        ("99999999999999999999", "invalid int"),
    ];
    for (source, words) in cases {
        let message = Expr::parse(source).expect_err(source).message;
        assert!(message.contains(words), "{source}: {message}");
    }
    assert_eq!(Expr::parse("äö == 1").map_err(|e| e.at), Err(Some(0)));
    assert_eq!(Expr::parse("'äö' +\n 1 1").map_err(|e| e.at), Err(Some(10)));
}

#[test]
fn a_place_that_takes_a_type_names_what_it_got() {
    let scope = a_scope();
    let parse = |source| Expr::parse(source).expect(source);
    assert_eq!(parse("index == 0").eval_bool(&scope), Ok(true));
    let error = parse("params.regions").eval_bool(&scope).expect_err("a list").to_string();
    assert_eq!(error, "`params.regions`: gives a list; a boolean is needed here");
    assert_eq!(parse("params.regions").eval_list(&scope), Ok(vec![json!("eu"), json!("us")]));
    let error = parse("null").eval_list(&scope).expect_err("null").to_string();
    assert_eq!(error, "`null`: gives null; a list is needed here");
}

fn names(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

#[test]
fn refs_are_the_names_from_outside() {
    let refs = |source: &str| Expr::parse(source).expect(source).refs().clone();
    let r =
        refs("tasks.a.outputs.map(o, o.x + params.p + index) == [] || has(tasks.b_c.status) && region != ''");
    assert_eq!(names(&r.roots), ["index", "params", "region", "tasks"]);
    assert_eq!(names(&r.params), ["p"]);
    assert_eq!(names(&r.tasks), ["a", "b_c"]);
    assert_eq!(names(&r.task_fields["b_c"]), ["status"]);
    assert!(!r.whole_tasks && !r.whole_params);

    let r = refs("params.l.map(params, params.x)");
    assert_eq!(names(&r.params), ["l"], "the inner `params` is the loop's own");
    let r = refs("params.l.map(x, x.map(y, x)).map(x, x) + x");
    assert_eq!(names(&r.roots), ["params", "x"], "the last x is from outside");
    let r = refs("tasks[params.n].outputs");
    assert!(r.whole_tasks && r.tasks.is_empty());
    let r = refs("tasks.?a[?'outputs'].x == tasks['b'] && size(params) > 0 && type(1) == int");
    assert_eq!(names(&r.tasks), ["a", "b"]);
    assert_eq!(names(&r.task_fields["a"]), ["outputs"]);
    assert_eq!(names(&r.task_fields["b"]), [WHOLE]);
    assert!(r.whole_params && !r.roots.contains("int"));
}

#[test]
fn only_the_roots_in_use_are_converted_and_once_for_all_clones() {
    let scope = a_scope();
    let other = scope.clone();
    Expr::parse("params.date").expect("parses").eval(&scope).expect("evaluates");
    assert!(other.is_converted("params"));
    assert!(!scope.is_converted("tasks"));
}

#[test]
fn equal_by_source() {
    assert_eq!(Expr::parse("1 + 1"), Expr::parse("1 + 1"));
    assert_ne!(Expr::parse("1 + 1"), Expr::parse("1+1"));
    assert_eq!(cel_name("load-data-2"), "load_data_2");
    for word in CEL_RESERVED {
        assert!(Expr::parse(word).is_err() || ["true", "false", "null"].contains(word), "{word}");
    }
}
