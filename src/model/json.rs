//! JSON that is kept long and read seldom, as its text.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// A JSON value as its text, which takes a tenth of what the value takes in memory. Written by one writer, whose keys
/// are sorted and which adds no space, so equal values are equal texts. Within other JSON it stands as it is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(Arc<RawValue>);

impl Text {
    /// The text of a type whose fields stand in the order of their names, as a value's would. An error is the serializer's: a key
    /// that is no string.
    pub(crate) fn of_sorted(value: &impl Serialize) -> Result<Text, String> {
        to_raw_value(value).map(|text| Text(text.into())).map_err(|e| e.to_string())
    }

    /// What it says; none if that is no `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.as_str()).ok()
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The same, known to be JSON.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<&Value> for Text {
    /// The text of a value, which can always be written: its keys are texts.
    fn from(value: &Value) -> Text {
        Text::of_sorted(value).unwrap_or_default()
    }
}

impl Default for Text {
    fn default() -> Text {
        Text(RawValue::NULL.to_owned().into())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
