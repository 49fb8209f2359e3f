//! The help texts, as files: what a change does to them is seen in its review.

use crate::support::{Told, committed, relay};

#[test]
fn help_texts() {
    for verb in ["", "run", "migrate", "migrate up", "migrate down", "migrate version"] {
        let words: Vec<&str> = verb.split(' ').filter(|word| !word.is_empty()).collect();
        let output = relay().args(&words).arg("--help").output().expect("relay starts");
        assert!(output.status.success());
        // clap fills blank lines with spaces.
        let text = String::from_utf8(output.stdout).expect("text");
        let text: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "a line of {verb:?} is too long");
        committed(
            &format!(
                "docs/cli/{}.txt",
                ["relay"].iter().chain(&words).copied().collect::<Vec<_>>().join("-")
            ),
            &text,
        );
    }
}

#[test]
fn usage_that_is_wrong_is_refused_with_what_would_be_right() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "<FILE>"),
        (&["a.yaml", "--resume", "x", "--database-url", "x"], "cannot be used with"),
        (&["a.yaml", "--migrate"], "--database-url <URL>"),
        (&["a.yaml", "--slots", "0"], "1..=1000"),
        (&["a.yaml", "--parms", "x"], "--params"),
    ];
    for (arguments, hint) in cases {
        let told = Told::run(arguments);
        assert_eq!((told.code, told.lines.len()), (Some(2), 0), "{arguments:?}");
        assert!(told.errors.starts_with("error: ") && told.errors.contains(hint), "{}", told.errors);
    }
}
