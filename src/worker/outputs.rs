//! What a task hands on: the lines of `$RELAY_OUTPUT`, `key=value` a string, `key:=json` JSON; the last one wins.

use std::{collections::BTreeMap, fs::File, io::Read, os::fd::AsFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat};
use serde_json::Value;

use crate::model::{
    task::OutputDecl,
    workflow::{
        ValueType,
        limits::{JSON_DEPTH, OUTPUT_BYTES},
    },
};
use crate::worker::lines::clean;

/// The longest key, in bytes.
pub const KEY_BYTES: usize = 63;
/// How much of a line or value a message shows, in characters.
const SHOWN: usize = 120;

/// Why outputs cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// More than is taken.
    #[error("$RELAY_OUTPUT has more than {} KiB: hand on a path or a URL instead of the data itself", OUTPUT_BYTES >> 10)]
    TooLarge,
    /// A directory, a link, a pipe.
    #[error("$RELAY_OUTPUT is no regular file any more: append lines to it, and do not replace it")]
    NoFile,
    /// The file cannot be opened or read.
    #[error("$RELAY_OUTPUT cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// A line that says nothing.
    #[error("line {number} of $RELAY_OUTPUT is `{text}`: {why}; write `key=text` or `key:=json`")]
    Malformed {
        /// From 1.
        number: usize,
        /// How it begins.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Declared, but not there.
    #[error("the output `{name}` ({kind}) is declared but missing: write `{}` to $RELAY_OUTPUT", example(.name, *.kind))]
    Missing {
        /// Which.
        name: String,
        /// As declared.
        kind: ValueType,
    },
    /// Declared as something else.
    #[error("the output `{name}` is {value}, and declared as {kind}: write `{}` to $RELAY_OUTPUT", example(.name, *.kind))]
    WrongType {
        /// Which.
        name: String,
        /// As declared.
        kind: ValueType,
        /// How it begins.
        value: String,
    },
}

fn example(name: &str, kind: ValueType) -> String {
    match kind {
        ValueType::String => format!("{name}=text"),
        ValueType::Integer => format!("{name}:=1"),
        ValueType::Number => format!("{name}:=1.5"),
        ValueType::Boolean => format!("{name}:=true"),
        ValueType::Array => format!("{name}:=[1, 2]"),
        ValueType::Object => format!("{name}:={{\"key\": 1}}"),
    }
}

/// Reads the file `name` in a directory, whatever a task made of it: never more than the bound, never through a
/// link, and without waiting for the other end of a pipe. A file that is gone is an empty one.
pub fn read(directory: impl AsFd, name: &str) -> Result<Vec<u8>, OutputError> {
    // Most tasks hand nothing on.
    let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
    if stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_file() && s.st_size == 0) {
        return Ok(Vec::new());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        // A link, or a socket.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(OutputError::NoFile),
        Err(error) => return Err(OutputError::Unreadable(error.into())),
    };
    if !file.metadata().map_err(OutputError::Unreadable)?.is_file() {
        return Err(OutputError::NoFile);
    }
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(OutputError::Unreadable)?;
    if bytes.len() > OUTPUT_BYTES { Err(OutputError::TooLarge) } else { Ok(bytes) }
}

/// The outputs that the content of the file means, held against what was declared.
pub fn parse(content: &[u8], declared: &[OutputDecl]) -> Result<BTreeMap<String, Value>, OutputError> {
    if content.len() > OUTPUT_BYTES {
        return Err(OutputError::TooLarge);
    }
    let mut outputs = BTreeMap::new();
    for (no, line) in content.split(|b| *b == b'\n').enumerate() {
        let line = clean(line.strip_suffix(b"\r").unwrap_or(line));
        if line.trim().is_empty() {
            continue;
        }
        let (key, value) =
            pair(&line).map_err(|why| OutputError::Malformed { number: no + 1, text: shown(&line), why })?;
        outputs.insert(key.to_owned(), value);
    }
    for OutputDecl { name, kind } in declared {
        let (name, kind) = (name.clone(), *kind);
        match outputs.get(&name) {
            None => return Err(OutputError::Missing { name, kind }),
            Some(value) if !kind.fits(value) => {
                return Err(OutputError::WrongType { name, kind, value: described(value) });
            }
            Some(_) => {}
        }
    }
    Ok(outputs)
}

fn pair(line: &str) -> Result<(&str, Value), String> {
    let (left, right) = line.split_once('=').ok_or("it has no `=`")?;
    match left.strip_suffix(':') {
        None => Ok((key(left)?, Value::String(right.to_owned()))),
        Some(left) => {
            let key = key(left)?;
            let deep = depth(right);
            if deep > JSON_DEPTH {
                return Err(format!("its value is nested {deep} levels deep, and {JSON_DEPTH} are allowed"));
            }
            let mut value =
                serde_json::from_str(right).map_err(|e| format!("what follows `:=` is no JSON ({e})"))?;
            scrub(&mut value);
            Ok((key, value))
        }
    }
}

/// How deep a text of JSON is nested. The parser would only say that it gives up.
fn depth(json: &str) -> usize {
    let (mut now, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => now += 1,
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

fn key(text: &str) -> Result<&str, String> {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    if text.is_empty() {
        Err("it has no key before the `=`".to_owned())
    } else if text.len() > KEY_BYTES {
        Err(format!("its key has more than {KEY_BYTES} characters"))
    } else if !letter(text.as_bytes()[0]) || !text.bytes().all(|b| letter(b) || b.is_ascii_digit()) {
        Err("a key has letters, digits and `_` only, and does not begin with a digit".to_owned())
    } else {
        Ok(text)
    }
}

/// JSON can spell a NUL that no store takes. Its depth is bounded by the parser.
fn scrub(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Object(map) => {
            if map.keys().any(|k| k.contains('\0')) {
                let fields = std::mem::take(map);
                map.extend(fields.into_iter().map(|(k, v)| (k.replace('\0', "\u{fffd}"), v)));
            }
            map.values_mut().for_each(scrub);
        }
        _ => {}
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("the string \"{}\"", shown(text)),
        other => shown(&other.to_string()),
    }
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('\u{2026}');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn plain(content: &str) -> Result<Value, String> {
        parse(content.as_bytes(), &[]).map(|outputs| json!(outputs)).map_err(|e| e.to_string())
    }

    #[test]
    fn strings_and_json_and_the_last_one_wins() {
        let content = "a=x=y\n\n  \nrows:=3\r\n_k9:={\"b\": [1, null]}\na= spaced \nempty=";
        let expected = json!({"a": " spaced ", "rows": 3, "_k9": {"b": [1, null]}, "empty": ""});
        assert_eq!(plain(content), Ok(expected));
        assert_eq!(plain(""), Ok(json!({})));
    }

    #[test]
    fn what_no_store_takes_is_replaced() {
        let outputs =
            parse(b"a=\0\xff\nj:={\"\\u0000\": [\"x\\u0000\"]}", &[]).expect("both lines are well-formed");
        assert_eq!(json!(outputs), json!({"a": "\u{fffd}\u{fffd}", "j": {"\u{fffd}": ["x\u{fffd}"]}}));
    }

    #[test]
    fn a_malformed_line_is_named_with_its_number_and_the_fix() {
        for (content, words) in [
            ("ok=1\nnonsense", ["line 2", "`nonsense`", "no `=`", "key:=json"]),
            ("=x", ["line 1", "`=x`", "no key", "key=text"]),
            ("a b=1", ["line 1", "letters, digits", "`a b=1`", "key=text"]),
            ("9a=1", ["line 1", "digit", "`9a=1`", "key=text"]),
            ("a :=1", ["line 1", "letters", "`a :=1`", "key=text"]),
            ("j:={", ["line 1", "no JSON", "`j:={`", "key:=json"]),
        ] {
            let message = plain(content).expect_err("the line is malformed");
            for word in words {
                assert!(message.contains(word), "{message:?} does not say {word:?}");
            }
        }
        let message = plain(&"x".repeat(100_000)).expect_err("the line is malformed");
        assert!(message.len() < 400, "{} bytes", message.len());
        assert!(plain(&format!("{}=1", "k".repeat(63))).is_ok());
        assert!(plain(&format!("{}=1", "k".repeat(64))).is_err());
        assert!(plain(&format!("j:={}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_with_the_line_and_both_numbers() {
        let nested =
            |depth: usize| format!("ok=1\nj:={}{}", "{\"k\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        assert!(plain(&nested(JSON_DEPTH)).is_ok());
        for depth in [JSON_DEPTH + 2, 126, 1_000] {
            let message = plain(&nested(depth)).expect_err("too deep");
            let why = format!("its value is nested {depth} levels deep, and {JSON_DEPTH} are allowed");
            assert!(message.starts_with("line 2 ") && message.contains(&why), "{message}");
        }
        let text = format!("j:={}", json!(format!("\\\"{}", "[".repeat(1_000))));
        assert!(plain(&text).is_ok(), "brackets in a text nest nothing");
    }

    #[test]
    fn declared_outputs_must_be_there_and_of_their_type() {
        let declared = [
            OutputDecl { name: "rows".into(), kind: ValueType::Integer },
            OutputDecl { name: "label".into(), kind: ValueType::String },
        ];
        let said =
            |content: &str| parse(content.as_bytes(), &declared).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(said("rows:=3\nlabel=x\nmore=fine"), Ok(()));
        let missing = said("rows:=3").expect_err("label is missing");
        assert!(missing.contains("`label` (string)") && missing.contains("`label=text`"), "{missing}");
        let wrong = said("rows=3\nlabel=x").expect_err("rows is a string");
        assert!(wrong.contains("the string \"3\"") && wrong.contains("`rows:=1`"), "{wrong}");
    }

    #[test]
    fn too_much_is_refused_aloud() {
        let most = format!("a={}", "x".repeat(OUTPUT_BYTES - 2));
        assert!(plain(&most).is_ok());
        assert!(plain(&(most + "x")).expect_err("one byte too many").contains("256 KiB"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(content in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&content, &[]);
        }

        #[test]
        fn every_pair_reads_back(pairs in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,8}", "[^\\n\\r\0]{0,20}", 0..8)) {
            let content: String = pairs.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
            let json: String = pairs.iter().map(|(k, v)| format!("{k}:={}\n", json!(v))).collect();
            prop_assert_eq!(plain(&content), Ok(json!(pairs)));
            prop_assert_eq!(plain(&json), Ok(json!(pairs)));
        }
    }
}
