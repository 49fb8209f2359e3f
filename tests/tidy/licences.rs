//! Every dependency's licence is one that an Apache-2.0 program may ship with.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// What may stand. Each unusual one says why.
const ALLOWED: [(&str, &str); 11] = [
    ("Apache-2.0", "Relay's own"),
    ("MIT", "usual"),
    ("MIT-0", "MIT without the duty to name it"),
    ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 with fewer duties"),
    ("BSL-1.0", "Boost's: asks only that sources keep its text, in xxhash-rust"),
    ("BSD-2-Clause", "usual"),
    ("BSD-3-Clause", "usual"),
    ("ISC", "usual"),
    ("Zlib", "usual; asks only that changed sources are marked"),
    ("Unicode-3.0", "Unicode's tables, in the icu crates and unicode-ident"),
    ("CDLA-Permissive-2.0", "data: Mozilla's root certificates, in webpki-roots"),
];

/// For which the binary is built; what another system alone would link is not shipped.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// An SPDX expression as a list of tokens; a crate of old writes `A/B` for `A OR B`.
fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens: Vec<String> = Vec::new();
    let mut words = spaced.split_whitespace();
    while let Some(word) = words.next() {
        match tokens.last_mut() {
            Some(last) if word == "WITH" => {
                *last = format!("{last} WITH {}", words.next().unwrap_or_default())
            }
            _ => tokens.push(word.to_owned()),
        }
    }
    tokens
}

/// Whether an expression can be met with allowed licences alone: AND binds before OR. An error names what is odd.
fn may_ship(expression: &str) -> Result<bool, String> {
    let tokens = tokens(expression);
    let mut at = 0;
    let answer = either(&tokens, &mut at)?;
    if at == tokens.len() { Ok(answer) } else { Err(format!("`{}` where an end was expected", tokens[at])) }
}

fn either(tokens: &[String], at: &mut usize) -> Result<bool, String> {
    let mut answer = both(tokens, at)?;
    while tokens.get(*at).is_some_and(|token| token == "OR") {
        *at += 1;
        answer |= both(tokens, at)?;
    }
    Ok(answer)
}

fn both(tokens: &[String], at: &mut usize) -> Result<bool, String> {
    let mut answer = one(tokens, at)?;
    while tokens.get(*at).is_some_and(|token| token == "AND") {
        *at += 1;
        answer &= one(tokens, at)?;
    }
    Ok(answer)
}

fn one(tokens: &[String], at: &mut usize) -> Result<bool, String> {
    let token = tokens.get(*at).ok_or("it ends too early")?;
    *at += 1;
    match token.as_str() {
        "(" => {
            let answer = either(tokens, at)?;
            if tokens.get(*at).is_none_or(|token| token != ")") {
                return Err("a parenthesis stays open".to_owned());
            }
            *at += 1;
            Ok(answer)
        }
        "AND" | "OR" | ")" => Err(format!("`{token}` where a licence was expected")),
        name => Ok(ALLOWED.iter().any(|(allowed, _)| *allowed == name)),
    }
}

fn metadata() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for target in TARGETS {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Name with version, and licence, of each package that is linked, built or tested with.
fn dependencies(metadata: &Value) -> Vec<(String, Option<String>)> {
    let list = |path: &str| metadata.pointer(path).and_then(Value::as_array).expect("cargo's shape").clone();
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let used: BTreeSet<String> = list("/resolve/nodes").iter().filter_map(|node| text(node, "id")).collect();
    let packages = list("/packages");
    let wanted = packages.iter().filter(|package| text(package, "id").is_some_and(|id| used.contains(&id)));
    wanted
        .map(|package| {
            let name = format!("{} {}", text(package, "name").unwrap_or_default(), package["version"]);
            (name, text(package, "license"))
        })
        .collect()
}

#[test]
fn every_dependency_has_a_licence_that_relay_may_ship_with() {
    let dependencies = dependencies(&metadata());
    assert!(dependencies.len() > 50, "the scan finds them: {}", dependencies.len());
    let mut findings = Vec::new();
    for (name, licence) in dependencies {
        let Some(licence) = licence else {
            findings.push(format!(
                "{name}: names no licence; read its files, then choose another crate or say why in ALLOWED"
            ));
            continue;
        };
        match may_ship(&licence) {
            Ok(true) => {}
            Ok(false) => findings
                .push(format!("{name}: {licence} is not in ALLOWED; choose another crate, or say why there")),
            Err(odd) => findings.push(format!("{name}: cannot read the expression {licence}: {odd}")),
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for yes in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND ISC", "GPL-3.0 AND ISC OR MIT"]
    {
        assert_eq!(may_ship(yes), Ok(true), "{yes}");
    }
    for no in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "MIT WITH Odd-exception", "mit"]
    {
        assert_eq!(may_ship(no), Ok(false), "{no}");
    }
    for odd in ["", "MIT OR", "(MIT", "MIT ISC", "AND"] {
        assert!(may_ship(odd).is_err(), "{odd}");
    }
}
