//! A finding: what is wrong in an input, where, why and how to mend it; and how a terminal shows it.

use std::fmt;

use crate::crd::tree::{Cursor, Pos};

/// Findings shown; more are only counted.
pub const FINDINGS_MAX: usize = 100;
/// Findings gathered before sorting; a file with more is past reading anyway.
const GATHERED_MAX: usize = 10_000;
/// Remarks after which nobody looks for the name that was meant: it costs a walk over all names.
const ADVICE_MAX: usize = 500;
/// Characters of a source line shown.
const EXCERPT_CHARS: usize = 120;
/// Characters of a user's text repeated in a reason.
const QUOTED_CHARS: usize = 80;

/// One thing wrong in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file as the user named it, or another source (`-p date`); empty when there is none.
    pub file: String,
    /// Line, from 1; 0 when the source has no lines (a flag).
    pub line: u32,
    /// Column in characters, from 1; 0 when the source has no lines.
    pub column: u32,
    /// The field: `spec.tasks[2].when`; empty when it is the whole input.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// What would mend it.
    pub fix: Option<String>,
    /// The source line with a caret below, two lines ready to print.
    pub excerpt: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        } else if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Everything wrong in one input, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// At most [`FINDINGS_MAX`], sorted by place.
    pub list: Vec<Finding>,
    /// How many more there are.
    pub more: usize,
}

impl Findings {
    /// Findings without a file of their own (flags), as they are.
    pub fn of(mut list: Vec<Finding>) -> Option<Self> {
        let more = list.len().saturating_sub(FINDINGS_MAX);
        list.truncate(FINDINGS_MAX);
        (!list.is_empty()).then_some(Self { list, more })
    }

    /// These, then those of another source.
    pub(super) fn and(mut self, other: Self) -> Self {
        let more = self.more + other.more;
        self.list.extend(other.list);
        let beyond = self.list.len().saturating_sub(FINDINGS_MAX);
        self.list.truncate(FINDINGS_MAX);
        Self { more: more + beyond, ..self }
    }

    /// The same with other fixes.
    pub(super) fn with_fixes(mut self, fix: impl Fn(String) -> String) -> Self {
        for finding in &mut self.list {
            finding.fix = finding.fix.take().map(&fix);
        }
        self
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.list.len() + self.more
    }
}

impl std::error::Error for Findings {}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
            if let Some(excerpt) = &finding.excerpt {
                write!(f, "\n{excerpt}")?;
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// What a check says about one place, before it knows its file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Remark {
    pub at: Pos,
    pub path: String,
    pub reason: String,
    pub fix: Option<String>,
}

/// The remarks made of one file so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    list: Vec<Remark>,
    beyond: usize,
}

impl Remarks {
    pub(super) fn push(&mut self, remark: Remark) {
        if self.list.len() < GATHERED_MAX {
            self.list.push(remark);
        } else {
            self.beyond += 1;
        }
    }

    /// A remark at a cursor's value.
    pub(super) fn at(&mut self, cursor: &Cursor<'_>, reason: impl Into<String>, fix: Option<String>) {
        self.push(Remark { at: cursor.at, path: cursor.path.clone(), reason: reason.into(), fix });
    }

    /// How many remarks were made, those beyond the bound among them.
    pub(super) fn len(&self) -> usize {
        self.list.len() + self.beyond
    }

    /// Whether few enough remarks were made that looking for the name that was meant is worth its time.
    pub(super) fn affords_advice(&self) -> bool {
        self.len() < ADVICE_MAX
    }

    /// The remarks as they were made.
    pub(super) fn into_list(self) -> Vec<Remark> {
        self.list
    }

    /// Sorts and drops repetitions; places only order them, for what was read never was a file.
    pub(super) fn finish_unplaced(self) -> Option<Findings> {
        let findings = self.finish("", "")?;
        let unplaced = |finding| Finding { line: 0, column: 0, ..finding };
        Some(Findings { list: findings.list.into_iter().map(unplaced).collect(), more: findings.more })
    }

    /// Sorts, drops repetitions and adds the file's lines; None when nothing was said.
    pub(super) fn finish(mut self, file: &str, text: &str) -> Option<Findings> {
        if self.list.is_empty() {
            return None;
        }
        self.list.sort();
        self.list.dedup();
        let more = self.beyond + self.list.len().saturating_sub(FINDINGS_MAX);
        self.list.truncate(FINDINGS_MAX);
        let lines = lines(text);
        let list = self.list.into_iter().map(|remark| {
            // An error at the very end may point past the last line.
            let line = remark.at.line.clamp(1, u32::try_from(lines.len().max(1)).unwrap_or(u32::MAX));
            let column = if line == remark.at.line { remark.at.column.max(1) } else { 1 };
            Finding {
                file: file.to_string(),
                line,
                column,
                excerpt: lines.get(line as usize - 1).and_then(|l| excerpt(l, Pos { line, column })),
                path: remark.path,
                reason: one_line(remark.reason),
                fix: remark.fix.map(one_line),
            }
        });
        Some(Findings { list: list.collect(), more })
    }
}

/// The lines of a text as YAML counts them: ended by LF, CR LF or CR.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let skip = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// The line with a caret below it, cut around the column.
fn excerpt(line: &str, at: Pos) -> Option<String> {
    if line.trim().is_empty() {
        return None;
    }
    let column = at.column as usize - 1;
    let from = if column < EXCERPT_CHARS - 20 { 0 } else { column + 20 - EXCERPT_CHARS };
    let shown: String =
        line.chars().skip(from).take(EXCERPT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let spaces = " ".repeat((column - from).min(shown.chars().count()));
    Some(format!("  {number} | {}\n  {margin} | {spaces}^", shown.trim_end()))
}

/// What a finding says stands in one line of a terminal or an Event, whatever a user's text in it holds.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// A user's text in quotes: control characters made visible, cut when long.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// `a, b or c`, of at most twelve.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    let more = words.len() > 12;
    words.truncate(12);
    if more {
        return format!("{}, ...", words.join(", "));
    }
    match words.split_last() {
        Some((last, [])) => (*last).to_string(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
