//! Approvals as annotations: `approval.relay.works/<task>`, whose lines are what people said. Whatever a user writes there
//! is read to its end without a panic, and what cannot count is named with its fix.
//!
//! A line is `approved` or `rejected` alone, which counts as one unknown person, or
//! `<approved|rejected> <asking> <user> [note]` with the user percent-encoded. Nothing proves yet that the user is who
//! wrote the line, so each is recorded as unverified.

use crate::crd::status::{Disregarded, shortened};
use crate::model::{task_run::ApprovalRow, task_run::Decision, view::Asking};
use crate::operator::status::APPROVAL_PREFIX;

/// Who is meant when a line names nobody.
pub const UNKNOWN_USER: &str = "unknown";
/// Lines of an annotation that are read.
pub const LINES_MAX: usize = 100;
/// Bytes of a line.
pub const LINE_BYTES: usize = 2_048;
/// Characters of a user's name.
const USER_CHARS: usize = 253;
/// Characters of a line that a status repeats.
const SHOWN: usize = 256;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Yes or no.
    pub decision: Decision,
    /// Of which asking; none for the one that is open.
    pub asking: Option<u32>,
    /// Who.
    pub user: String,
    /// Why.
    pub note: Option<String>,
}

/// A line of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What stands in the annotation's key behind the slash.
    pub task: String,
    /// As it is written, cut to what a status repeats.
    pub text: String,
    /// What it says, or why it says nothing.
    pub word: Result<Word, &'static str>,
}

/// The lines of all approval annotations.
pub fn lines<'a>(annotations: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Line> {
    let mut all = Vec::new();
    for (key, value) in annotations {
        let Some(task) = key.strip_prefix(APPROVAL_PREFIX) else { continue };
        let written = value.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in written.take(LINES_MAX.saturating_sub(all.len())) {
            all.push(Line { task: task.to_owned(), text: shortened(line, SHOWN), word: read(line) });
        }
        if value.trim().is_empty() {
            let word = Err("it is empty: write approved or rejected");
            all.push(Line { task: task.to_owned(), text: String::new(), word });
        }
    }
    all
}

fn read(line: &str) -> Result<Word, &'static str> {
    if line.len() > LINE_BYTES {
        return Err("it is longer than 2,048 bytes");
    }
    let mut parts = line.splitn(4, ' ');
    let decision = parts.next().and_then(Decision::parse);
    let decision = decision.ok_or("it must begin with approved or rejected")?;
    let Some(asking) = parts.next() else {
        return Ok(Word { decision, asking: None, user: UNKNOWN_USER.to_owned(), note: None });
    };
    let digits = !asking.is_empty() && asking.bytes().all(|byte| byte.is_ascii_digit());
    let asking = asking.parse::<u32>().ok().filter(|number| digits && *number > 0);
    let asking =
        asking.ok_or("its second word must be the number of the asking, as status.awaiting shows it")?;
    let user = parts.next().and_then(decoded);
    let user = user.filter(|user| !user.is_empty() && user.chars().count() <= USER_CHARS);
    let user = user.filter(|user| !user.chars().any(char::is_control));
    let user = user.ok_or("its third word must be a user, percent-encoded, of at most 253 characters")?;
    let note = parts.next().map(str::trim).filter(|note| !note.is_empty()).map(str::to_owned);
    Ok(Word { decision, asking: Some(asking), user, note })
}

/// A percent-encoded text; none when it is no such thing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        plain.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(plain).ok()
}

/// What is to be done about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It decides, in this asking.
    Decide(Word, u32),
    /// It has decided before.
    Known,
    /// It decides nothing, and this is why.
    Disregard(String),
    /// What was said of the task before must be known first.
    Ask,
}

/// What a line is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The tasks that wait for people.
    pub askings: &'a [Asking],
    /// Is there a task of this name?
    pub is_task: bool,
    /// What people said of the task so far, in all its askings, each with the asking; none when that was not looked up.
    pub said: Option<&'a [ApprovalRow]>,
    /// What was disregarded before: that stays so until the annotation is changed.
    pub disregarded: &'a [Disregarded],
}

/// Judges a line. A value decides at most once, in the asking that was open when it was first seen.
pub fn judge(line: &Line, heard: &Heard<'_>) -> Judgement {
    let word = match &line.word {
        Ok(word) => word,
        Err(why) => {
            let fix = format!("write {}, or remove the annotation", r#""approved""#);
            return Judgement::Disregard(format!("it cannot be read: {why}; {fix}"));
        }
    };
    if !heard.is_task {
        return Judgement::Disregard(format!("the run has no task {}; remove the annotation", line.task));
    }
    let old = heard.disregarded.iter().find(|old| old.task == line.task && old.value == line.text);
    if let Some(old) = old {
        return Judgement::Disregard(old.reason.clone());
    }
    let asking = heard.askings.iter().find(|asking| asking.task == line.task);
    let open = asking.map(|asking| asking.number);
    let same = |row: &&ApprovalRow| row.user == word.user && row.decision == word.decision;
    // What was said in the asking that is open is at hand, and before the first one nobody can have spoken.
    let said = match (heard.said, asking) {
        (Some(said), _) => said,
        (None, Some(asking)) if asking.number == 1 => &asking.words,
        (None, _) => return Judgement::Ask,
    };
    if said.iter().filter(same).any(|row| word.asking.is_none_or(|asking| asking == row.key.round)) {
        return Judgement::Known;
    }
    match (open, word.asking) {
        (Some(open), None) => Judgement::Decide(word.clone(), open),
        (Some(open), Some(asking)) if open == asking => Judgement::Decide(word.clone(), open),
        (Some(open), Some(asking)) => Judgement::Disregard(format!(
            "it is about asking {asking}, and asking {open} is open; write {} {open} ...",
            word.decision
        )),
        (None, _) => Judgement::Disregard(format!(
            "task {} did not ask when this was seen; remove the annotation, and set it again when the task asks",
            line.task
        )),
    }
}
