//! The conductor's side: what waits in the streams of all pools, oldest first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use redis::{Cmd, Pipeline, Value, cmd};

use crate::feed::{FeedError, LogBatch, LogLine, LogPiece, LogStream, redis::append::APPEND};
use crate::link::{BadSettings, EntryId, Link, LinkError, RedisSettings, Reply, Script, Wait, keys};
use crate::model::ids::ShardId;

/// Entries that one read takes, over all pools.
const ENTRIES: usize = 512;
/// Entries that one read takes of one pool.
const ENTRIES_OF_A_POOL: usize = 64;
/// The longest batch of lines that is read, in bytes: a worker's has 64 KiB of text, or one line, as JSON.
const ENTRY_MOST: usize = 2 << 20;
/// Unreadable entries that are logged one by one; the rest are only counted.
const UNREADABLE_TOLD: u64 = 10;

static TRIM: LazyLock<Script> = LazyLock::new(|| Script::new("trim", &[include_str!("trim.lua")]));

/// The lines of all pools of one Redis, or of those whose namespaces are of some shards. One process reads each at a time; a
/// second one stores the same lines again.
pub struct RedisLogs {
    shards: BTreeSet<ShardId>,
    settings: RedisSettings,
    link: Link,
    ear: Wait,
    known: Mutex<Known>,
    unreadable: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// The connection on which the pools were looked for and the scripts loaded.
    checked: Option<u64>,
    /// By the key of their stream.
    pools: BTreeMap<String, String>,
    /// How far the stream of new pools was read.
    seen: EntryId,
    /// Pools of these shards are not read.
    left_out: BTreeSet<ShardId>,
}

impl RedisLogs {
    /// Those of all pools. Connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Result<RedisLogs, BadSettings> {
        RedisLogs::of((0..ShardId::COUNT).filter_map(ShardId::new).collect(), settings)
    }

    /// Those of the pools of these shards.
    pub fn of(shards: BTreeSet<ShardId>, settings: &RedisSettings) -> Result<RedisLogs, BadSettings> {
        let (link, ear) = (Link::new(settings, std::time::Duration::ZERO)?, Wait::new(settings)?);
        let (settings, known, unreadable) = (settings.clone(), Mutex::default(), AtomicU64::new(0));
        Ok(RedisLogs { shards, settings, link, ear, known, unreadable })
    }

    /// Entries that could not be read, since this process began.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On each new connection, and whenever nothing came for a while: the scripts, and which pools there are.
    async fn prepare(&self) -> Result<(), LinkError> {
        let number = self.link.number().await?;
        if self.known().checked == Some(number) {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(APPEND.load()).add_command(TRIM.load());
        self.link.ask_all(&commands).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.look_for_pools(EntryId::default()).await?;
        self.known().checked = Some(number);
        Ok(())
    }

    async fn look_for_pools(&self, seen: EntryId) -> Result<(), LinkError> {
        let prefix = self.settings.prefix();
        let mut members = Reply::list(self.link.ask(cmd("SMEMBERS").arg(keys::pools(prefix))).await?)?;
        let mut pools = BTreeMap::new();
        while members.left() > 0 {
            let pool = members.text()?;
            let shard = ShardId::of_pool(&pool);
            if !self.shards.contains(&shard) || self.known().left_out.contains(&shard) {
                continue;
            }
            pools.insert(keys::of_pool(prefix, &pool) + keys::LOGS, pool);
        }
        let mut known = self.known();
        known.pools = pools;
        known.seen = seen;
        Ok(())
    }

    fn read_command(&self) -> Cmd {
        let known = self.known();
        let each = (ENTRIES / known.pools.len().max(1)).clamp(1, ENTRIES_OF_A_POOL);
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(each).arg("BLOCK").arg(self.settings.look.as_millis() as u64);
        command.arg("STREAMS").arg(keys::pools_changed(self.settings.prefix()));
        command.arg(known.pools.keys().collect::<Vec<_>>()).arg(known.seen.to_string());
        // From the start: what was stored is trimmed.
        command.arg(vec!["0-0"; known.pools.len()]);
        command
    }

    async fn take_in(&self, value: Value, max: usize) -> Result<LogBatch, LinkError> {
        let mut batch = LogBatch::default();
        let (mut streams, mut lines) = (Reply::list(value)?, 0);
        while streams.left() > 0 {
            let mut stream = streams.inner()?;
            let (key, mut entries) = (stream.text()?, stream.inner()?);
            let Some(pool) = self.known().pools.get(&key).cloned() else {
                let mut seen = EntryId::default();
                while entries.left() > 0 {
                    seen = entries.inner()?.text()?.parse().unwrap_or(seen);
                }
                self.look_for_pools(seen).await?;
                continue;
            };
            let piece = self.piece(pool, &mut entries, max.saturating_sub(lines).max(1))?;
            lines += piece.lines.len();
            batch.pieces.push(piece);
        }
        Ok(batch)
    }

    fn piece(&self, pool: String, entries: &mut Reply, most: usize) -> Result<LogPiece, LinkError> {
        let mut piece = LogPiece { pool, lines: Vec::new(), end: String::new(), bytes: 0 };
        while entries.left() > 0 && (piece.lines.len() < most) {
            let mut entry = entries.inner()?;
            let id = entry.text()?;
            match decode(entry.value()?) {
                Ok((lines, bytes)) => {
                    piece.lines.extend(lines);
                    piece.bytes += bytes;
                }
                Err(why) => {
                    let count = self.unreadable.fetch_add(1, Ordering::Relaxed) + 1;
                    if count <= UNREADABLE_TOLD {
                        tracing::warn!(pool = %piece.pool, entry = %id, %why, "An entry in a stream of logs cannot be read and is dropped");
                    }
                }
            }
            piece.end = id;
        }
        Ok(piece)
    }

    /// A stream of a wrong type was written by somebody else: it goes, or nobody's lines could be read.
    async fn mend(&self) -> Result<(), LinkError> {
        let keys: Vec<String> = self.known().pools.keys().cloned().collect();
        let mut commands = Pipeline::with_capacity(keys.len());
        for key in &keys {
            let base = key.strip_suffix(keys::LOGS).unwrap_or(key);
            let mut trim = TRIM.on(&[base]);
            trim.arg("0-0").arg(0);
            commands.add_command(trim);
        }
        self.link.ask_all(&commands).await.map(drop)
    }
}

#[async_trait]
impl LogStream for RedisLogs {
    async fn read(&self, max: usize) -> Result<LogBatch, FeedError> {
        loop {
            self.prepare().await?;
            let value = self.ear.ask(|| self.read_command()).await;
            if matches!(value, Err(_) | Ok(Value::Nil)) {
                // A server that restarted knows no scripts, and workers wait for them.
                self.known().checked = None;
            }
            let value = match value {
                Err(LinkError::Refused(why)) => {
                    tracing::warn!(%why, "Streams of logs could not be read together; those of a wrong type are cleared");
                    self.mend().await?;
                    return Err(FeedError::Unavailable(why));
                }
                value => value?,
            };
            let batch = self.take_in(value, max.max(1)).await?;
            if !batch.pieces.is_empty() {
                return Ok(batch);
            }
        }
    }

    fn leave_out(&self, shards: &BTreeSet<ShardId>) {
        let mut known = self.known();
        if known.left_out != *shards {
            known.left_out.clone_from(shards);
            // Which pools there are is looked at again.
            known.checked = None;
        }
    }

    async fn trim(&self, batch: &LogBatch) -> Result<(), FeedError> {
        self.prepare().await?;
        let mut commands = Pipeline::with_capacity(batch.pieces.len());
        for piece in &batch.pieces {
            let Ok(end) = piece.end.parse::<EntryId>() else { continue };
            let mut trim = TRIM.on(&[&keys::of_pool(self.settings.prefix(), &piece.pool)]);
            trim.arg(end.next().to_string()).arg(piece.bytes);
            commands.add_command(trim);
        }
        for answer in self.link.ask_all(&commands).await? {
            if let Err(error) = answer {
                self.known().checked = None;
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// The lines in an entry, and its size in bytes.
fn decode(fields: Value) -> Result<(Vec<LogLine>, u64), String> {
    let mut fields = Reply::list(fields).map_err(|e| e.to_string())?;
    while fields.left() > 0 {
        let (name, value) = (fields.text().map_err(|e| e.to_string())?, fields.bytes());
        if name == "l" {
            let bytes = value.map_err(|e| e.to_string())?;
            if bytes.len() > ENTRY_MOST {
                return Err(format!("it has {} bytes, and no batch has more than {ENTRY_MOST}", bytes.len()));
            }
            let lines = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
            return Ok((lines, bytes.len() as u64));
        }
    }
    Err("it has no lines in it".to_owned())
}
