//! Looks over CEL source without parsing it: where a `$(` ends, and whether the parser can take it.

use super::limits::{MAX_BRACKETS, MAX_PREFIX_RUN, MAX_QUESTION_MARKS};

/// What a scan found wrong, with a byte offset.
pub struct ScanError {
    /// For the user.
    pub message: String,
    /// Byte offset in the text.
    pub at: usize,
}

/// The byte offset of the `)` that closes the expression starting at `start`.
pub fn expression_end(text: &str, start: usize) -> Result<usize, ScanError> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut i = start;
    while i < bytes.len() {
        match bytes[i] {
            b'\'' | b'"' => i = string_end(bytes, start, i)?,
            b'/' if bytes.get(i + 1) == Some(&b'/') => i = line_end(bytes, i),
            b'(' => {
                depth += 1;
                i += 1;
            }
            b')' if depth == 0 => return Ok(i),
            b')' => {
                depth -= 1;
                i += 1;
            }
            _ => i += 1,
        }
    }
    Err(ScanError { message: "`$(` is never closed by a `)`".into(), at: start.saturating_sub(2) })
}

/// Refuses what would make the parser recurse too deep: it has no bound of its own for all of these.
pub fn check_nesting(source: &str) -> Result<(), ScanError> {
    let bytes = source.as_bytes();
    let (mut brackets, mut questions, mut prefixes) = (0usize, 0usize, 0usize);
    let mut i = 0;
    while i < bytes.len() {
        let c = bytes[i];
        match c {
            b'\'' | b'"' => i = string_end(bytes, 0, i)?,
            b'/' if bytes.get(i + 1) == Some(&b'/') => i = line_end(bytes, i),
            _ => i += 1,
        }
        match c {
            b'(' | b'[' | b'{' => brackets += 1,
            b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'?' => questions += 1,
            _ => {}
        }
        match c {
            b'!' | b'-' => prefixes += 1,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => prefixes = 0,
        }
        let limit = if brackets > MAX_BRACKETS {
            format!("brackets are nested more than {MAX_BRACKETS} deep")
        } else if questions > MAX_QUESTION_MARKS {
            format!("there are more than {MAX_QUESTION_MARKS} question marks")
        } else if prefixes > MAX_PREFIX_RUN {
            format!("there are more than {MAX_PREFIX_RUN} prefix operators in a row")
        } else {
            continue;
        };
        return Err(ScanError { message: format!("too deep: {limit}"), at: i - 1 });
    }
    Ok(())
}

/// The byte after the string literal whose first quote is at `quote_at`.
fn string_end(bytes: &[u8], start: usize, quote_at: usize) -> Result<usize, ScanError> {
    let quote = bytes[quote_at];
    let raw = is_raw(&bytes[start..quote_at]);
    let triple = bytes[quote_at..].starts_with(&[quote; 3]);
    let width = if triple { 3 } else { 1 };
    let mut i = quote_at + width;
    while i < bytes.len() {
        if bytes[i] == b'\\' && !raw {
            i += 2;
        } else if bytes[i..].starts_with(&[quote; 3][..width]) {
            return Ok(i + width);
        } else {
            i += 1;
        }
    }
    Err(ScanError { message: "a string is opened here and never closed".into(), at: quote_at })
}

/// Whether the letters right before a quote make the literal raw: `r"`, `br"`, `rb"`, in any case.
fn is_raw(before: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let word = before.iter().rev().take_while(|b| is_word(b)).count();
    let prefix = before[before.len() - word..].to_ascii_lowercase();
    matches!(prefix.as_slice(), b"r" | b"br" | b"rb")
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| from + n + 1)
}

/// A byte offset as an offset in characters, which is what editors and users count.
pub fn chars_before(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).count()
}
