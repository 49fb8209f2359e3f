//! How large a file or a function may be, how a file opens, what it is called, and that the map names its room.

use crate::source::{Finding, Source, closing, line_of, words};

/// Lines of a file. Nobody wants to read more at once. The limits may fall, never rise.
const FILE_LINES: usize = 400;
/// Lines of a function, from its `fn` to its last brace.
const FUNCTION_LINES: usize = 60;

pub fn file_sizes(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES {
        return Vec::new();
    }
    let fix = format!("{lines} lines, at most {FILE_LINES}: split it by what it is about");
    vec![source.finding(FILE_LINES + 1, "file size", fix)]
}

pub fn function_sizes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in words(&source.code, "fn ") {
        let Some(open) = body(&source.code, at) else { continue };
        let (first, last) = (line_of(&source.code, at), line_of(&source.code, closing(&source.code, open)));
        let lines = last - first + 1;
        if lines > FUNCTION_LINES {
            let fix = format!("{lines} lines, at most {FUNCTION_LINES}: give its steps names");
            found.push(source.finding(first, "function size", fix));
        }
    }
    found
}

/// The brace that opens the body; none for a declaration. A `;` in an array type within the signature is no end.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (place, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(place),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// A reader learns in the first line what a file is for.
pub fn opening(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![source.finding(1, "opening", "begin the file with `//! ` and what it is for")]
}

/// Drawers for everything have no inside and no outside.
pub fn names(path: &str) -> Vec<Finding> {
    let vague = ["util", "utils", "common", "helper", "helpers", "misc", "manager"];
    let mut found = Vec::new();
    for part in path.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if vague.contains(&stem)
            || stem.ends_with("_util")
            || stem.ends_with("_utils")
            || stem.ends_with("_manager")
        {
            let fix = format!("`{stem}` says nothing; name it after what it does");
            found.push(Finding { path: path.to_owned(), line: 1, rule: "name", fix });
        }
    }
    found
}

/// Rooms that the map of the house leaves out.
pub fn unmapped(map: &str, rooms: &[String]) -> Vec<Finding> {
    let named =
        |room: &str| !words(map, &format!("src/{room}")).is_empty() || map.contains(&format!("`{room}`"));
    let missing = rooms.iter().filter(|room| !named(room));
    missing
        .map(|room| {
            let fix = format!("name src/{room} in it, with the room's invariant");
            Finding { path: "ARCHITECTURE.md".to_owned(), line: 1, rule: "map", fix }
        })
        .collect()
}
