//! Whether lines are still on their way: asked by whoever must not miss the last ones. Any process may ask.

use std::{collections::BTreeMap, time::Duration};

use redis::{Pipeline, Value, cmd};

use crate::link::{BadSettings, EntryId, Link, LinkError, RedisSettings, Reply, keys};

/// How often it is asked whether lines have gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What waits in the streams of logs.
pub struct Backlog {
    link: Link,
    prefix: String,
}

impl Backlog {
    /// Connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Result<Backlog, BadSettings> {
        Ok(Backlog { link: Link::new(settings, Duration::ZERO)?, prefix: settings.prefix().to_owned() })
    }

    /// Waits until every line that is in a stream of this namespace's pools now was stored, and trimmed for that. What
    /// comes later is not waited for. It waits as long as Redis or the store is away: the caller sets the bound.
    pub async fn cleared(&self, namespace: &str) {
        let mut ends = None;
        loop {
            let waits = match &ends {
                None => self.ends(namespace).await.map(|found| {
                    let any = !found.is_empty();
                    ends = Some(found);
                    any
                }),
                Some(ends) => self.waits(ends).await,
            };
            match waits {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => {
                    tracing::debug!(%error, error.label = error.label(), "Streams of logs are not looked at")
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The last entry of each stream in which something waits.
    async fn ends(&self, namespace: &str) -> Result<BTreeMap<String, EntryId>, LinkError> {
        let pools = self.link.ask(cmd("SMEMBERS").arg(keys::pools(&self.prefix))).await?;
        let mut pools = Reply::list(pools)?;
        let mut streams = Vec::new();
        while pools.left() > 0 {
            let pool = pools.text()?;
            if pool.split_once('/').is_some_and(|(of, _)| of == namespace) {
                streams.push(keys::of_pool(&self.prefix, &pool) + keys::LOGS);
            }
        }
        let mut asked = Pipeline::with_capacity(streams.len());
        for stream in &streams {
            asked.cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
        }
        let last = self.link.ask_all(&asked).await?;
        let ends = streams.into_iter().zip(last).filter_map(|(stream, last)| Some((stream, entry(last)?)));
        Ok(ends.collect())
    }

    /// Is one of these entries, or one before it, still there?
    async fn waits(&self, ends: &BTreeMap<String, EntryId>) -> Result<bool, LinkError> {
        let mut asked = Pipeline::with_capacity(ends.len());
        for stream in ends.keys() {
            asked.cmd("XRANGE").arg(stream).arg("-").arg("+").arg("COUNT").arg(1);
        }
        let first = self.link.ask_all(&asked).await?;
        Ok(ends.values().zip(first).any(|(end, first)| entry(first).is_some_and(|first| first <= *end)))
    }
}

/// The id of the only entry of an answer; none of an empty one, and of a stream that is none.
fn entry(answer: Result<Value, LinkError>) -> Option<EntryId> {
    let mut entries = Reply::list(answer.ok()?).ok()?;
    entries.inner().ok()?.text().ok()?.parse().ok()
}
