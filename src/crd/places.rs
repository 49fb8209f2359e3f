//! Where in the file the parser found something, down to the characters of a scalar's text.

use granit_parser::{ScalarStyle, Span};

use crate::crd::tree::{Pos, TextAt};

/// Whether offsets in the value can be told in the file: only when it stands there letter for letter.
pub(super) fn text_at(file: &str, text: &str, style: ScalarStyle, span: Span) -> TextAt {
    let start = place(span.start.line(), span.start.col());
    let raw = span.slice(file).unwrap_or("");
    match style {
        ScalarStyle::Plain if raw == text => TextAt::Line(start),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted
            if raw.get(1..raw.len().max(2) - 1) == Some(text) =>
        {
            TextAt::Line(Pos { column: start.column.saturating_add(1), ..start })
        }
        ScalarStyle::Literal => block_start(file, text, span).unwrap_or(TextAt::Start),
        _ => TextAt::Start,
    }
}

/// The parser's line (from 1) and column (from 0) as a place.
pub(super) fn place(line: usize, column: usize) -> Pos {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX - 1);
    Pos { line: small(line.max(1)), column: small(column).saturating_add(1) }
}

/// Where a literal block's text begins: in the line of its header or the next, whichever holds its first line.
fn block_start(file: &str, text: &str, span: Span) -> Option<TextAt> {
    let first = text.lines().next().filter(|line| !line.is_empty())?;
    let offset = span.start.byte_offset()?;
    let line_start = file.get(..offset)?.rfind('\n').map_or(0, |end| end + 1);
    let first_number = place(span.start.line(), 0).line;
    for (line, number) in file[line_start..].lines().take(2).zip(first_number..) {
        if let Some(before) = line.strip_suffix(first)
            && before.chars().all(|c| c == ' ')
        {
            return Some(TextAt::Block { first_line: number, indent: u32::try_from(before.len()).ok()? });
        }
    }
    None
}
