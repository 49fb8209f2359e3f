//! Values of params for a run: flags over the params file over the Run over the defaults, each error with its source.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::crd::convert::param::{article, fits, quotes, whole};
use crate::crd::finding::{Finding, Findings, Remark, Remarks, quoted};
use crate::crd::tree::{Cursor, Entry, Node, Pos, Value};
use crate::crd::{WorkflowManifest, load, near, yaml};
use crate::model::workflow::{Param, ValueType};

/// Values given beside a Run: by flags and by a file of params.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `-p name=value`, in order; a later one wins.
    flags: Vec<(String, String)>,
    /// `--params FILE`
    file: Option<ParamsFile>,
}

#[derive(Clone, Debug)]
struct ParamsFile {
    name: String,
    text: String,
    root: Node,
}

impl Overrides {
    /// Reads the texts after `-p` and, where there is one, the params file (its name and bytes, YAML or JSON).
    pub fn read(flags: &[String], file: Option<(&str, &[u8])>) -> Result<Self, Findings> {
        let mut findings = Vec::new();
        let mut overrides = Self::default();
        for flag in flags {
            match flag.split_once('=') {
                Some((name, value)) if !name.is_empty() => {
                    overrides.flags.push((name.to_string(), value.to_string()))
                }
                _ => {
                    let fix = Some("write -p name=value".to_string());
                    findings.push(flag_finding("-p", format!("{} gives no value", quoted(flag)), fix));
                }
            }
        }
        if let Some((name, bytes)) = file {
            match params_file(name, bytes) {
                Ok(file) => overrides.file = Some(file),
                Err(wrong) => findings.extend(wrong.list),
            }
        }
        match Findings::of(findings) {
            Some(findings) => Err(findings),
            None => Ok(overrides),
        }
    }

    fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn in_file(&self, name: &str) -> Option<&Entry> {
        self.file.as_ref()?.root.get(name)
    }
}

fn params_file(name: &str, bytes: &[u8]) -> Result<ParamsFile, Findings> {
    let mut remarks = Remarks::default();
    let text = load::text_of(bytes, &mut remarks);
    let documents = if remarks.len() == 0 { yaml::documents(&text, &mut remarks) } else { Vec::new() };
    let root = match <[Node; 1]>::try_from(documents) {
        Ok([root]) if matches!(root.value, Value::Map(_)) => Some(root),
        Ok([root]) => {
            let reason = format!("an object of params is expected, not {}", root.described());
            remarks.push(Remark {
                at: root.at,
                path: String::new(),
                reason,
                fix: Some("write name: value".to_string()),
            });
            None
        }
        Err(_) if remarks.len() > 0 => None,
        Err(several) => {
            let reason = if several.is_empty() {
                "there are no params in this file"
            } else {
                "more than one document"
            };
            let at = several.get(1).map_or(Pos { line: 1, column: 1 }, |second| second.at);
            let fix = Some("write one object: name: value".to_string());
            remarks.push(Remark { at, path: String::new(), reason: reason.to_string(), fix });
            None
        }
    };
    match (remarks.finish(name, &text), root) {
        (Some(findings), _) => Err(findings),
        (None, root) => {
            let root = root.unwrap_or_else(|| Node::new(Value::Map(Vec::new()), Pos::default()));
            Ok(ParamsFile { name: name.to_string(), text, root })
        }
    }
}

/// The values for a run of a Workflow that no Run object asks for; `file` is the name of the Workflow's file.
pub fn resolve(
    file: &str,
    manifest: &WorkflowManifest,
    overrides: &Overrides,
) -> Result<BTreeMap<String, Json>, Findings> {
    let declared = &manifest.workflow.params;
    let empty = Node::new(Value::Map(Vec::new()), Pos::default());
    let mut remarks = Remarks::default();
    let (values, mut wrong) = of_run(declared, &Cursor::root(&empty), overrides, &mut remarks);
    wrong.extend(strangers(&[declared.as_slice()], overrides));
    // What a Run would lack is here for the flags to give.
    for remark in remarks.into_list() {
        let fix = remark.fix.map(|fix| fix.replace("give it here, or with", "give it with"));
        let missing = flag_finding(file, remark.reason, fix);
        let place = declared.iter().position(|param| param.name == remark.path);
        wrong.push(match place.and_then(|place| Some((place, manifest.params_at.get(place)?))) {
            Some((place, at)) => {
                Finding { line: at.line, column: at.column, path: format!("spec.params[{place}]"), ..missing }
            }
            None => missing,
        });
    }
    match Findings::of(wrong) {
        Some(findings) => Err(findings),
        None => Ok(values),
    }
}

/// The values for a Run, whose own are under `given`. Remarks are about the Run's file, findings about other sources.
pub(super) fn of_run(
    declared: &[Param],
    given: &Cursor<'_>,
    overrides: &Overrides,
    remarks: &mut Remarks,
) -> (BTreeMap<String, Json>, Vec<Finding>) {
    let (mut values, mut wrong) = (BTreeMap::new(), Vec::new());
    let names = || declared.iter().map(|param| param.name.as_str());
    if let Some(Node { value: Value::Map(entries), .. }) = given.node {
        for entry in entries.iter().filter(|entry| !names().any(|name| name == entry.key)) {
            let reason = format!("unknown param {}", quoted(&entry.key));
            let path = given.field(&entry.key).path;
            remarks.push(Remark { at: entry.key_at, path, reason, fix: stranger_fix(&entry.key, names()) });
        }
    }
    for param in declared {
        let at = given.field(&param.name);
        // Every source is judged, also one that another hides: it is wrong all the same.
        let of_run = at.node.and_then(|node| {
            let json = node.to_json();
            let fix = quotes(param.kind, &json);
            judged(param, json).map_err(|reason| remarks.at(&at, reason, fix)).ok()
        });
        let of_file = overrides.in_file(&param.name).and_then(|entry| {
            let json = entry.node.to_json();
            let fix = quotes(param.kind, &json);
            let refuse = |reason| wrong.extend(in_file(overrides, entry.node.at, (&param.name, reason, fix)));
            judged(param, json).map_err(refuse).ok()
        });
        let of_flag = overrides.flag(&param.name).and_then(|text| {
            let value = from_flag(param, text);
            value
                .map_err(|(reason, fix)| wrong.push(flag_finding(&format!("-p {}", param.name), reason, fix)))
                .ok()
        });
        let is_given = at.node.is_some()
            || overrides.in_file(&param.name).is_some()
            || overrides.flag(&param.name).is_some();
        match of_flag.or(of_file).or(of_run).or_else(|| param.default.clone()) {
            Some(value) => {
                values.insert(param.name.clone(), value);
            }
            None if is_given || given.lost(&param.name) => {}
            None => {
                let reason = format!(
                    "param {} has no value and no default ({})",
                    quoted(&param.name),
                    article(param.kind)
                );
                let fix = Some(format!("give it here, or with -p {}=...", param.name));
                remarks.push(Remark { at: at.at, path: at.path, reason, fix });
            }
        }
    }
    (values, wrong)
}

/// Flags and fields of the params file that none of the Workflows declares.
pub(super) fn strangers(workflows: &[&[Param]], overrides: &Overrides) -> Vec<Finding> {
    let names = || workflows.iter().flat_map(|params| params.iter()).map(|param| param.name.as_str());
    let unknown = |name: &str| !names().any(|known| known == name);
    let mut findings = Vec::new();
    for (name, _) in overrides.flags.iter().filter(|(name, _)| unknown(name)) {
        let reason = format!("unknown param {}", quoted(name));
        findings.push(flag_finding(&format!("-p {name}"), reason, stranger_fix(name, names())));
    }
    if let Some(ParamsFile { root: Node { value: Value::Map(entries), .. }, .. }) = &overrides.file {
        for entry in entries.iter().filter(|entry| unknown(&entry.key)) {
            let reason = format!("unknown param {}", quoted(&entry.key));
            findings.extend(in_file(
                overrides,
                entry.key_at,
                (&entry.key, reason, stranger_fix(&entry.key, names())),
            ));
        }
    }
    findings
}

fn stranger_fix<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    near::did_you_mean(name, known.iter().copied()).or_else(|| {
        let list = crate::crd::finding::one_of(known.iter().copied());
        Some(if known.is_empty() {
            "the Workflow declares no params".to_string()
        } else {
            format!("declared: {list}")
        })
    })
}

fn judged(param: &Param, value: Json) -> Result<Json, String> {
    fits(param, &value)?;
    Ok(whole(param.kind, value))
}

/// A flag's text by the declared type: a string as it is, all else as JSON.
fn from_flag(param: &Param, text: &str) -> Result<Json, (String, Option<String>)> {
    if param.kind == ValueType::String {
        return judged(param, Json::from(text)).map_err(|reason| (reason, None));
    }
    let example = match param.kind {
        ValueType::Integer => "5",
        ValueType::Number => "0.5",
        ValueType::Boolean => "true",
        ValueType::Array => "'[\"a\", \"b\"]'",
        _ => "'{\"key\": \"value\"}'",
    };
    let fix = || Some(format!("write JSON: -p {}={example}", param.name));
    let value = serde_json::from_str(text).map_err(|_| {
        (
            format!("{} is expected for {}, not {}", article(param.kind), quoted(&param.name), quoted(text)),
            fix(),
        )
    })?;
    judged(param, value).map_err(|reason| (reason, fix()))
}

fn flag_finding(source: &str, reason: String, fix: Option<String>) -> Finding {
    Finding { file: source.to_string(), line: 0, column: 0, path: String::new(), reason, fix, excerpt: None }
}

fn in_file(
    overrides: &Overrides,
    at: Pos,
    (name, reason, fix): (&str, String, Option<String>),
) -> Vec<Finding> {
    let Some(file) = &overrides.file else { return Vec::new() };
    let mut remarks = Remarks::default();
    remarks.push(Remark { at, path: name.to_string(), reason, fix });
    remarks.finish(&file.name, &file.text).map_or_else(Vec::new, |findings| findings.list)
}
