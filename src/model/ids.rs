//! Identities. Whoever holds one knows that it is well-formed: they are built by `parse` or by their parts.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {why}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

pub(super) fn bad(what: &'static str, text: &str, why: &'static str) -> BadId {
    BadId { text: text.chars().take(80).collect(), what, why }
}

/// A run: the UID of its Run object, or a uuid v7 on a laptop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// Longest id, in characters.
    pub const MAX: usize = 64;

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it the UID of a Kubernetes object? Those are random uuids (version 4); ids that Relay makes are of version 7.
    pub fn is_of_an_object(&self) -> bool {
        let parts: Vec<&str> = self.0.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        lengths == [8, 4, 4, 4, 12] && parts.get(2).is_some_and(|part| part.starts_with('4'))
    }
}

impl FromStr for RunId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<RunId, BadId> {
        if text.is_empty() || text.len() > RunId::MAX {
            return Err(bad("run id", text, "it must have 1 to 64 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(bad("run id", text, "only letters, digits and `-` may stand in it"));
        }
        Ok(RunId(text.into()))
    }
}

impl TryFrom<String> for RunId {
    type Error = BadId;
    fn try_from(text: String) -> Result<RunId, BadId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A task run within its run: the place of its task (over tasks, then finally), its item, its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The task's place over tasks, then finally.
    pub task: u32,
    /// The index of a forEach item; none for a task and for a forEach's group.
    pub item: Option<u32>,
    /// From 1.
    pub round: u32,
}

impl TaskKey {
    /// The first round of a task, or of a forEach's group.
    pub const fn of_task(task: u32) -> TaskKey {
        TaskKey { task, item: None, round: 1 }
    }

    /// The same task and round, this item.
    pub const fn with_item(self, item: u32) -> TaskKey {
        TaskKey { item: Some(item), ..self }
    }

    /// The group of an item; of anything else, itself.
    pub const fn group(self) -> TaskKey {
        TaskKey { item: None, ..self }
    }
}

/// A task run: `<run>.<task no>.<item index or ->.<round>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskRunId {
    /// Its run.
    pub run: RunId,
    /// Its place in the run.
    pub key: TaskKey,
}

impl fmt::Display for TaskRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.item {
            Some(item) => write!(f, "{}.{}.{item}.{}", self.run, self.key.task, self.key.round),
            None => write!(f, "{}.{}.-.{}", self.run, self.key.task, self.key.round),
        }
    }
}

impl FromStr for TaskRunId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<TaskRunId, BadId> {
        let wrong = || bad("task run id", text, "it must read <run>.<task no>.<item index or ->.<round>");
        let parts: Vec<&str> = text.split('.').collect();
        let [run, task, item, round] = parts.as_slice() else { return Err(wrong()) };
        let number = |text: &str| {
            let plain = text.len() == 1 || !text.starts_with('0');
            text.parse::<u32>().ok().filter(|_| plain && text.bytes().all(|b| b.is_ascii_digit()))
        };
        let item = if *item == "-" { None } else { Some(number(item).ok_or_else(wrong)?) };
        let task = number(task).ok_or_else(wrong)?;
        let round = number(round).filter(|r| *r >= 1).ok_or_else(wrong)?;
        Ok(TaskRunId { run: run.parse()?, key: TaskKey { task, item, round } })
    }
}

impl TryFrom<String> for TaskRunId {
    type Error = BadId;
    fn try_from(text: String) -> Result<TaskRunId, BadId> {
        text.parse()
    }
}

impl From<TaskRunId> for String {
    fn from(id: TaskRunId) -> String {
        id.to_string()
    }
}

/// An immutable revision of a Workflow: `<namespace>/<name>@<hash>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

impl WorkflowId {
    /// From its parts, which whoever built the Workflow has checked.
    pub fn new(namespace: &str, name: &str, hash: &str) -> WorkflowId {
        WorkflowId(format!("{namespace}/{name}@{hash}").into())
    }

    /// An id as a store holds it.
    pub fn parse(text: &str) -> Result<WorkflowId, BadId> {
        let whole = text.split_once('/').and_then(|(ns, rest)| Some((ns, rest.split_once('@')?)));
        match whole {
            Some((ns, (name, hash))) if !ns.is_empty() && !name.is_empty() && !hash.is_empty() => {
                Ok(WorkflowId(text.into()))
            }
            _ => Err(bad("workflow id", text, "it must read <namespace>/<name>@<hash>")),
        }
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One of the shards into which namespaces fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u8);

impl ShardId {
    /// How many shards there are.
    pub const COUNT: u8 = 64;

    /// The shard of this number, if there is one.
    pub const fn new(number: u8) -> Option<ShardId> {
        if number < ShardId::COUNT { Some(ShardId(number)) } else { None }
    }

    /// The shard of a namespace: crc32 (IEEE) of its name, mod 64.
    pub fn of_namespace(namespace: &str) -> ShardId {
        ShardId((crc32fast::hash(namespace.as_bytes()) % u32::from(ShardId::COUNT)) as u8)
    }

    /// The shard of a pool, `<namespace>/<pool>`: that of its namespace.
    pub fn of_pool(pool: &str) -> ShardId {
        ShardId::of_namespace(pool.split_once('/').map_or(pool, |(namespace, _)| namespace))
    }

    /// Its number, 0 to 63.
    pub const fn number(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_run_ids_read_back() {
        for text in ["r-1.0.-.1", "r-1.12.40.3"] {
            assert_eq!(text.parse::<TaskRunId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "r",
            "r.0.-",
            "r.0.-.0",
            "r.01.-.1",
            "r.+1.-.1",
            "r.0.-.1.2",
            "ü.0.-.1",
            ".0.-.1",
            "r.0.99999999999.1",
        ] {
            assert!(text.parse::<TaskRunId>().is_err(), "{text} was taken for an id");
        }
    }

    #[test]
    fn shards_follow_the_published_crc() {
        // The check value of CRC-32/ISO-HDLC is 0xCBF43926, and its last six bits are 0x26.
        assert_eq!(ShardId::of_namespace("123456789").number(), 0x26);
    }
}
