//! Values of params: from where they come, and what is said of those that do not fit.

use std::collections::BTreeMap;

use relay::crd::{Overrides, load, resolve};
use serde_json::{Value, json};

use super::{read, refused, shown, with_tasks};

const PARAMS: &str = "params: [{name: date, pattern: '^\\d{4}-\\d\\d$'}, {name: regions, type: array, default: [eu]}, \
                      {name: n, type: integer, default: 1}, {name: x, type: number, default: 0.5}, \
                      {name: on, type: boolean, default: false}, {name: o, type: object, default: {}}]";

fn workflow() -> String {
    with_tasks("- name: a").replace("params: [{name: date}, {name: list, type: array, default: []}]", PARAMS)
}

fn run(params: &str) -> String {
    format!(
        "---\napiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{generateName: r-}}\nspec: {{workflowRef: {{name: w}}, params: {params}}}\n"
    )
}

fn overrides(flags: &[&str], file: Option<&str>) -> Overrides {
    let flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
    Overrides::read(&flags, file.map(|text| ("p.yaml", text.as_bytes()))).expect("readable")
}

fn values(run_params: &str, overrides: &Overrides) -> BTreeMap<String, Value> {
    let text = format!("{}{}", workflow(), run(run_params));
    load("x.yaml", text.as_bytes(), overrides).expect("valid").runs.remove(0).params
}

#[test]
fn flags_win_over_the_file_over_the_run_over_defaults() {
    let given = "{date: 2020-01, n: 2, x: 2, regions: [a]}";
    let all = values(given, &overrides(&["n=4", "n=5", "on=true"], Some("n: 3\nx: 3\n")));
    let expected = json!({"date": "2020-01", "regions": ["a"], "n": 5, "x": 3, "on": true, "o": {}});
    assert_eq!(json!(all), expected);
}

#[test]
fn a_flag_is_read_by_the_declared_type() {
    let all = values(
        "{}",
        &overrides(&["date=2026-11", "regions=[\"x\", 1]", "n=3.0", "x=1e3", "o={\"a\": null}"], None),
    );
    assert_eq!(
        json!(all),
        json!({"date": "2026-11", "regions": ["x", 1], "n": 3, "x": 1000.0, "on": false, "o": {"a": null}})
    );
    let text = workflow().replace(PARAMS, "params: [{name: s}]");
    let manifests = read(&text).expect("valid");
    for text in ["5", "", "true", "a=b", "[1", " x "] {
        let flag = format!("s={text}");
        let all = resolve("f.yaml", &manifests.workflows[0], &overrides(&[&flag], None)).expect("a text");
        assert_eq!(all["s"], text, "a string is taken as it is");
    }
}

#[test]
fn a_runs_values_are_judged_in_their_place() {
    refused(
        &format!("{}{}", workflow(), run("{date: 2026, dat: x, n: 1.5, regions: eu, on: yes, o: null}")),
        &[
            "12:47: spec.params.date: text is expected for \"date\", not the number 2026; put it in quotes: \"2026\"",
            "12:53: spec.params.dat: unknown param \"dat\"; did you mean \"date\"?",
            "12:64: spec.params.n: a whole number is expected for \"n\", not the number 1.5",
            "12:78: spec.params.regions: a list is expected for \"regions\", not the text \"eu\"",
            "12:86: spec.params.on: true or false is expected for \"on\", not the text \"yes\"",
            "12:94: spec.params.o: an object is expected for \"o\", not nothing (null)",
        ],
    );
    refused(
        &format!("{}{}", workflow(), run("{}")),
        &[
            "12:40: spec.params.date: param \"date\" has no value and no default (text); give it here, or with -p date=...",
        ],
    );
}

#[test]
fn each_source_is_named() {
    let text = format!("{}{}", workflow(), run("{date: soon}"));
    let overrides = overrides(&["n=many", "nn=1", "date=later", "regions=eu"], Some("x: [1]\nnobody: 1\n"));
    let error = load("x.yaml", text.as_bytes(), &overrides).expect_err("refused");
    assert_eq!(
        shown(&error),
        [
            "12:47: spec.params.date: \"soon\" does not match the pattern ^\\d{4}-\\d\\d$ of \"date\"",
            "-p date: \"later\" does not match the pattern ^\\d{4}-\\d\\d$ of \"date\"",
            "-p n: a whole number is expected for \"n\", not \"many\"; write JSON: -p n=5",
            "-p nn: unknown param \"nn\"; declared: date, regions, n, x, on or o",
            "-p regions: a list is expected for \"regions\", not \"eu\"; write JSON: -p regions='[\"a\", \"b\"]'",
            "p.yaml:1:4: x: a number is expected for \"x\", not a list",
            "p.yaml:2:1: nobody: unknown param \"nobody\"; declared: date, regions, n, x, on or o",
        ]
    );
}

#[test]
fn a_workflow_without_a_run_takes_flags_alone() {
    let manifests = read(&workflow()).expect("valid");
    let error =
        resolve("f.yaml", &manifests.workflows[0], &overrides(&["datee=x"], None)).expect_err("refused");
    assert_eq!(
        shown(&error),
        [
            "-p datee: unknown param \"datee\"; did you mean \"date\"?",
            "f.yaml:5:12: spec.params[0]: param \"date\" has no value and no default (text); give it with -p date=...",
        ]
    );
}

#[test]
fn flags_and_files_that_are_none_are_refused() {
    let read = |flags: &[&str], file: &str| {
        let flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
        shown(&Overrides::read(&flags, Some(("p.json", file.as_bytes()))).expect_err("refused"))
    };
    assert_eq!(read(&["date"], "a: 1"), ["-p: \"date\" gives no value; write -p name=value"]);
    assert_eq!(
        read(&["=x"], ""),
        [
            "-p: \"=x\" gives no value; write -p name=value",
            "p.json:1:1: there are no params in this file; write one object: name: value",
        ]
    );
    assert_eq!(
        read(&[], "[1]"),
        ["p.json:1:1: an object of params is expected, not a list; write name: value"]
    );
    assert_eq!(
        read(&[], "a: 1\n---\nb: 1\n"),
        ["p.json:3:1: more than one document; write one object: name: value"]
    );
    assert_eq!(read(&[], "{\"a\": 1"), ["p.json:1:1: not YAML: unclosed bracket '{'"]);
}

#[test]
fn no_value_has_a_nul_or_is_nested_too_deep() {
    let manifests = read(&workflow()).expect("valid");
    let resolved = |flag: &str| {
        let values = resolve("f.yaml", &manifests.workflows[0], &overrides(&["date=2026-11", flag], None));
        values.map(|_| ()).map_err(|findings| findings.to_string())
    };
    let why = resolved("regions=[\"a\\u0000\"]").expect_err("a NUL");
    assert!(why.contains("NUL (\\u0000) cannot be in a value, and is in \"regions\""), "{why}");
    assert!(resolved("o={\"\\u0000\": 1}").is_err());
    let nested = |levels: usize| format!("regions={}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(resolved(&nested(100)), Ok(()));
    let why = resolved(&nested(101)).expect_err("too deep");
    assert!(why.contains("\"regions\" is nested deeper than 100 levels"), "{why}");
}

#[test]
fn a_run_names_a_workflow_of_the_file() {
    let text = format!("{}{}", workflow(), run("{date: 2026-11}"));
    let found = super::findings(&text.replace("{name: w}, params: {date", "{name: v}, params: {date"));
    assert_eq!(
        found,
        ["12:28: spec.workflowRef.name: there is no Workflow \"v\" in this file; add it to this file"]
    );
    let found = super::findings(&text.replace("{generateName: r-}", "{generateName: r-, namespace: other}"));
    assert_eq!(
        found,
        [
            "12:28: spec.workflowRef.name: Workflow \"w\" is in namespace default, the Run in other; put both in one namespace (line 1)"
        ]
    );
    let long = text.replace("name: w}", "name: nightly}");
    let found =
        super::findings(&long.replace("{name: nightly}, params: {date", "{name: nigtly}, params: {date"));
    assert_eq!(
        found,
        [
            "12:28: spec.workflowRef.name: there is no Workflow \"nigtly\" in this file; did you mean \"nightly\"?"
        ]
    );
}
