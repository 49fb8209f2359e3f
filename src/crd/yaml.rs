//! YAML text to trees, one a document, with everything that is wrong in the text itself.
//!
//! The parser is the one that serde-saphyr (and so kube) is built on, taken directly: serde's view has no place for a
//! key's position, for several duplicate keys at once, or for going on at the next document after a syntax error.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::crd::finding::{Remark, Remarks, lines, quoted};
use crate::crd::places::{place, text_at};
use crate::crd::scalar;
use crate::crd::tree::{Entry, Item, Lost, Node, Pos, TextAt, Value};

/// Nested lists and objects; no manifest needs a tenth of it.
const DEPTH_MAX: usize = 64;
/// Values in a file, those that aliases repeat among them.
const VALUES_MAX: usize = 1_000_000;
/// Bytes of text that aliases may repeat, in all.
const ALIAS_BYTES_MAX: usize = 8 << 20;
/// Documents in a file.
const DOCUMENTS_MAX: usize = 1_000;

/// Reads all documents; broken ones leave remarks, empty ones nothing.
pub(super) fn documents(text: &str, remarks: &mut Remarks) -> Vec<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    let mut builder = Builder::new(text, remarks);
    while let Some(event) = parser.next_event() {
        let stop = match event {
            Ok((Event::StreamEnd, _)) => true,
            Ok((Event::DocumentEnd, _)) => {
                documents.extend(builder.end_document());
                documents.len() >= DOCUMENTS_MAX && builder.too_many_documents()
            }
            Ok((event, span)) => builder.event(event, span).is_err(),
            Err(error) => !builder.recover(&error, &mut parser),
        };
        if stop {
            break;
        }
    }
    documents
}

/// The file asks for more than any manifest needs: nothing after this is read.
struct Exhausted;

/// A list or object that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key whose value comes next.
    key: Option<Key>,
    /// In a map: where each key stands; a search through the entries would cost their square.
    seen: BTreeMap<String, usize>,
    /// Values in it so far, itself among them.
    values: usize,
}

/// A key just read.
struct Key {
    /// None when it is no text (a list, an object): a remark was made and its value is dropped.
    name: Option<String>,
    at: Pos,
    merge: bool,
}

/// What an anchor names and what repeating it costs.
struct Anchored {
    node: Node,
    values: usize,
    bytes: usize,
}

struct Builder<'a> {
    text: &'a str,
    remarks: &'a mut Remarks,
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Anchored>,
    values: usize,
    alias_bytes: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, remarks: &'a mut Remarks) -> Self {
        Self {
            text,
            remarks,
            stack: Vec::new(),
            root: None,
            anchors: BTreeMap::new(),
            values: 0,
            alias_bytes: 0,
        }
    }

    fn remark(&mut self, at: Pos, reason: impl Into<String>, fix: Option<&str>) {
        let (reason, fix) = (reason.into(), fix.map(str::to_string));
        self.remarks.push(Remark { at, path: String::new(), reason, fix });
    }

    fn end_document(&mut self) -> Option<Node> {
        self.stack.clear();
        self.anchors.clear();
        self.root.take().filter(|root| !matches!(root.value, Value::Null))
    }

    fn too_many_documents(&mut self) -> bool {
        let reason = format!("more than {DOCUMENTS_MAX} documents in one file");
        self.remark(Pos { line: 1, column: 1 }, reason, Some("split the file"));
        true
    }

    /// Says what the parser found and goes to the next document; false when there is none.
    fn recover(&mut self, error: &ScanError, parser: &mut Parser<'a, StrInput<'a>>) -> bool {
        let at = place(error.marker().line(), error.marker().col());
        let line = lines(self.text).get(at.line as usize - 1).copied().unwrap_or("");
        let fix = if line.contains("{{") {
            Some("this looks like a Helm template: render it first (helm template)")
        } else if line[..line.len() - line.trim_start().len()].contains('\t') {
            Some("indent with spaces, YAML allows no tabs there")
        } else if error.info().contains("mapping values are not allowed") {
            Some("put text that contains \": \" in quotes, or check the indentation")
        } else {
            None
        };
        self.remark(at, format!("not YAML: {}", error.info()), fix);
        self.root = None;
        self.end_document();
        parser.proceed_next_document().unwrap_or(false)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Exhausted> {
        let at = place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, (anchor, tag.as_deref()), span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Value::List(Vec::new()), at, anchor, tag.as_deref())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(Value::Map(Vec::new()), at, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Alias(id) => self.alias(id, at),
            Event::UnresolvedAlias(name) => {
                let reason = format!("alias {} names no anchor above it", quoted(&format!("*{name}")));
                self.remark(at, reason, Some("anchors are written &name"));
                self.lose(at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts values before they are made; at the bound nothing more is read.
    fn spend(&mut self, values: usize, bytes: usize, at: Pos) -> Result<(), Exhausted> {
        self.values = self.values.saturating_add(values);
        self.alias_bytes = self.alias_bytes.saturating_add(bytes);
        if self.values <= VALUES_MAX && self.alias_bytes <= ALIAS_BYTES_MAX {
            return Ok(());
        }
        let reason = format!("more than {VALUES_MAX} values, or aliases that repeat more than 8 MiB");
        self.remark(at, reason, Some("write less, or fewer aliases"));
        Err(Exhausted)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        (anchor, tag): (usize, Option<&Tag>),
        span: Span,
    ) -> Result<(), Exhausted> {
        let at = place(span.start.line(), span.start.col());
        self.spend(1, 0, at)?;
        let is_key = self.awaits_key();
        let value =
            if is_key { Ok(Value::Text(text.to_string())) } else { scalar::resolve(text, style, tag) };
        let value = match value {
            Ok(value) => value,
            Err(reason) => {
                self.remark(at, reason, Some("put it in quotes if it is meant as text"));
                self.lose(at);
                return Ok(());
            }
        };
        let mut node = Node::new(value, at);
        node.text_at = text_at(self.text, text, style, span);
        if anchor > 0 {
            self.spend(0, text.len(), at)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), values: 1, bytes: text.len() });
        }
        if is_key {
            let merge = text == "<<" && style == ScalarStyle::Plain;
            self.set_key(Some(text.to_string()), at, merge);
        } else {
            self.place_value(node, 1);
        }
        Ok(())
    }

    fn open(&mut self, value: Value, at: Pos, anchor: usize, tag: Option<&Tag>) -> Result<(), Exhausted> {
        self.spend(1, 0, at)?;
        if let Some(tag) = tag
            && !matches!(tag.core_suffix(), Some("map" | "seq"))
        {
            self.remark(
                at,
                format!("tag {} is not supported", quoted(&tag.original())),
                Some("remove the tag"),
            );
        }
        self.stack.push(Open {
            node: Node::new(value, at),
            anchor,
            key: None,
            seen: BTreeMap::new(),
            values: 1,
        });
        Ok(())
    }

    fn close(&mut self) {
        let Some(Open { node, anchor, values, .. }) = self.stack.pop() else { return };
        if anchor > 0 {
            let bytes = text_bytes(&node);
            // An anchor costs a copy itself; nested anchors could make that quadratic.
            if self.spend(values, bytes, node.at).is_ok() {
                self.anchors.insert(anchor, Anchored { node: node.clone(), values, bytes });
            }
        }
        if self.awaits_key() {
            self.set_key(None, node.at, false);
        } else {
            self.place_value(node, values);
        }
    }

    fn alias(&mut self, id: usize, at: Pos) -> Result<(), Exhausted> {
        let Some(anchored) = self.anchors.get(&id) else {
            self.remark(at, "an alias inside of what it names", Some("write it out"));
            self.lose(at);
            return Ok(());
        };
        let (values, bytes) = (anchored.values, anchored.bytes);
        // Before the copy is made: ten short lines can ask for gigabytes.
        self.spend(values, bytes, at)?;
        let Some(Anchored { node, .. }) = self.anchors.get(&id) else { return Ok(()) };
        let mut node = node.clone();
        (node.at, node.text_at) = (at, TextAt::Start);
        if self.awaits_key() {
            self.set_key(node.as_text().map(str::to_string), at, false);
        } else {
            self.place_value(node, values);
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        self.stack.last().is_some_and(|open| matches!(open.node.value, Value::Map(_)) && open.key.is_none())
    }

    fn set_key(&mut self, name: Option<String>, at: Pos, merge: bool) {
        if name.is_none() {
            let fix = "if {{ }} is Helm's, render the template first (helm template)";
            self.remark(at, "a field's name must be text", Some(fix));
        }
        if let Some(open) = self.stack.last_mut() {
            open.key = Some(Key { name, at, merge });
        }
    }

    /// Leaves out a value that was remarked upon; what holds it remembers that something was there.
    fn lose(&mut self, at: Pos) {
        if self.awaits_key() {
            return self.set_key(None, at, false);
        }
        if let Some(open) = self.stack.last_mut() {
            let name = open.key.take().and_then(|key| key.name);
            open.node.lost.push(Lost { name, text: None });
        }
    }

    /// Puts a finished value where it belongs.
    fn place_value(&mut self, node: Node, values: usize) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.values = open.values.saturating_add(values);
        let key = open.key.take();
        match (&mut open.node.value, key) {
            (Value::List(items), _) => items.push(Item { place: items.len() + open.node.lost.len(), node }),
            (Value::Map(entries), Some(Key { name: Some(name), at, merge })) => {
                if merge && merge_into(entries, &mut open.seen, &node) {
                    return;
                }
                let twice = place_field(
                    entries,
                    &mut open.seen,
                    Entry { key: name, key_at: at, node, merged: false },
                );
                if let Some((name, first)) = twice {
                    let reason =
                        format!("field {} is written twice, first in line {}", quoted(&name), first.line);
                    self.remark(at, reason, Some("keep one of them"));
                }
            }
            _ => {}
        }
    }
}

/// Adds a field; when it was written before, gives back its name and first place.
fn place_field(
    entries: &mut Vec<Entry>,
    seen: &mut BTreeMap<String, usize>,
    entry: Entry,
) -> Option<(String, Pos)> {
    match seen.get(&entry.key).and_then(|&index| entries.get_mut(index)) {
        // Fields that came by `<<` give way to written ones.
        Some(old) if old.merged => *old = entry,
        Some(old) => return Some((entry.key, old.key_at)),
        None => {
            seen.insert(entry.key.clone(), entries.len());
            entries.push(entry);
        }
    }
    None
}

/// `<<: *base` or `<<: [*a, *b]`: the fields that are not there yet; false when the value holds no fields.
fn merge_into(entries: &mut Vec<Entry>, seen: &mut BTreeMap<String, usize>, node: &Node) -> bool {
    let sources: Vec<&Node> = match &node.value {
        Value::Map(_) => vec![node],
        Value::List(items) => items.iter().map(|item| &item.node).collect(),
        _ => return false,
    };
    if sources.iter().any(|source| !matches!(source.value, Value::Map(_))) {
        return false;
    }
    for source in sources {
        let Value::Map(fields) = &source.value else { continue };
        for field in fields {
            if !seen.contains_key(&field.key) {
                seen.insert(field.key.clone(), entries.len());
                entries.push(Entry { merged: true, ..field.clone() });
            }
        }
    }
    true
}

fn text_bytes(node: &Node) -> usize {
    match &node.value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(|item| text_bytes(&item.node)).sum(),
        Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + text_bytes(&entry.node)).sum(),
        _ => 0,
    }
}
