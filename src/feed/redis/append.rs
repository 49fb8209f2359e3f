//! The worker's side: lines go into the pool's stream.

use std::sync::LazyLock;

use async_trait::async_trait;

use crate::feed::{
    Event, Feed, Item, LogLine, Reader, Subscription,
    redis::{AGAIN_FIRST, AGAIN_LONGEST, Limits},
};
use crate::link::{BadSettings, Link, LinkError, RedisSettings, Reply, Script, keys};
use crate::model::ids::RunId;

/// Bytes of text in one entry, unless one line alone is longer.
const ENTRY: usize = 64 << 10;

pub(super) static APPEND: LazyLock<Script> =
    LazyLock::new(|| Script::new("append", &[include_str!("append.lua")]));

/// The feed of a worker whose pool is served through Redis. It takes lines alone: a worker has no events to tell, and
/// nobody watches there.
pub struct RedisFeed {
    link: Link,
    base: String,
    limits: Limits,
}

impl RedisFeed {
    /// For a worker of `<namespace>/<pool>`. Connects when it is first used.
    pub fn new(settings: &RedisSettings, pool: &str, limits: Limits) -> Result<RedisFeed, BadSettings> {
        let link = Link::new(settings, std::time::Duration::ZERO)?;
        Ok(RedisFeed { link, base: keys::of_pool(settings.prefix(), pool), limits })
    }

    /// Was it taken? If not, there was no room.
    async fn append(&self, entries: &[String]) -> Result<bool, LinkError> {
        let mut command = APPEND.on(&[&self.base]);
        command.arg(self.limits.entries).arg(self.limits.bytes).arg(entries);
        let mut answer = Reply::list(self.link.ask(&command).await?)?;
        Ok(answer.text()? == "ok")
    }
}

#[async_trait]
impl Feed for RedisFeed {
    /// Nobody watches here.
    fn publish(&self, _events: Vec<Event>) {}

    /// Waits while the pool's stream is full, and while Redis is away. All of it is taken in one step.
    async fn log(&self, lines: Vec<LogLine>) {
        let entries = written(&lines);
        if entries.is_empty() {
            return;
        }
        let (mut wait, mut told) = (AGAIN_FIRST, false);
        loop {
            match self.append(&entries).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    if !told {
                        let job = lines.first().map(|line| line.job.to_string());
                        tracing::warn!(job, error = %error, error.label = error.label(), "Lines of a log wait for Redis");
                    }
                    told = true;
                }
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(AGAIN_LONGEST);
        }
    }

    /// Closed at once: nothing is shown here.
    fn subscribe(&self, _run: Option<RunId>, _reader: Reader) -> Box<dyn Subscription> {
        Box::new(Closed)
    }
}

/// Lines as entries hold them.
fn written(lines: &[LogLine]) -> Vec<String> {
    let (mut entries, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (place, line) in lines.iter().enumerate() {
        if bytes + line.text.len() > ENTRY && place > first {
            entries.extend(entry(&lines[first..place]));
            (first, bytes) = (place, 0);
        }
        bytes += line.text.len();
    }
    entries.extend(lines.get(first..).filter(|rest| !rest.is_empty()).and_then(entry));
    entries
}

fn entry(lines: &[LogLine]) -> Option<String> {
    // Text, numbers and times: there is nothing in a line that cannot be written down.
    serde_json::to_string(lines)
        .inspect_err(
            |error| tracing::error!(error = %error, "Lines of a log cannot be written down and are dropped"),
        )
        .ok()
}

struct Closed;

#[async_trait]
impl Subscription for Closed {
    async fn next(&mut self, _max: usize) -> Vec<Item> {
        Vec::new()
    }
}
