//! Words that do not stand in the code, or only in the one place that is made for them.

use crate::source::{Finding, Source, line_of, words};

/// Where a ban holds.
enum Scope {
    /// In src outside `#[cfg(test)]`, but for these beginnings of paths.
    Product(&'static [&'static str]),
    /// In src, tests of it included, but for these beginnings of paths.
    Src(&'static [&'static str]),
    /// In the rooms that stay pure.
    Pure,
    /// In tests/.
    Tests(&'static [&'static str]),
    Everywhere,
}

struct Ban {
    words: &'static [&'static str],
    scope: Scope,
    fix: &'static str,
}

const SQL: &[&str] = &["src/store/postgres", "src/queue/postgres", "src/main.rs"];
const REDIS: &[&str] = &["src/link/", "src/queue/redis", "src/feed/redis", "src/main.rs"];
const SPEAKING: &[&str] = &["src/cli/", "src/local/", "src/main.rs"];

const BANS: [Ban; 11] = [
    Ban {
        words: &[".unwrap()"],
        scope: Scope::Product(&[]),
        fix: "return the error, or say why it holds with expect(\"...\")",
    },
    Ban {
        words: &["dbg!", "todo!", "unimplemented!"],
        scope: Scope::Everywhere,
        fix: "finish it or leave it out",
    },
    Ban { words: &["#[ignore"], scope: Scope::Everywhere, fix: "a test runs or goes" },
    Ban {
        words: &["println!", "eprintln!", "print!", "eprint!"],
        scope: Scope::Product(SPEAKING),
        fix: "log by tracing; only cli, local and main.rs speak to a person",
    },
    Ban {
        words: &["Timestamp::now", "Zoned::now", "SystemTime::now", "Instant::now"],
        scope: Scope::Src(&["src/clock.rs"]),
        fix: "take the time from a Clock, so that tests and the simulation can set it",
    },
    Ban { words: &["sqlx::"], scope: Scope::Src(SQL), fix: "SQL lives in store/postgres and queue/postgres" },
    Ban {
        words: &["redis::cmd", "redis::aio"],
        scope: Scope::Src(REDIS),
        fix: "Redis lives in link, queue/redis and feed/redis",
    },
    Ban {
        words: &["tokio::spawn", "task::spawn"],
        scope: Scope::Product(&[]),
        fix: "spawn on a JoinSet or a TaskTracker that somebody waits for",
    },
    Ban {
        words: &["async", "tokio", "HashMap", "HashSet", "rand"],
        scope: Scope::Pure,
        fix: "model and engine are pure and repeatable: BTreeMap, BTreeSet, the time handed in",
    },
    Ban {
        words: &["sleep("],
        scope: Scope::Tests(&[]),
        fix: "wait for a signal: a line of output, a channel, a child's end, the manual clock",
    },
    Ban {
        words: &["committed("],
        scope: Scope::Tests(&["tests/it/generated/", "tests/it/support/"]),
        fix: "compare committed files in tests/it/generated/, which `make generate` runs",
    },
];

/// The table above.
pub fn bans(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for ban in &BANS {
        for word in ban.words {
            for at in words(&source.code, word) {
                let line = line_of(&source.code, at);
                if holds(&ban.scope, source, line) {
                    found.push(source.finding(line, "ban", format!("`{word}`: {}", ban.fix)));
                }
            }
        }
    }
    found
}

fn holds(scope: &Scope, source: &Source, line: usize) -> bool {
    let outside = |places: &[&str]| !places.iter().any(|place| source.path.starts_with(place));
    match scope {
        Scope::Product(but) => source.is_product(line) && outside(but),
        Scope::Src(but) => source.path.starts_with("src/") && outside(but),
        Scope::Pure => matches!(source.room(), Some("model" | "engine")) && source.is_product(line),
        Scope::Tests(but) => source.path.starts_with("tests/") && outside(but),
        Scope::Everywhere => true,
    }
}

/// Left-over marks in comments: an issue remembers better.
pub fn marks(source: &Source) -> Vec<Finding> {
    let marks = ["TODO", "FIXME", "XXX"];
    let places = marks.iter().flat_map(|mark| words(&source.comments, mark));
    places
        .map(|at| source.finding(line_of(&source.comments, at), "mark", "do it now, or write an issue"))
        .collect()
}

/// A lint that is switched off says why.
pub fn reasons(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for opening in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
        for (at, _) in source.code.match_indices(opening) {
            let end = source.code[at..].find(")]").map_or(source.code.len(), |length| at + length);
            if words(&source.code[at..end], "reason").is_empty() {
                found.push(source.finding(line_of(&source.code, at), "reason", "add reason = \"...\" to it"));
            }
        }
    }
    found
}
