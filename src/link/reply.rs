//! Answers of Redis, taken apart without ever trusting their shape.

use redis::{FromRedisValue, Value};

use crate::link::LinkError;

/// An answer that is a list, read from its front.
#[derive(Debug)]
pub struct Reply {
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    /// The parts of a list.
    pub fn list(value: Value) -> Result<Reply, LinkError> {
        match value {
            Value::Array(parts) | Value::Set(parts) => Ok(Reply { rest: parts.into_iter() }),
            Value::Nil => Ok(Reply { rest: Vec::new().into_iter() }),
            _ => Err(LinkError::Unexpected("a list was expected")),
        }
    }

    /// How many parts are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next part.
    pub fn value(&mut self) -> Result<Value, LinkError> {
        self.rest.next().ok_or(LinkError::Unexpected("a list is too short"))
    }

    /// The next part, a text. What is no UTF-8 is shown as such.
    pub fn text(&mut self) -> Result<String, LinkError> {
        text(self.value()?)
    }

    /// The next part as a text, or nothing.
    pub fn text_or_nothing(mut self) -> String {
        self.text().unwrap_or_default()
    }

    /// The next part, bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, LinkError> {
        bytes(self.value()?)
    }

    /// The next part, a whole number.
    pub fn number(&mut self) -> Result<i64, LinkError> {
        i64::from_redis_value(self.value()?).map_err(|_| LinkError::Unexpected("a number was expected"))
    }

    /// The next part, itself a list.
    pub fn inner(&mut self) -> Result<Reply, LinkError> {
        Reply::list(self.value()?)
    }

    /// The next part, a list of texts.
    pub fn texts(&mut self) -> Result<Vec<String>, LinkError> {
        self.inner()?.rest.map(text).collect()
    }
}

/// A text; none for a missing value.
pub fn text(value: Value) -> Result<String, LinkError> {
    Ok(String::from_utf8_lossy(&bytes(value)?).into_owned())
}

fn bytes(value: Value) -> Result<Vec<u8>, LinkError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        _ => Err(LinkError::Unexpected("a text was expected")),
    }
}
