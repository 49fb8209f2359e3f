//! What docs/durability.md claims is shown by tests that are there.

use crate::source::{Finding, Source};

/// Names of tests, as `cargo test` would list them, of a document's tables: in backticks, with `::`, and nothing else.
fn named(document: &str) -> impl Iterator<Item = (usize, &str)> {
    document.lines().enumerate().filter(|(_, line)| line.starts_with('|')).flat_map(|(at, line)| {
        let words = line.split('`').skip(1).step_by(2);
        words.filter(|word| word.contains("::") && !word.contains(' ')).map(move |word| (at + 1, word))
    })
}

/// Names that no test has. Where a module's name is a macro's, only the function can be looked for.
pub fn missing(path: &str, document: &str, sources: &[Source]) -> Vec<Finding> {
    let there = |name: &str| {
        let function = format!("fn {}(", name.rsplit("::").next().unwrap_or(name));
        sources.iter().any(|source| source.path.starts_with("tests/") && source.code.contains(&function))
    };
    let finding = |line, name| Finding {
        path: path.to_owned(),
        line,
        rule: "proofs",
        fix: format!("no test is called {name}: name the one that shows it"),
    };
    named(document).filter(|(_, name)| !there(name)).map(|(line, name)| finding(line, name)).collect()
}
