//! The bounds of a status, and how one is brought within them: a write that the API server refuses for its size would be
//! tried for ever.

use serde::Serialize;

use crate::crd::status::{Condition, RunStatus, WorkerPoolStatus, WorkflowStatus};

/// Bytes of a Run's status as JSON; 64 KiB with what stands around it.
pub const STATUS_BYTES_MAX: usize = 60 << 10;
/// Fields of an object with any fields.
pub(super) const FREE_FIELDS: usize = 256;
/// Bytes of the outputs that a status repeats, as JSON.
const OUTPUTS_BYTES: usize = 16 << 10;
/// Conditions of an object.
pub(super) const CONDITIONS: usize = 8;
/// Elements of a list.
pub(super) const LISTED: usize = 20;
/// Characters of a condition's message, and of a Run's.
pub(super) const MESSAGE: usize = 4096;
/// Characters of what is said of one element of a list.
pub(super) const REASON: usize = 1024;
/// Characters of a word: a state, a reason, a type.
pub(super) const STATE: usize = 64;
/// Characters of a revision's id.
pub(super) const ID: usize = 256;
/// Characters of a task's name.
pub(super) const TASK: usize = 63;
/// Characters of a name as Kubernetes allows it.
pub(super) const OBJECT_NAME: usize = 253;
/// Characters of a user's name.
pub(super) const USER: usize = 253;
/// Characters of a value that is repeated.
pub(super) const VALUE: usize = 256;
/// Characters of a command.
pub(super) const COMMAND: usize = 512;
/// Characters of a note.
pub(super) const NOTE: usize = 256;

/// How much is said: characters of a sentence, elements of a list. Without outputs the last fits, whatever the text.
const STEPS: [(usize, usize); 5] = [(1024, 20), (512, 20), (256, 20), (128, 10), (64, 5)];

/// A text cut to so many characters, with a mark where it was cut.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_string(),
        Some(_) => {
            let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
            kept + "…"
        }
    }
}

/// A status that is brought within its bounds.
pub trait Fitted {
    /// The same, as far as its schema allows: long texts are cut with a mark, long lists counted, large outputs left out.
    #[must_use]
    fn fitted(self) -> Self;
}

impl Fitted for WorkflowStatus {
    fn fitted(mut self) -> Self {
        cut_option(&mut self.revision, ID);
        conditions(&mut self.conditions, MESSAGE);
        self
    }
}

impl Fitted for WorkerPoolStatus {
    fn fitted(mut self) -> Self {
        cut_option(&mut self.selector, VALUE);
        conditions(&mut self.conditions, MESSAGE);
        self
    }
}

impl Fitted for RunStatus {
    fn fitted(mut self) -> Self {
        let bytes = self.outputs.as_ref().map_or(0, size);
        if bytes > OUTPUTS_BYTES || self.outputs.as_ref().is_some_and(|all| all.len() > FREE_FIELDS) {
            self.outputs = None;
            let shown = format!("{OUTPUTS_BYTES} bytes and {FREE_FIELDS} fields are shown at most");
            self.outputs_note = Some(format!("the outputs have {bytes} bytes; {shown}"));
        }
        for (text, listed) in STEPS {
            self = within(self, text, listed);
            if size(&self) <= STATUS_BYTES_MAX {
                return self;
            }
        }
        // Signs that take six bytes each in JSON, in every place: the outputs are what is left to spare.
        self.outputs = None;
        self.outputs_note = Some(format!("the outputs have {bytes} bytes; there is no room for them"));
        self
    }
}

fn within(mut status: RunStatus, text: usize, listed: usize) -> RunStatus {
    conditions(&mut status.conditions, text);
    for (word, most) in [(&mut status.revision, ID), (&mut status.state, STATE), (&mut status.desired, STATE)]
    {
        cut_option(word, most);
    }
    cut_option(&mut status.message, text);
    cut_option(&mut status.outputs_note, NOTE);
    counted(&mut status.awaiting, &mut status.more_awaiting, listed);
    counted(&mut status.failures, &mut status.more_failures, listed);
    status.disregarded.truncate(listed);
    for asking in &mut status.awaiting {
        cut(&mut asking.task, TASK);
        cut_option(&mut asking.message, text.min(REASON));
        asking.approved_by.truncate(listed);
        asking.approved_by.iter_mut().for_each(|user| cut(user, text.min(USER)));
        cut_option(&mut asking.command, COMMAND);
    }
    for failure in &mut status.failures {
        cut(&mut failure.task, TASK);
        cut_option(&mut failure.reason, STATE);
        cut_option(&mut failure.message, text.min(REASON));
    }
    for disregarded in &mut status.disregarded {
        cut(&mut disregarded.task, text.min(OBJECT_NAME));
        cut(&mut disregarded.value, text.min(VALUE));
        cut(&mut disregarded.reason, text.min(REASON));
    }
    status
}

/// The first elements; the others only as a number.
fn counted<T>(list: &mut Vec<T>, more: &mut Option<u32>, listed: usize) {
    let beyond = u32::try_from(list.len().saturating_sub(listed)).unwrap_or(u32::MAX);
    if beyond > 0 {
        list.truncate(listed);
        *more = Some(more.unwrap_or(0).saturating_add(beyond));
    }
}

fn conditions(list: &mut Vec<Condition>, message: usize) {
    list.truncate(CONDITIONS);
    for condition in list {
        cut(&mut condition.kind, STATE);
        cut(&mut condition.reason, STATE);
        cut(&mut condition.message, message);
    }
}

fn cut(text: &mut String, characters: usize) {
    // Fewer bytes are fewer characters.
    if text.len() > characters {
        *text = shortened(text, characters);
    }
}

fn cut_option(text: &mut Option<String>, characters: usize) {
    if let Some(text) = text {
        cut(text, characters);
    }
}

/// Bytes as compact JSON; what cannot be written counts as too large.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}
