//! Templates, and the script text that they never touch.

use serde_json::{Value, json};

use super::a_scope;
use crate::model::expr::*;

fn render(source: &str) -> Result<String, String> {
    let template = Template::parse(source).map_err(|e| e.message)?;
    template.render(&a_scope()).map_err(|e| e.to_string())
}

fn render_value(source: &str) -> Value {
    Template::parse(source).expect(source).render_value(&a_scope()).expect(source)
}

#[test]
fn text_takes_values_as_a_user_would_write_them() {
    let cases = [
        ("plain $HOME $ $$ text", "plain $HOME $ $$ text"),
        ("Publish $(params.date)?", "Publish 2026-11-20?"),
        ("$(index)/$(params.big)/$(index == 0)", "0/1000/true"),
        ("$({'b': 1, 'a': [1.5, 'x']})", r#"{"a":[1.5,"x"],"b":1}"#),
        ("$$(date) $(region)", "$(date) eu"),
        ("$$$(region)", "$$(region)"),
        ("$(')' + \"(\" + r'\\' + '''a)'b''')", ")(\\a)'b"),
        ("$((1 + (2)) * 3) // $(1)", "9 // 1"),
        ("ä$( region )ö", "äeuö"),
        ("$(region // the )\n)", "eu"),
    ];
    for (source, want) in cases {
        assert_eq!(render(source).as_deref(), Ok(want), "{source}");
    }
    assert_eq!(
        render("$(null)"),
        Err("`null`: gives null, which cannot stand in a text; use orValue(...) or a condition".into())
    );
}

#[test]
fn alone_it_keeps_its_type() {
    assert_eq!(render_value("$(params.regions)"), json!(["eu", "us"]));
    assert_eq!(render_value("$(index)"), json!(0));
    assert_eq!(render_value("$(null)"), Value::Null);
    assert_eq!(render_value(" $(index)"), json!(" 0"));
    assert_eq!(render_value("x"), json!("x"));
    assert_eq!(render_value(""), json!(""));
}

#[test]
fn a_broken_template_says_where() {
    let error = |source: &str| Template::parse(source).map(|_| ()).expect_err(source);
    assert_eq!(error("ab $(params.x").at, Some(3));
    assert_eq!(error("ö $('abc)").at, Some(4));
    let broken = error("ä $(1 1)");
    assert_eq!(broken.at, Some(6));
    assert!(broken.message.contains("`$$(`"), "{}", broken.message);
    assert_eq!(error("x $()").at, Some(4));
}

#[test]
fn a_template_knows_its_expressions() {
    let template = Template::parse("$(params.a) and $(tasks.b.status)").expect("parses");
    let roots: Vec<_> = template.exprs().flat_map(|e| e.refs().roots.iter().cloned()).collect();
    assert_eq!(roots, ["params", "tasks"]);
    assert!(!template.is_literal());
    assert!(Template::parse("$$(a)").expect("parses").is_literal());
    assert_eq!(Template::parse("a"), Template::parse("a"));
}

#[test]
fn in_a_script_only_what_can_only_be_ours_is_found() {
    let find = |script: &str| find_interpolation(script, Some("region"));
    assert_eq!(find("echo $(date) $(ls params.txt) $(parameters.x) $(tasks)"), None);
    assert_eq!(find("echo ä $(params.x)"), Some((7, "params".into())));
    assert_eq!(find("$( tasks['a'].status)"), Some((0, "tasks".into())));
    assert_eq!(find("$( tasks.a.status)"), Some((0, "tasks".into())));
    assert_eq!(find("a $(run.status) $(schedule.date)"), Some((2, "run".into())));
    assert_eq!(find("$(region)"), Some((0, "region".into())));
    assert_eq!(find("$(regional)"), None);
    assert_eq!(find_interpolation("$(region)", None), None);
}

#[test]
fn the_script_in_a_command_is_found() {
    let cases: [(&[&str], Option<usize>); 33] = [
        (&["sh", "-c", "S"], Some(2)),
        (&["/bin/bash", "-lc", "S", "x"], Some(2)),
        (&["bash", "-euo", "pipefail", "-c", "S"], Some(4)),
        (&["bash", "-o", "pipefail", "-ec", "S"], Some(4)),
        (&["bash", "--norc", "--rcfile", "f", "-c", "S"], Some(5)),
        (&["sh", "-c", "-e", "S"], Some(3)),
        (&["sh", "-c", "--", "S"], Some(3)),
        (&["sh", "-ce", "S"], Some(2)),
        (&["sh", "script.sh", "-c", "x"], None),
        (&["sh", "-c"], None),
        (&["sh"], None),
        (&["zsh", "-c", "S"], Some(2)),
        (&["python3", "-c", "S"], Some(2)),
        (&["python3.12", "-u", "-W", "ignore", "-c", "S"], Some(5)),
        (&["python", "-cprint(1)"], Some(1)),
        (&["python3", "app.py", "-c", "x"], None),
        (&["python3", "-m", "http.server", "-c", "x"], None),
        (&["pythonic", "-c", "x"], None),
        (&["node", "-e", "S"], Some(2)),
        (&["node", "--eval=S"], Some(1)),
        (&["node", "app.js", "-e", "x"], None),
        (&["perl", "-lane", "S"], Some(2)),
        (&["perl", "-i.bake", "-pe", "S"], Some(3)),
        (&["env", "A=1", "-u", "B", "sh", "-c", "S"], Some(6)),
        (&["/usr/bin/env", "-i", "bash", "-c", "S"], Some(4)),
        (&["timeout", "-k", "5", "10s", "sh", "-c", "S"], Some(6)),
        (&["timeout", "--signal=KILL", "10", "env", "X=y", "bash", "-lc", "S"], Some(7)),
        (&["env", "timeout", "5", "python3", "-c", "S"], Some(5)),
        (&["env", "A=1"], None),
        (&["timeout", "5"], None),
        (&["/app/tool", "-c", "x"], None),
        (&["busybox", "sh", "-c", "S"], Some(3)),
        (&[], None),
    ];
    for (argv, want) in cases {
        let argv: Vec<String> = argv.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(script_argument(&argv), want, "{argv:?}");
    }
}
