//! The help texts, as files: what a change does to them is seen in its review.

use crate::support::{committed, relay};

#[test]
fn help_texts() {
    let verbs = [
        "",
        "run",
        "logs",
        "crds",
        "operator",
        "redis-user",
        "worker",
        "bench",
        "migrate",
        "migrate up",
        "migrate down",
        "migrate version",
    ];
    for verb in verbs {
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
