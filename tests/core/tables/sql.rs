//! The list of states that Postgres accepts, once every migration has run.

use std::collections::BTreeSet;

use relay::model::status::{RunStatus, TaskStatus};

/// All migrations in order, without comments, as statements.
fn statements() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let entries = std::fs::read_dir(folder).expect("there are migrations");
    let mut files: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".up.sql"));
    files.sort();
    let text: String = files.iter().map(|f| std::fs::read_to_string(f).expect("UTF-8") + ";\n").collect();
    let bare: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    bare.join("\n").split(';').map(|s| s.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The words of the last `CHECK (status IN (...))` that a table is given.
fn checked(statements: &[String], table: &str) -> BTreeSet<String> {
    let of_table = |s: &&String| {
        let mut words = s.split([' ', '(']).filter(|w| !w.is_empty());
        let verb = (words.next().unwrap_or("").to_lowercase(), words.next().unwrap_or("").to_lowercase());
        let known = [("create", "table"), ("alter", "table")].contains(&(verb.0.as_str(), verb.1.as_str()));
        let name = words.find(|w| !["if", "not", "exists", "only"].contains(&w.to_lowercase().as_str()));
        known && name.is_some_and(|n| n.trim_matches('"') == table)
    };
    let list = |s: &String| {
        let at = s.to_lowercase().rfind("check (status in (")?;
        let list = &s[at + "check (status in (".len()..];
        let words = list[..list.find(')')?].split(',').map(|w| w.trim().trim_matches('\'').to_owned());
        Some(words.collect())
    };
    statements.iter().filter(of_table).filter_map(list).next_back().expect("the table has a CHECK on status")
}

#[test]
fn postgres_accepts_exactly_the_states_of_a_task_run() {
    let words: BTreeSet<String> = TaskStatus::ALL.iter().map(|s| s.to_string()).collect();
    assert_eq!(checked(&statements(), "task_runs"), words);
}

#[test]
fn postgres_accepts_exactly_the_states_of_a_run() {
    let words: BTreeSet<String> = RunStatus::ALL.iter().map(|s| s.to_string()).collect();
    assert_eq!(checked(&statements(), "runs"), words);
}

#[test]
fn the_last_check_counts_and_only_that_of_the_table() {
    let statements = [
        "CREATE TABLE IF NOT EXISTS runs (id TEXT, status TEXT CHECK (status IN ('A')))",
        "ALTER TABLE ONLY runs DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (status IN ('A', 'B')) NOT VALID",
        "ALTER TABLE task_runs ADD CHECK (status IN ('C'))",
        "ALTER TABLE runs VALIDATE CONSTRAINT c",
    ];
    let statements = statements.map(str::to_owned);
    assert_eq!(checked(&statements, "runs"), ["A", "B"].map(str::to_owned).into());
    assert_eq!(checked(&statements, "task_runs"), ["C".to_owned()].into());
}
