//! Bytes into lines: bounded, valid UTF-8, without NUL.

use crate::worker::log::Line;

/// The longest line, in bytes as the process wrote them; a longer one is split.
pub(super) const LONGEST: usize = 64 << 10;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    open: Vec<u8>,
}

impl Splitter {
    /// The lines that these bytes complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (mut text, whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            while self.open.len() + text.len() > LONGEST {
                let (now, later) = text.split_at(LONGEST - self.open.len());
                self.open.extend_from_slice(now);
                text = later;
                lines.push(self.split());
            }
            self.open.extend_from_slice(text);
            if whole {
                lines.push(self.close());
            }
        }
        lines
    }

    /// What stands after the last end of a line.
    pub(super) fn rest(&mut self) -> Option<Line> {
        if self.open.is_empty() { None } else { Some(self.close()) }
    }

    fn close(&mut self) -> Line {
        let line = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
        let text = clean(line);
        self.open.clear();
        Line { text, partial: false }
    }

    /// A part of a line that is too long, cut between two characters.
    fn split(&mut self) -> Line {
        let next = self.open.split_off(boundary(&self.open));
        let text = clean(&self.open);
        self.open = next;
        Line { text, partial: true }
    }
}

/// Text that every store and terminal takes: what is not UTF-8, and NUL, becomes U+FFFD.
pub(super) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.into_owned() }
}

/// Where to cut so that a character that has only begun is left out.
fn boundary(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let begun = bytes.iter().enumerate().skip(from).rfind(|(_, b)| **b >= 0xC0);
    match begun {
        Some((at, lead)) if at > 0 && at + length(*lead) > bytes.len() => at,
        _ => bytes.len(),
    }
}

/// Bytes of the character that opens with this one.
const fn length(lead: u8) -> usize {
    match lead {
        0xF0.. => 4,
        0xE0.. => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let mut splitter = Splitter::default();
        let mut lines: Vec<Line> = pieces.iter().flat_map(|p| splitter.take(p)).collect();
        lines.extend(splitter.rest());
        lines
    }

    fn texts(pieces: &[&[u8]]) -> Vec<String> {
        lines(pieces).into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_come() {
        assert_eq!(texts(&[b"a\nb", b"c\r\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(texts(&["gr\u{fc}n\n".as_bytes()]), ["gr\u{fc}n"]);
        assert_eq!(texts(&[b"gr\xc3", b"\xbcn\n"]), ["gr\u{fc}n"]);
        assert_eq!(texts(&[b"\0\xff\n"]), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_line_of_the_bound_is_whole_and_a_longer_one_is_split_between_characters() {
        let whole = "x".repeat(LONGEST) + "\n";
        assert_eq!(lines(&[whole.as_bytes()]), [Line { text: "x".repeat(LONGEST), partial: false }]);
        let long = "x".repeat(LONGEST - 1) + "\u{fc}y\n";
        let split = lines(&[long.as_bytes()]);
        assert_eq!(
            split.iter().map(|l| (l.text.len(), l.partial)).collect::<Vec<_>>(),
            [(LONGEST - 1, true), (3, false)]
        );
    }

    proptest! {
        #[test]
        fn splitting_keeps_every_character(text in "[a\u{fc}\u{20ac}\u{1f600}\n]{0,200}", cut in 0usize..200) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            prop_assert_eq!(texts(&[one, two]), expected);
        }

        #[test]
        fn a_boundary_never_cuts_a_character(text in "[a\u{fc}\u{20ac}\u{1f600}]{1,20}", cut in 1usize..80) {
            let bytes = &text.as_bytes()[..cut.min(text.len())];
            let at = boundary(bytes);
            prop_assert!(at > 0 || bytes.len() < 4);
            prop_assert!(text.is_char_boundary(at) || at == bytes.len());
        }
    }
}
