//! YAML itself: what the text means, and what is said when it means nothing.

use proptest::prelude::*;
use relay::crd::{Overrides, load, read as read_file, resolve};
use serde_json::json;

use super::{findings, read, refused, with_tasks};

/// Each param's value as a params file gives it, through the same reader as manifests.
fn value_of(yaml: &str) -> serde_json::Value {
    let text = format!("a: {yaml}\n");
    let overrides = Overrides::read(&[], Some(("p.yaml", text.as_bytes()))).expect("a params file");
    let kinds = ["string", "integer", "number", "boolean", "array", "object"];
    for kind in kinds {
        let text = with_tasks("- name: x").replace("{name: date}", &format!("{{name: a, type: {kind}}}"));
        let manifests = read(&text).expect("a workflow");
        if let Ok(values) = resolve("f.yaml", &manifests.workflows[0], &overrides) {
            return values["a"].clone();
        }
    }
    json!(null)
}

#[test]
fn scalars_mean_what_yaml_1_2_says() {
    for (yaml, value) in [
        ("yes", json!("yes")),
        ("off", json!("off")),
        ("true", json!(true)),
        ("\"true\"", json!("true")),
        ("'5'", json!("5")),
        ("5", json!(5)),
        ("-0x1F", json!("-0x1F")),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("1.5e1", json!(15)),
        ("1.25", json!(1.25)),
        (".5", json!(0.5)),
        ("1_000", json!("1_000")),
        ("2026-11-20", json!("2026-11-20")),
        ("12:30:45", json!("12:30:45")),
        ("~", json!(null)),
        ("!!str 5", json!("5")),
        ("[a, 1]", json!(["a", 1])),
        ("{x: {y: z}}", json!({"x": {"y": "z"}})),
        ("&b [1]", json!([1])),
        ("\"\\u00e9\\n\"", json!("é\n")),
    ] {
        assert_eq!(value_of(yaml), value, "{yaml}");
    }
}

#[test]
fn what_is_no_manifest_is_said_in_one_finding() {
    let first = "write a Workflow: apiVersion: relay.works/v1alpha1, kind: Workflow, metadata, spec";
    for nothing in ["", "\n\n", "# only a comment\n", "---\n---\n", "\u{feff}"] {
        refused(nothing, &[&format!("1:1: there is no manifest in this file; {first}")]);
    }
    refused("a: [1, 2\n", &["1:4: not YAML: unclosed bracket '['"]);
    refused(
        "just words\n",
        &[
            "1:1: a manifest is an object with apiVersion, kind, metadata and spec, not the text \"just words\"",
        ],
    );
    refused(
        "apiVersion: v1\nkind: ConfigMap\n",
        &[
            "1:1: there is no Workflow or Run in this file; Relay's objects begin with apiVersion: relay.works/v1alpha1",
        ],
    );
    let helm = findings("metadata: {name: {{ .Values.name }}}\n");
    assert!(helm[1].ends_with("if {{ }} is Helm's, render the template first (helm template)"), "{helm:?}");
    let helm = findings("{{- if .Values.on }}\nkind: Run\n");
    assert!(
        helm[0].ends_with("this looks like a Helm template: render it first (helm template)"),
        "{helm:?}"
    );
    let tab = findings("a:\n\tb: 1\n");
    assert!(tab[0].starts_with("2:1: not YAML") || tab[0].starts_with("2:2: not YAML"), "{tab:?}");
    assert!(tab[0].ends_with("indent with spaces, YAML allows no tabs there"), "{tab:?}");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let error = load("x.yaml", b"a: b\nc: \xff\xfe\n", &Overrides::default()).expect_err("refused");
    let shown = error.to_string();
    let expected = "x.yaml:2:4: this is not UTF-8 text; is it a manifest at all? Save it as UTF-8";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_file_of_10_mb_is_refused_unread() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big.yaml");
    std::fs::write(&path, "# filler\n".repeat((10 << 20) / 9 + 1)).expect("written");
    let error = read_file(&path).expect_err("refused").to_string();
    assert!(
        error.ends_with(
            "big.yaml: the file has 10.0 MiB, and 4 MiB are allowed; split it, or keep data out of manifests"
        ),
        "{error}"
    );
    let error =
        load("x.yaml", &vec![b'#'; 10 << 20], &Overrides::default()).expect_err("refused").to_string();
    assert!(error.starts_with("x.yaml:1:1: the file has 10.0 MiB"), "{error}");
    let missing = read_file(&folder.path().join("no.yaml")).expect_err("refused").to_string();
    assert!(missing.ends_with("no.yaml: there is no such file; check the path"), "{missing}");
    let directory = read_file(folder.path()).expect_err("refused").to_string();
    assert!(directory.ends_with("this is a folder; name a file in it"), "{directory}");
}

#[test]
fn a_file_within_the_bound_is_read_however_it_is_made() {
    let comment = format!("{}# {}\n", with_tasks("- name: a"), "x".repeat((4 << 20) - 400));
    assert!(read(&comment).is_ok());
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let text = format!("a: [1\n---\n{}", with_tasks("- {name: a, dependsOn: [b]}"));
    refused(
        &text,
        &["1:4: not YAML: unclosed bracket '['", "9:29: spec.tasks[0].dependsOn[0]: unknown task \"b\""],
    );
}

#[test]
fn repeated_keys_and_bad_aliases_are_all_said() {
    let text = with_tasks("- {name: a, name: b, pool: x, pool: y, when: *gone, script: !foo x}");
    refused(
        &text,
        &[
            "7:17: field \"name\" is written twice, first in line 7; keep one of them",
            "7:35: field \"pool\" is written twice, first in line 7; keep one of them",
            "7:50: alias \"*gone\" names no anchor above it; anchors are written &name",
            "7:70: tag !foo is not supported; put it in quotes if it is meant as text",
        ],
    );
}

#[test]
fn anchors_and_merge_keys_spare_repetition() {
    let text = with_tasks(
        "- &base {name: a, command: [echo, hi], retry: &twice {limit: 2}}\n- {<<: *base, name: b, retry: {limit: 5}}\n- {<<: [*base], name: c}\n- {name: d, retry: *twice, script: x}",
    );
    let manifests = read(&text).expect("valid");
    let limits: Vec<u32> =
        manifests.workflows[0].workflow.tasks.iter().map(|task| task.retry.limit).collect();
    assert_eq!(limits, [2, 5, 2, 2]);
}

#[test]
fn aliases_cannot_ask_for_gigabytes() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let above = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![above; 10].join(", "));
    }
    let found = findings(&bomb);
    assert!(found.iter().any(|finding| finding.contains("more than 1000000 values")), "{found:?}");
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    let found = findings(&long);
    assert!(found.iter().any(|finding| finding.contains("aliases that repeat more than 8 MiB")), "{found:?}");
}

#[test]
fn depth_has_a_bound() {
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
        let found = findings(&deep);
        assert_eq!(found.len(), 1, "{}", found.join("\n"));
        assert!(found[0].contains("not YAML"), "{}", found[0]);
    }
}

#[test]
fn at_most_a_hundred_findings_are_shown_and_the_rest_is_counted() {
    let tasks: String = (0..300).map(|n| format!("- {{name: t{n}, dependsOn: [nobody{n}]}}\n")).collect();
    let error = read(&with_tasks(&tasks)).expect_err("refused");
    assert_eq!((error.list.len(), error.more, error.total()), (100, 200, 300));
    assert!(error.to_string().ends_with("\nand 200 more"));
    assert!(error.list.is_sorted_by_key(|finding| (finding.line, finding.column)));
}

#[test]
fn a_finding_shows_its_line_with_a_caret() {
    let error =
        read(&with_tasks("- name: extract\n- name: check\n  dependsOn: [exract]")).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "x.yaml:9:19: spec.tasks[1].dependsOn[0]: unknown task \"exract\"; did you mean \"extract\"?\n  \
         9 |       dependsOn: [exract]\n    |                   ^"
    );
}

#[test]
fn a_terminal_sees_no_escape_sequences_of_a_file() {
    let error =
        read(&with_tasks("- {name: a, dependsOn: [\"\\e[31mred\"]} # \u{1b}[31m")).expect_err("refused");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What serde-saphyr, kube's reader, makes of a text is what this reader makes of it.
    #[test]
    fn values_are_those_of_serde_saphyr(value in json_value()) {
        let yaml = serde_saphyr::to_string(&json!({"a": value})).expect("YAML");
        let overrides = Overrides::read(&[], Some(("p.yaml", yaml.as_bytes()))).expect(&yaml);
        let kind = match &value {
            serde_json::Value::String(_) => "string",
            serde_json::Value::Bool(_) => "boolean",
            serde_json::Value::Number(_) => "number",
            serde_json::Value::Array(_) => "array",
            _ => "object",
        };
        let text = with_tasks("- name: x").replace("{name: date}", &format!("{{name: a, type: {kind}}}"));
        let manifest = &read(&text).expect("a workflow").workflows[0];
        prop_assert_eq!(&resolve("f.yaml", manifest, &overrides).expect(&yaml)["a"], &value, "{}", yaml);
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        "\\PC{0,12}".prop_map(|text| json!(text)),
        "[-a-z0-9:#&*!|>'\"%@`{}\\[\\], .~\n]{0,12}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map("[a-z<~]{1,6}", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}
