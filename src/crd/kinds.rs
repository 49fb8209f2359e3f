//! Whose document is this: one of Relay's kinds, somebody else's, or one that was meant for Relay?

use crate::crd::finding::quoted;
use crate::crd::near;
use crate::crd::schema::{API_VERSION, Kind};
use crate::crd::tree::{Node, Pos, Value};

/// A document that is none of Relay's kinds.
pub(super) enum Stranger {
    /// Somebody else's object: said once, not an error, for files often hold a ConfigMap too.
    Other(String),
    /// Most likely meant for Relay.
    Wrong { path: &'static str, at: Pos, reason: String, fix: Option<String> },
}

/// The kind of a document.
pub(super) fn kind_of(document: &Node) -> Result<Kind, Stranger> {
    if !matches!(document.value, Value::Map(_)) {
        let reason = format!(
            "a manifest is an object with apiVersion, kind, metadata and spec, not {}",
            document.described()
        );
        return Err(Stranger::Wrong { path: "", at: document.at, reason, fix: None });
    }
    let field = |key: &str| {
        document.get(key).and_then(|entry| entry.node.as_text().map(|text| (text, entry.node.at)))
    };
    let version = field("apiVersion");
    let ours = version.is_none_or(|(version, _)| {
        let group = version.split('/').next().unwrap_or_default();
        group == "relay.works" || near::nearest(group, ["relay.works"]).is_some()
    });
    let Some((kind, at)) = field("kind") else {
        let reason = "this field is required".to_string();
        let fix = Some("add kind: Workflow, Run or WorkerPool".to_string());
        return Err(Stranger::Wrong { path: "kind", at: document.at, reason, fix });
    };
    let known = Kind::ALL.into_iter().find(|known| known.name() == kind);
    match (known, ours, version) {
        (Some(kind), true, _) => Ok(kind),
        (None, true, Some(_)) => {
            let fix = near::did_you_mean(kind, Kind::ALL.map(Kind::name));
            let fix = fix.or_else(|| Some("Relay knows Workflow, Run and WorkerPool".to_string()));
            Err(Stranger::Wrong { path: "kind", at, reason: format!("unknown kind {}", quoted(kind)), fix })
        }
        (None, true, None) => {
            let (reason, fix) =
                ("this field is required".to_string(), Some(format!("add apiVersion: {API_VERSION}")));
            Err(Stranger::Wrong { path: "apiVersion", at: document.at, reason, fix })
        }
        (_, false, version) => {
            let version = version.map_or("", |(version, _)| version);
            let what = format!("{} of {}", quoted(kind), quoted(version));
            Err(Stranger::Other(format!(
                "line {}: ignored, not one of Relay's: kind {what}",
                document.at.line
            )))
        }
    }
}
