//! Manifests: what is read, what is refused and in which words.

mod definition;
mod fuzz;
mod object;
mod params;
mod refused;
mod status;
mod structure;
mod yaml;

use relay::crd::{Findings, Manifests, Overrides, load};

/// Loads a manifest without flags.
fn read(text: &str) -> Result<Manifests, Findings> {
    load("x.yaml", text.as_bytes(), &Overrides::default())
}

/// The findings of a text, a line each, without the file's name and the excerpts.
fn findings(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(findings) => shown(&findings),
    }
}

fn shown(findings: &Findings) -> Vec<String> {
    findings.list.iter().map(|finding| finding.to_string().replace("x.yaml:", "")).collect()
}

/// Asserts that a text is refused with exactly these findings.
#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let found = findings(text);
    assert_eq!(found, expected, "\nfound:\n{}\n", found.join("\n"));
}

/// Asserts that these tasks, written from column 5 on and in line 7, are refused with exactly these findings.
#[track_caller]
fn tasks_refused(tasks: &str, expected: &[&str]) {
    refused(&with_tasks(tasks), expected);
}

/// A Workflow with these tasks; params `date` (text) and `list`. The tasks begin in line 7.
fn with_tasks(tasks: &str) -> String {
    let head = "apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  \
                params: [{name: date}, {name: list, type: array, default: []}]\n  tasks:\n";
    let body: String = tasks.trim_matches('\n').lines().map(|line| format!("    {line}\n")).collect();
    format!("{head}{body}")
}

/// The manifest of the design, without what is not built yet.
const COMPLETE: &str = include_str!("complete.yaml");
