//! Which room may name which. An arrow that is not here is a decision, to be made in ARCHITECTURE.md first.

use crate::source::{Finding, Source, is_word, line_of, words};

/// A room and the rooms that it may name besides itself. Two refusals carry the design: the worker never sees the
/// store, so that there is one writer; the api never sees the queue.
const ARROWS: [(&str, &[&str]); 19] = [
    ("model", &[]),
    ("engine", &["model"]),
    ("clock", &["model"]),
    ("telemetry", &[]),
    ("store", &["model", "clock"]),
    ("link", &[]),
    ("queue", &["model", "link"]),
    ("feed", &["model", "link"]),
    ("crd", &["model"]),
    ("conductor", &["model", "engine", "store", "queue", "feed", "clock", "telemetry"]),
    ("operator", &["crd", "model", "conductor", "store", "queue", "clock", "telemetry"]),
    ("worker", &["model", "queue", "feed", "clock", "telemetry"]),
    ("api", &["model", "conductor", "store", "feed", "clock", "telemetry"]),
    ("web", &["api"]),
    ("cli", &["model", "crd", "api"]),
    ("wiring", EVERYTHING),
    ("local", &["model", "crd", "conductor", "worker", "store", "queue", "feed", "clock", "telemetry"]),
    (
        "bench",
        &["model", "crd", "conductor", "worker", "store", "link", "queue", "feed", "clock", "telemetry"],
    ),
    ("config", EVERYTHING),
];

const EVERYTHING: &[&str] = &["*"];

/// A room names only the rooms that its arrows allow.
pub fn arrows(source: &Source) -> Vec<Finding> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        let fix = format!(
            "the room `{room}` has no arrows; decide them in ARCHITECTURE.md and add it to tests/tidy/arrows.rs"
        );
        return vec![source.finding(1, "unknown room", fix)];
    };
    let mut found = Vec::new();
    for (line, named) in named_rooms(source) {
        if named != room && *allowed != EVERYTHING && !allowed.contains(&named.as_str()) {
            let may = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            let fix = format!(
                "`{room}` may name {may}, not `{named}`; move the type to `model` or hand the value in"
            );
            found.push(source.finding(line, "arrow", fix));
        }
    }
    found
}

/// Every `crate::<room>`, and `super::<room>` in a file whose parent is the crate itself.
fn named_rooms(source: &Source) -> Vec<(usize, String)> {
    let inner = source.path.strip_prefix("src/").unwrap_or_default();
    let at_top = !inner.contains('/') || (inner.ends_with("/mod.rs") && inner.matches('/').count() == 1);
    let mut named = Vec::new();
    for prefix in ["crate::", "super::"] {
        for at in words(&source.code, prefix) {
            let rest = &source.code[at + prefix.len()..];
            let name = &rest[..rest.bytes().take_while(|byte| is_word(*byte)).count()];
            let is_room = ARROWS.iter().any(|(room, _)| *room == name);
            if !name.is_empty() && (prefix == "crate::" || (at_top && is_room)) {
                named.push((line_of(&source.code, at), name.to_owned()));
            }
        }
    }
    named
}

/// Paths are written so that a reader, and the rule above, sees the room in them.
pub fn paths(source: &Source) -> Vec<Finding> {
    let refused = [
        ("crate::{", "write one `use crate::<room>::...` per room"),
        ("crate::*", "name what is used"),
        ("super::super", "write the path from `crate::`"),
    ];
    let places = refused.iter().flat_map(|(text, fix)| {
        source.code.match_indices(text).map(|(at, _)| source.finding(line_of(&source.code, at), "path", *fix))
    });
    places.collect()
}
