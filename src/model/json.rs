//! JSON that is kept long and read seldom, as its text.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A JSON value as its text, which takes a tenth of what the value takes in memory. Written by one writer, whose keys
/// are sorted and which adds no space, so equal values are equal texts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Text {
    /// The text of a value. An error is the serializer's: a key that is no string.
    pub fn of(value: &Value) -> Result<Text, String> {
        Text::of_sorted(value)
    }

    /// The text of a type whose fields stand in the order of their names, as a value's would.
    pub(super) fn of_sorted(value: &impl Serialize) -> Result<Text, String> {
        serde_json::to_string(value).map(|text| Text(text.into())).map_err(|e| e.to_string())
    }

    /// What it says; none if that is no `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.0).ok()
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
