//! `$RELAY_OUTPUT`, as a task writes it.

use relay::model::{
    job::{Job, Outcome},
    task::{FailureKind, OutputDecl},
    workflow::ValueType,
};
use serde_json::json;

use super::bench::{Bench, Ran};
use crate::support::jobs::script;

fn invalid(ran: &Ran) -> &str {
    match &ran.outcome {
        Outcome::Failed { kind: FailureKind::Error, output_invalid: true, exit_code: Some(0), message } => {
            message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lines_become_outputs() {
    let text = "echo day=2026-11-20 >> \"$RELAY_OUTPUT\"; echo 'rows:=[1, {\"a\": null}]' >> \"$RELAY_OUTPUT\"; echo day=later >> \"$RELAY_OUTPUT\"";
    let ran = Bench::default().run(&script(text)).await;
    assert_eq!(ran.outputs(), json!({"day": "later", "rows": [1, {"a": null}]}));
}

#[tokio::test]
async fn a_malformed_line_fails_the_task_with_the_line_and_the_fix() {
    let ran = Bench::default().run(&script("printf 'a=1\\nrows: 3\\n' > \"$RELAY_OUTPUT\"")).await;
    let message = invalid(&ran);
    for words in ["line 2", "`rows: 3`", "`key=text` or `key:=json`"] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn declared_outputs_are_held_to_their_word() {
    let declared = vec![OutputDecl { name: "rows".to_owned(), kind: ValueType::Integer }];
    let with = |text: &str| Job { outputs: declared.clone(), ..script(text) };
    let bench = Bench::default();
    let ran = bench.run(&with("true")).await;
    assert!(invalid(&ran).contains("`rows` (integer) is declared but missing"), "{}", invalid(&ran));
    let ran = bench.run(&with("echo rows=3 > \"$RELAY_OUTPUT\"")).await;
    assert!(invalid(&ran).contains("the string \"3\", and declared as integer"), "{}", invalid(&ran));
    let ran = bench.run(&with("echo rows:=3 > \"$RELAY_OUTPUT\"")).await;
    assert_eq!(ran.outputs(), json!({"rows": 3}));
}

#[tokio::test]
async fn outputs_of_a_failure_are_not_looked_at() {
    let ran = Bench::default().run(&script("echo nonsense > \"$RELAY_OUTPUT\"; exit 3")).await;
    assert_eq!(ran.failure(), (FailureKind::ExitCode, Some(3), "it ended with status 3"));
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_empty_one() {
    let ran = Bench::default().run(&script("rm \"$RELAY_OUTPUT\"")).await;
    assert_eq!(ran.outputs(), json!({}));
}

#[tokio::test]
async fn too_much_is_refused_aloud() {
    let ran = Bench::default()
        .run(&script("head -c 300000 /dev/zero | tr '\\0' x | sed 's/^/a=/' > \"$RELAY_OUTPUT\""))
        .await;
    assert!(invalid(&ran).contains("more than 256 KiB"), "{}", invalid(&ran));
}

#[tokio::test]
async fn what_no_store_could_keep_fails_the_task_alone() {
    let deep = format!("j:={}{}", "[".repeat(125), "]".repeat(125));
    let ran = Bench::default().run(&script(&format!("echo '{deep}' > \"$RELAY_OUTPUT\""))).await;
    let message = invalid(&ran);
    assert!(message.contains("nested 125 levels deep, and 100 are allowed"), "{message}");
}

#[tokio::test]
async fn whatever_stands_in_the_files_place_is_neither_followed_nor_waited_for() {
    let bench = Bench::default();
    let secret = bench.root.path().join("secret");
    std::fs::write(&secret, "stolen=1\n").expect("written");
    let link = format!("ln -sf '{}' \"$RELAY_OUTPUT\"", secret.display());
    // The name of the whole directory may be replaced too; what counts is the file that Relay made.
    let moved = format!(
        "d=$(dirname \"$RELAY_OUTPUT\"); mv \"$d\" \"$d-away\"; mkdir \"$d\"; cp '{}' \"$d/output\"; echo mine=1 >> \"$d-away/output\"; rm -r \"$d\"; mv \"$d-away\" \"$d\"",
        secret.display()
    );
    for text in [
        "rm \"$RELAY_OUTPUT\"; mkdir \"$RELAY_OUTPUT\"",
        "rm \"$RELAY_OUTPUT\"; mkfifo \"$RELAY_OUTPUT\"",
        &link,
    ] {
        let ran = bench.run(&script(text)).await;
        assert!(invalid(&ran).contains("no regular file"), "{text}: {}", invalid(&ran));
    }
    assert_eq!(bench.run(&script(&moved)).await.outputs(), json!({"mine": "1"}));
    assert_eq!(bench.left_behind(), [""; 0]);
}
