//! A YAML document as a tree: every key and value knows its place in the file.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

/// A place in a file: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1; 0 of what never was a file, whose lines only order it.
    pub column: u32,
}

/// The beginning of a file.
pub(super) const START: Pos = Pos { line: 1, column: 1 };

/// One value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where it begins.
    pub at: Pos,
    /// How the text of a scalar maps to the file.
    pub(super) text_at: TextAt,
    /// What was taken out of it because a remark was made.
    pub(super) lost: Vec<Lost>,
}

/// Something taken out of a list or object.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// The field; of an element the text of its field `name`, where there was one.
    pub name: Option<String>,
    /// The text of a field that was text.
    pub text: Option<String>,
}

impl Lost {
    /// A field of an object.
    pub(super) fn field(key: String, node: &Node) -> Self {
        Self { name: Some(key), text: node.as_text().map(str::to_string) }
    }

    /// An element of a list, known by its name even when that was lost before.
    pub(super) fn element(node: &Node) -> Self {
        let written = node.get("name").and_then(|entry| entry.node.as_text().map(str::to_string));
        let lost = || node.lost.iter().find(|lost| lost.name.as_deref() == Some("name"))?.text.clone();
        Self { name: written.or_else(lost).or_else(|| node.as_text().map(str::to_string)), text: None }
    }
}

/// The kinds of value that YAML and JSON share.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing written, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer or a finite double.
    Number(serde_json::Number),
    /// Everything else that is a scalar.
    Text(String),
    /// A sequence.
    List(Vec<Item>),
    /// A mapping, in the order written, each key once.
    Map(Vec<Entry>),
}

/// One element of a list.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its index in the file, from 0 (it outlives the removal of a neighbour).
    pub place: usize,
    /// The element.
    pub node: Node,
}

/// One field of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The field's name.
    pub key: String,
    /// Where the name begins.
    pub key_at: Pos,
    /// The field's value.
    pub node: Node,
    /// It came by a merge key, so a written field of that name replaces it.
    pub(super) merged: bool,
}

/// How far a place inside a scalar's text can be told in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextAt {
    /// On one line, character for character, from this place.
    Line(Pos),
    /// A literal block: its first line and its indentation.
    Block { first_line: u32, indent: u32 },
    /// Escapes or folded lines: only the beginning is known.
    Start,
}

impl Entry {
    fn from_json(key: &str, json: &Json, count: &mut u32) -> Self {
        let node = Node::counted(json, count);
        Self { key: key.to_string(), key_at: node.at, node, merged: false }
    }
}

impl Node {
    pub(super) fn new(value: Value, at: Pos) -> Self {
        Self { value, at, text_at: TextAt::Start, lost: Vec::new() }
    }

    /// A tree of JSON that never was a file: a place, of column 0, only orders findings.
    pub(super) fn from_json(json: &Json) -> Self {
        Self::counted(json, &mut 0)
    }

    fn counted(json: &Json, count: &mut u32) -> Self {
        *count = count.saturating_add(1);
        let at = Pos { line: *count, column: 0 };
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => Value::Number(n.clone()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => {
                let items = items.iter().enumerate();
                Value::List(
                    items.map(|(place, item)| Item { place, node: Self::counted(item, count) }).collect(),
                )
            }
            Json::Object(fields) => {
                Value::Map(fields.iter().map(|(key, json)| Entry::from_json(key, json, count)).collect())
            }
        };
        Self::new(value, at)
    }

    /// The field `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text of a text scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; none for anything else.
    pub fn items(&self) -> &[Item] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of a map; none for anything else.
    pub fn fields(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The place in the file of the character `offset` (in characters, from 0) of this scalar's text.
    pub fn place_of(&self, offset: usize) -> Pos {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match (self.text_at, self.as_text()) {
            (TextAt::Line(start), _) => {
                Pos { line: start.line, column: start.column.saturating_add(small(offset)) }
            }
            (TextAt::Block { first_line, indent }, Some(text)) => {
                let before: String = text.chars().take(offset).collect();
                let last = before.rsplit('\n').next().unwrap_or("");
                Pos {
                    line: first_line.saturating_add(small(before.matches('\n').count())),
                    column: indent.saturating_add(1).saturating_add(small(last.chars().count())),
                }
            }
            _ => self.at,
        }
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => Json::Number(n.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(|item| item.node.to_json()).collect()),
            Value::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                Json::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// What this is, with an article, for a finding: `the number 10`, `a list`.
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_string(),
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Number(n) => format!("the number {n}"),
            Value::Text(text) => format!("the text {}", crate::crd::finding::quoted(text)),
            Value::List(_) => "a list".to_string(),
            Value::Map(_) => "an object".to_string(),
        }
    }
}

/// A walk from a document's root: a node that may be absent, its place and its path in words.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    /// The node; None when the field is not there.
    pub node: Option<&'a Node>,
    /// Its place; of an absent field the place of what would hold it.
    pub at: Pos,
    /// Where its key is written (of an item: the item itself).
    pub key_at: Pos,
    /// `spec.tasks[2].when`
    pub path: String,
}

impl<'a> Cursor<'a> {
    /// Starts at a document's root, whose path is empty.
    pub fn root(node: &'a Node) -> Self {
        Self { node: Some(node), at: node.at, key_at: node.at, path: String::new() }
    }

    /// Steps into the field `key`.
    pub fn field(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        push_key(&mut path, key);
        match self.node.and_then(|node| node.get(key)) {
            Some(entry) => Self { node: Some(&entry.node), at: entry.node.at, key_at: entry.key_at, path },
            None => Self { node: None, at: self.at, key_at: self.at, path },
        }
    }

    /// Steps into the element at `position` of what is left of a list.
    pub fn item(&self, position: usize) -> Self {
        let item = self.node.and_then(|node| node.items().get(position));
        let path = format!("{}[{}]", self.path, item.map_or(position, |item| item.place));
        match item {
            Some(item) => Self { node: Some(&item.node), at: item.node.at, key_at: item.node.at, path },
            None => Self { node: None, at: self.at, key_at: self.at, path },
        }
    }

    /// Where this is, in words: its line, or its path in what never was a file.
    pub(super) fn told(&self) -> String {
        match self.at {
            Pos { column: 0, .. } => self.path.clone(),
            Pos { line, .. } => format!("in line {line}"),
        }
    }

    /// Whether an earlier check took the field `key` out of this object.
    pub(super) fn lost(&self, key: &str) -> bool {
        self.node.is_some_and(|node| node.lost.iter().any(|lost| lost.name.as_deref() == Some(key)))
    }

    /// Whether an earlier check took an element out of this list that may have been called `name`.
    pub(super) fn lost_element(&self, name: &str) -> bool {
        let may = |lost: &Lost| lost.name.as_deref().is_none_or(|known| known == name);
        self.node.is_some_and(|node| node.lost.iter().any(may))
    }

    /// Whether an earlier check took anything out of this list or object.
    pub(super) fn lost_any(&self) -> bool {
        self.node.is_some_and(|node| !node.lost.is_empty())
    }

    /// The place of the character `offset` (in characters, from 0) of this scalar's text.
    pub fn place_of(&self, offset: usize) -> Pos {
        self.node.map_or(self.at, |node| node.place_of(offset))
    }
}

/// Adds a field's name to a path: `.name`, or `["odd name"]` when a dot would mislead.
pub(super) fn push_key(path: &mut String, key: &str) {
    let simple =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if simple {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        let _ = write!(path, "[{}]", crate::crd::finding::quoted(key));
    }
}
