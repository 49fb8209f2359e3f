//! Lines of logs as people read them.

use std::io::Write;

use crate::api::shapes::LogEntry;
use crate::model::log::Stream;

/// How lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// As JSON objects.
    pub json: bool,
    /// With their times.
    pub timestamps: bool,
    /// With colours.
    pub colour: bool,
    /// Lines of one task only.
    pub one_task: bool,
}

/// Writes lines of logs.
pub struct Printer {
    style: Style,
    out: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

impl Printer {
    /// Writes lines of logs to `out`, and what is no line of a log to `notes`.
    pub fn new(style: Style, out: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Printer {
        Printer { style, out, notes }
    }

    /// Writes a line. False: whoever read them has gone.
    pub fn entry(&mut self, entry: &LogEntry) -> bool {
        let line = if self.style.json {
            serde_json::to_string(entry).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
        } else {
            self.plain(entry)
        };
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).is_ok()
    }

    /// Says something that is no line of a log.
    pub fn note(&mut self, text: &str) {
        // A note that nobody can read is no reason to end.
        let _ = writeln!(self.notes, "note: {text}");
    }

    fn plain(&self, entry: &LogEntry) -> String {
        let mut line = String::new();
        if self.style.timestamps {
            line.push_str(&format!("{} ", entry.at));
        }
        // Of one task that has no items, each line is its own, but for a later attempt's.
        let clear = self.style.one_task && entry.item.is_none() && entry.attempt == 1 && entry.round == 1;
        if !clear {
            let item = entry.item.map(|item| format!("/{item}")).unwrap_or_default();
            let whose = format!("[{}{item}#{}]", entry.task, entry.attempt);
            line.push_str(&self.paint(entry.stream, &whose));
            line.push(' ');
        }
        line + &entry.text
    }

    fn paint(&self, stream: Stream, text: &str) -> String {
        let colour = match stream {
            Stream::Stdout => "36",
            Stream::Stderr => "31",
        };
        if self.style.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn shown(style: Style, item: Option<u32>, attempt: u32) -> String {
        let entry = LogEntry {
            cursor: 7,
            task: "extract".to_owned(),
            item,
            round: 1,
            attempt,
            stream: Stream::Stderr,
            number: 1,
            at: Timestamp::UNIX_EPOCH,
            text: "12 rows".to_owned(),
            partial: false,
        };
        Printer::new(style, Box::new(Vec::new()), Box::new(Vec::new())).plain(&entry)
    }

    #[test]
    fn a_line_says_whose_it_is_unless_that_is_clear() {
        let one = Style { one_task: true, ..Style::default() };
        assert_eq!(shown(Style::default(), None, 1), "[extract#1] 12 rows");
        assert_eq!(shown(Style::default(), Some(3), 2), "[extract/3#2] 12 rows");
        assert_eq!(shown(one, None, 1), "12 rows");
        assert_eq!(shown(one, None, 2), "[extract#2] 12 rows");
        assert_eq!(shown(one, Some(0), 1), "[extract/0#1] 12 rows");
    }

    #[test]
    fn times_and_colours_are_added_when_asked_for() {
        let dressed = Style { timestamps: true, colour: true, ..Style::default() };
        assert_eq!(shown(dressed, None, 1), "1970-01-01T00:00:00Z \x1b[31m[extract#1]\x1b[0m 12 rows");
    }
}
