//! The rules are tested too: small bad files, each of which its rule must catch, and good ones that none may.

use crate::RULES;
use crate::proofs;
use crate::shape;
use crate::source::Source;
use crate::texts;

/// The rules that find something in a file of this text, each once.
fn caught(path: &str, text: &str) -> Vec<&'static str> {
    let source = Source::new(path, &format!("//! A file.\n{text}"));
    let mut rules: Vec<&'static str> =
        RULES.iter().flat_map(|rule| rule(&source)).map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn an_arrow_against_the_design_is_caught() {
    for (path, text) in [
        ("src/model/run.rs", "use crate::engine::Plan;"),
        ("src/worker/claim.rs", "fn a() { crate::store::open(); }"),
        ("src/api/runs.rs", "use crate::queue::Queue;"),
        ("src/queue/mod.rs", "use super::store::Store;"),
        ("src/clock.rs", "use super::store::Store;"),
    ] {
        assert_eq!(caught(path, text), ["arrow"], "{path}: {text}");
    }
    for (path, text) in [
        ("src/engine/apply.rs", "use crate::model::Run;\nuse crate::engine::Plan;"),
        ("src/store/postgres/commit.rs", "use super::store::X;"),
        ("src/model/mod.rs", "// crate::engine is below\nconst A: &str = \"crate::engine::B\";"),
        ("src/main.rs", "use relay::store::Store;"),
    ] {
        assert_eq!(caught(path, text), [""; 0], "{path}: {text}");
    }
    assert_eq!(caught("src/attic/mod.rs", ""), ["unknown room"]);
}

#[test]
fn a_path_that_hides_its_room_is_caught() {
    assert_eq!(caught("src/config.rs", "use crate::{model, store};"), ["path"]);
    assert_eq!(caught("src/store/memory.rs", "use super::super::model::Run;"), ["path"]);
}

#[test]
fn a_banned_word_is_caught_where_it_is_banned_alone() {
    for (path, text) in [
        ("src/store/memory.rs", "fn a() { b().unwrap(); }"),
        ("src/store/memory.rs", "fn a() { dbg!(1); }"),
        ("tests/it/store.rs", "fn a() { todo!() }"),
        ("tests/it/store.rs", "#[ignore = \"slow\"]\nfn a() {}"),
        ("src/worker/claim.rs", "fn a() { println!(\"a\"); }"),
        ("src/worker/claim.rs", "fn a() { let t = std::time::Instant::now(); }"),
        ("src/conductor/inbox.rs", "use sqlx::PgPool;"),
        ("src/conductor/inbox.rs", "fn a() { tokio::spawn(b()); }"),
        ("src/engine/apply.rs", "async fn a() {}"),
        ("src/model/run.rs", "use std::collections::HashMap;"),
        ("tests/it/bed.rs", "fn a() { std::thread::sleep(b); }"),
        ("tests/it/store.rs", "fn a() { committed(\"a\", \"b\"); }"),
    ] {
        assert_eq!(caught(path, text), ["ban"], "{path}: {text}");
    }
    for (path, text) in [
        ("src/store/memory.rs", "#[cfg(test)]\nmod tests {\n    fn a() { b().unwrap(); }\n}"),
        ("src/store/memory.rs", "fn a() { b().unwrap_or(1); }\n// never unwrap()\n"),
        ("src/cli/run.rs", "fn a() { println!(\"a\"); }"),
        ("src/clock.rs", "fn a() { let t = std::time::Instant::now(); }"),
        ("src/store/postgres/commit.rs", "use sqlx::PgPool;"),
        ("src/model/run.rs", "const A: &str = r#\"a \" async HashMap\"#; const B: char = '\"';"),
        ("src/model/run.rs", "fn operand<'a>(a: &'a str) {} /* tokio /* rand */ async */"),
    ] {
        assert_eq!(caught(path, text), [""; 0], "{path}: {text}");
    }
    assert_eq!(
        caught("src/store/memory.rs", "#[cfg(test)]\nmod tests {}\nfn a() { b().unwrap(); }"),
        ["ban"]
    );
}

#[test]
fn a_left_over_mark_is_caught_in_comments() {
    assert_eq!(caught("src/model/run.rs", "// TODO: later"), ["mark"]);
    assert_eq!(caught("tests/it/a.rs", "/* FIXME */"), ["mark"]);
    assert_eq!(caught("src/model/run.rs", "const A: &str = \"XXX\";"), [""; 0]);
}

#[test]
fn a_lint_switched_off_without_a_reason_is_caught() {
    assert_eq!(caught("src/model/run.rs", "#[allow(dead_code)]\nfn a() {}"), ["reason"]);
    assert_eq!(caught("src/model/run.rs", "#![allow(dead_code)]"), ["reason"]);
    assert_eq!(
        caught("src/model/run.rs", "#[allow(\n    dead_code,\n    reason = \"b\"\n)]\nfn a() {}"),
        [""; 0]
    );
}

#[test]
fn what_is_too_large_is_caught() {
    assert_eq!(caught("src/model/run.rs", &"// a line\n".repeat(399)), [""; 0]);
    assert_eq!(caught("src/model/run.rs", &"// a line\n".repeat(400)), ["file size"]);
    let function =
        |lines: usize| format!("fn a(b: [u8; 2]) -> u8 {{\n{}}}\nfn c();\n", "    // }\n".repeat(lines - 2));
    assert_eq!(caught("src/model/run.rs", &function(60)), [""; 0]);
    assert_eq!(caught("src/model/run.rs", &function(61)), ["function size"]);
}

#[test]
fn a_file_without_an_opening_line_is_caught() {
    let source = Source::new("src/model/run.rs", "use std::fmt;\n");
    assert_eq!(shape::opening(&source).len(), 1);
}

#[test]
fn a_vague_name_is_caught() {
    for vague in
        ["src/util/mod.rs", "src/store/common.rs", "tests/it/helpers.rs", "src/worker/pool_manager.rs"]
    {
        assert_eq!(shape::names(vague).len(), 1, "{vague}");
    }
    assert!(shape::names("src/utility_bills.rs").is_empty());
}

#[test]
fn a_room_that_the_map_leaves_out_is_caught() {
    let rooms = ["store".to_owned(), "queue".to_owned()];
    let missing = shape::unmapped("`src/store/` holds the SQL; it has a queueing side", &rooms);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].fix.contains("src/queue"), "{}", missing[0]);
}

#[test]
fn a_place_of_one_machine_is_caught() {
    let folder = ["cd /ro", "ot/relay"].concat();
    let finding = texts::places("docs/a.md", &format!("one\n{folder}\n"));
    assert_eq!(finding.len(), 1);
    assert!(finding[0].to_string().starts_with("docs/a.md:2: place: "), "{}", finding[0]);
    assert_eq!(texts::places("a.yaml", &["image: docker", ".io/library/a"].concat()).len(), 1);
    assert!(texts::places("a.sh", &["ls \"$TMP/wo", "rk/\" app/wo", "rk/a"].concat()).is_empty());
}

#[test]
fn a_proof_that_is_not_there_is_caught() {
    let there = [Source::new("tests/it/sim.rs", "//! Tests.\nfn all_ends() {}\n// fn none() {}")];
    let document = "| it ends | `sim::all_ends` |\n| it begins | `sim::none`, `a::b c` |\n";
    let missing: Vec<usize> =
        proofs::missing("docs/a.md", document, &there).iter().map(|finding| finding.line).collect();
    assert_eq!(missing, [2]);
}
