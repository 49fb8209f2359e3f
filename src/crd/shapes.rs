//! Shapes shared by the kinds: metadata, durations, free JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::crd::fitted::FREE_FIELDS;
use crate::crd::limits::{DNS_LABEL, DURATION, NAME, NAME_START, PARAMS};

/// A duration as Go writes it: `1h30m`, `10s`, `500ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub String);

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 64, "pattern": DURATION})
    }
}

/// What Kubernetes keeps about every object; fields that only a server writes are let through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The object's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub name: Option<String>,
    /// The beginning of a name that is made up at creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 57), regex(pattern = NAME_START))]
    pub generate_name: Option<String>,
    /// The namespace; "default" when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: Option<String>,
    /// Labels to select by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Notes for people and programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Fields of metadata that a server writes: what `kubectl get -o yaml` printed can be run as it is.
pub(super) const SERVER_METADATA: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Any JSON value.
pub(super) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A list of any JSON values.
pub(super) fn any_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "items": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

/// A time as RFC 3339 writes it.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "maxLength": 64})
}

/// An object with any fields.
pub type FreeObject = serde_json::Map<String, serde_json::Value>;

/// The schema of a [`FreeObject`].
pub(super) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": FREE_FIELDS, "x-kubernetes-preserve-unknown-fields": true})
}

/// Values of params by name: as many as a Workflow may declare.
pub(super) fn free_params(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": PARAMS,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

/// Labels of pods.
pub(super) fn labels_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Annotations of pods.
pub(super) fn annotations_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 16384},
    })
}

/// Tells `default: null`, which is a value, from no `default` at all.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
