//! What no committed text holds: the folders of one machine, and the hosts that packages and images come from.

use crate::source::Finding;

/// In two halves, so that this file does not find itself.
const REFUSED: [(&str, &str); 13] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("docker", ".io"),
    ("ghcr", ".io"),
    ("quay", ".io"),
    ("gcr", ".io"),
    ("registry.k8s", ".io"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
    ("registry.npmjs", ".org"),
];

/// Cargo.lock is cargo's own writing.
const EXCEPT: [&str; 1] = ["Cargo.lock"];

pub fn places(path: &str, text: &str) -> Vec<Finding> {
    if EXCEPT.contains(&path) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (start, end) in REFUSED {
            let word = format!("{start}{end}");
            if begins_alone(line, &word) {
                let fix = format!(
                    "`{word}` holds on one machine or one network only; write a relative path or a variable"
                );
                found.push(Finding { path: path.to_owned(), line: number + 1, rule: "place", fix });
            }
        }
    }
    found
}

/// A folder counts at the beginning of a path alone: `app/work/` is somebody's own.
fn begins_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "._-})>*".contains(c))
    })
}
