//! Files as the rules see them: Rust text split into code and comments, with the lines that only tests compile.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place that breaks a rule.
#[derive(Debug)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}: {}", self.path, self.line, self.rule, self.fix)
    }
}

/// A Rust file in three views of the same shape: what one view leaves out is blank in it.
pub struct Source {
    /// Within the repository, with slashes.
    pub path: String,
    pub text: String,
    /// Without comments and without the insides of strings and characters.
    pub code: String,
    /// Comments alone.
    pub comments: String,
    /// For each line: is it in an item under `#[cfg(test)]`?
    pub tests: Vec<bool>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        let tests = test_lines(&code);
        Source { path: path.to_owned(), text: text.to_owned(), code, comments, tests }
    }

    /// The room of a file under src/; lib.rs and main.rs are in none.
    pub fn room(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let room = inner.split_once('/').map_or(inner, |(room, _)| room);
        let room = room.strip_suffix(".rs").unwrap_or(room);
        (room != "lib" && room != "main").then_some(room)
    }

    /// In src, and compiled into the program.
    pub fn is_product(&self, line: usize) -> bool {
        self.path.starts_with("src/") && !self.tests.get(line - 1).copied().unwrap_or(false)
    }

    pub fn finding(&self, line: usize, rule: &'static str, fix: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, fix: fix.into() }
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms that exist: the folders and files of src.
pub fn rooms() -> Vec<String> {
    let mut rooms: Vec<String> = rust_files().iter().filter_map(Source::room).map(str::to_owned).collect();
    rooms.dedup();
    rooms
}

pub fn rust_files() -> Vec<Source> {
    let files = all_files();
    let rust = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| {
        let text = std::fs::read_to_string(root().join(path)).expect("a Rust file is text");
        Source::new(&path.to_string_lossy(), &text)
    })
    .collect()
}

/// Every file of the repository, in order, within it.
pub fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name == ".git" || name == "target" || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path.strip_prefix(root()).expect("below the root").to_owned());
        }
    }
}

/// The line, from 1, of a place in a text.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Code and comments, each with blanks in place of the other. Both are ASCII where they differ from the text.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut comments) = (blank(text), blank(text));
    let mut at = 0;
    while at < bytes.len() {
        let (end, kind) = token(bytes, at);
        match kind {
            Kind::Code => code[at..end].copy_from_slice(&bytes[at..end]),
            Kind::Comment => comments[at..end].copy_from_slice(&bytes[at..end]),
            // Its quotes stay, so that the code still looks like code.
            Kind::Quoted => {
                code[at] = bytes[at];
                code[end - 1] = bytes[end - 1];
            }
        }
        at = end;
    }
    let text_of = |view: Vec<u8>| String::from_utf8_lossy(&view).into_owned();
    (text_of(code), text_of(comments))
}

fn blank(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect()
}

enum Kind {
    Code,
    Comment,
    Quoted,
}

/// The end and the kind of what begins at `at`.
fn token(bytes: &[u8], at: usize) -> (usize, Kind) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return (at + length, Kind::Comment);
    }
    if rest.starts_with(b"/*") {
        return (at + block_comment(rest), Kind::Comment);
    }
    if rest[0] == b'"' {
        return (at + quoted(rest, b'"'), Kind::Quoted);
    }
    let begins_word = at == 0 || !is_word(bytes[at - 1]);
    if begins_word && let Some(length) = raw_string(rest) {
        return (at + length, Kind::Quoted);
    }
    if rest[0] == b'\'' && is_character(rest) {
        return (at + quoted(rest, b'\''), Kind::Quoted);
    }
    (at + 1, Kind::Code)
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// r"..", r#".."#, br#".."#: its length, if one begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let after_b = rest.strip_prefix(b"b").unwrap_or(rest);
    let after_r = after_b.strip_prefix(b"r")?;
    let hashes = after_r.iter().take_while(|byte| **byte == b'#').count();
    if after_r.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = rest.len() - after_r.len() + hashes + 1;
    let length = rest[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + length + close.len())
}

/// 'a' and '\n' are characters, 'a without a second quote is a lifetime.
fn is_character(rest: &[u8]) -> bool {
    if rest.get(1) == Some(&b'\\') {
        return true;
    }
    // A character of several bytes ends within four.
    let width = rest.get(1).map_or(1, |byte| match byte {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    rest.get(1 + width) == Some(&b'\'')
}

/// Marks the lines of each item under `#[cfg(test)]`, from the attribute to the end of its braces.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marked = vec![false; code.matches('\n').count() + 1];
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let body = at + attribute.len();
        let end = match code[body..].find(['{', ';']) {
            Some(next) if code.as_bytes()[body + next] == b'{' => closing(code, body + next),
            Some(next) => body + next,
            None => code.len(),
        };
        marked[line_of(code, at) - 1..line_of(code, end.min(code.len()))].fill(true);
    }
    marked
}

/// The place of the brace that closes the one at `open`, in a code view.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// Where `word` stands in a code view as a word of its own.
pub fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let apart = |left: u8, right: u8| !(is_word(left) && is_word(right));
    let found = code.match_indices(word).map(|(at, _)| at).filter(|at| {
        let end = at + word.len();
        (*at == 0 || apart(bytes[at - 1], bytes[*at]))
            && (end == bytes.len() || apart(bytes[end - 1], bytes[end]))
    });
    found.collect()
}
