//! Reports as they come, from all pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, atomic::Ordering},
};

use redis::{Cmd, Pipeline, Value, cmd};
use tokio::time::{MissedTickBehavior, interval};

use crate::link::{EntryId, LinkError, Reply, keys, text};
use crate::model::job::Report;
use crate::queue::{
    Position, QueueError, Told,
    redis::{conductor::RedisQueue, known::LIFE_EVERY},
};

/// Entries that one read takes from each pool.
const READ_AT_ONCE: usize = 100;
/// The longest report that is read, in bytes: outputs have 256 KiB at most, and a byte of them takes six in JSON at worst.
const REPORT_MOST: usize = 2 << 20;
/// The longest name of a worker, in bytes; a pod's has 253 and an end.
const NAME_MOST: usize = 512;
/// Workers that are remembered between two looks at the books.
const PRESENT_MOST: usize = 100_000;
/// Unreadable entries that are logged one by one; the rest are only counted.
const UNREADABLE_TOLD: u64 = 10;

impl RedisQueue {
    /// Reports after a position; waits until there is one.
    pub(super) async fn read(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        loop {
            // However much was read: who reads on and on would not look.
            if self.server.began_anew() {
                return Err(began_anew());
            }
            let moved = self.moved.notified();
            let (found, room) = {
                let inbox = self.inbox();
                (inbox.after(after, max), inbox.has_room())
            };
            if !found.is_empty() {
                return Ok(found);
            }
            if !room {
                // All of it was read and waits to be settled.
                moved.await;
                continue;
            }
            tokio::select! {
                // A look at the books reads as well.
                () = moved => {}
                listened = self.listen() => if listened? { self.read_on(after, max).await? },
                () = self.another_life() => return Err(began_anew()),
            }
        }
    }

    /// Takes in what comes, as long as there is room and nothing hinders it.
    pub(super) async fn listen_on(&self) {
        loop {
            let moved = self.moved.notified();
            let room = self.inbox().has_room();
            match room {
                true if self.listen().await.is_err() => return std::future::pending().await,
                true => {}
                false => moved.await,
            }
        }
    }

    /// Waits until Redis' content is another one than was last looked at. Nothing wakes who waits for entries of streams that
    /// were taken away.
    async fn another_life(&self) {
        let mut looks = self.looks.lock().await;
        // It goes on where it was, for who waits for reports is often called away; looks that were missed are not made up for.
        let looks = looks.get_or_insert_with(|| {
            let mut looks = interval(LIFE_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        while !self.server.began_anew() {
            looks.tick().await;
            if self.server.is_in_another_life().await {
                return;
            }
        }
    }

    /// Reads what else is there, until there is no more of it, or as much as is asked for: it all goes into one commit.
    async fn read_on(&self, after: Position, max: usize) -> Result<(), QueueError> {
        let wanted = || {
            let inbox = self.inbox();
            inbox.has_room() && inbox.count(after) < max
        };
        let mut more = true;
        while more && wanted() {
            more = match self.server.link.ask(&self.read_command(None)).await {
                // The next wait finds out which stream is none.
                Err(LinkError::Refused(_)) => false,
                value => self.hear(value?).await?,
            };
        }
        Ok(())
    }

    /// Waits for entries in any pool's stream, or for a new pool; true when there may be more than one read brings.
    async fn listen(&self) -> Result<bool, QueueError> {
        let incarnation = self.server.incarnation().await?;
        self.inbox().enter(&incarnation);
        let value = self.ear.ask(|| {
            *self.heard_in.lock().unwrap_or_else(PoisonError::into_inner) = Some(incarnation.clone());
            self.read_command(Some(self.server.settings.look.as_millis() as u64))
        });
        let value = match value.await {
            Err(LinkError::Refused(why)) => return Ok(self.set_aside(&why).await.map(|()| false)?),
            value => value?,
        };
        let heard_in = self.heard_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A wait that began in another incarnation began behind another entry: read again.
        if heard_in.as_ref() == Some(&incarnation) {
            return self.hear(value).await;
        }
        Ok(false)
    }

    /// Leaves out the streams that are none, so that the others can be read. The next look at the books mends them.
    pub(super) async fn set_aside(&self, why: &str) -> Result<(), LinkError> {
        let pools: Vec<Arc<str>> = self.server.known().open.iter().cloned().collect();
        let mut commands = Pipeline::with_capacity(pools.len());
        for pool in &pools {
            commands.cmd("TYPE").arg(keys::of_pool(self.server.prefix(), pool) + keys::RESULTS);
        }
        let types = self.server.link.ask_all(&commands).await?;
        let mut found = false;
        for (pool, kind) in pools.into_iter().zip(types) {
            if !matches!(text(kind?)?.as_str(), "stream" | "none") {
                tracing::warn!(%pool, "The reports of a pool are no stream; they are left out until this is mended");
                found |= self.server.known().set_aside.insert(pool);
            }
        }
        if found { Ok(()) } else { Err(LinkError::Refused(why.to_owned())) }
    }

    /// From where each stream was read; `block` in milliseconds.
    pub(super) fn read_command(&self, block: Option<u64>) -> Cmd {
        let prefix = self.server.prefix();
        let (pools, seen) = {
            let known = self.server.known();
            let sound: BTreeSet<Arc<str>> = known.open.difference(&known.set_aside).cloned().collect();
            (sound, known.pools_seen)
        };
        let inbox = self.inbox();
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(READ_AT_ONCE);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block);
        }
        command.arg("STREAMS").arg(keys::pools_changed(prefix));
        for pool in &pools {
            command.arg(keys::of_pool(prefix, pool) + keys::RESULTS);
        }
        command.arg(seen.to_string());
        for pool in &pools {
            command.arg(inbox.cursor(pool).to_string());
        }
        command
    }

    /// Takes in what a read brought; true when that was as much of a stream as one read brings.
    pub(super) async fn hear(&self, value: Value) -> Result<bool, QueueError> {
        let prefix = self.server.prefix();
        let by_key: BTreeMap<String, Arc<str>> = {
            let known = self.server.known();
            known
                .open
                .iter()
                .map(|pool| (keys::of_pool(prefix, pool) + keys::RESULTS, pool.clone()))
                .collect()
        };
        let (mut streams, mut more) = (Reply::list(value)?, false);
        while streams.left() > 0 {
            let mut stream = streams.inner()?;
            let (key, mut entries) = (stream.text()?, stream.inner()?);
            let mut last = EntryId::default();
            more |= entries.left() >= READ_AT_ONCE;
            while entries.left() > 0 {
                let mut entry = entries.inner()?;
                let Ok(id) = entry.text()?.parse::<EntryId>() else { continue };
                last = id;
                if let Some(pool) = by_key.get(&key) {
                    self.take_in(pool, id, entry.value()?).await?;
                }
            }
            if key == keys::pools_changed(prefix) {
                self.server.look_for_pools(last).await?;
            }
        }
        self.moved.notify_waiters();
        Ok(more)
    }

    async fn take_in(&self, pool: &Arc<str>, id: EntryId, fields: Value) -> Result<(), LinkError> {
        if !self.inbox().pass(pool, id) {
            return Ok(());
        }
        match decode(fields) {
            Ok((report, bytes)) => {
                if let Some(present) = &mut self.server.known().present
                    && present.len() < PRESENT_MOST
                    && report.worker.len() <= NAME_MOST
                {
                    present.insert(report.worker.clone());
                }
                self.inbox().keep(pool, id, report, bytes);
            }
            Err(why) => {
                let count = self.unreadable.fetch_add(1, Ordering::Relaxed) + 1;
                if count <= UNREADABLE_TOLD {
                    tracing::warn!(%pool, entry = %id, %why, "An entry in a stream of reports cannot be read and is dropped");
                }
                // Nobody will ever settle it. If this fails, the next process drops it.
                let key = keys::of_pool(self.server.prefix(), pool) + keys::RESULTS;
                self.server.link.ask(cmd("XDEL").arg(key).arg(id.to_string())).await?;
            }
        }
        Ok(())
    }
}

/// Whoever hears it looks at the books.
fn began_anew() -> QueueError {
    QueueError::Unavailable("Redis lost its content since its books were last looked at".to_owned())
}

/// The report in an entry, and its size in bytes.
fn decode(fields: Value) -> Result<(Report, usize), String> {
    let mut fields = Reply::list(fields).map_err(|e| e.to_string())?;
    while fields.left() > 0 {
        let (name, value) = (fields.text().map_err(|e| e.to_string())?, fields.bytes());
        if name == "r" {
            let bytes = value.map_err(|e| e.to_string())?;
            if bytes.len() > REPORT_MOST {
                return Err(format!(
                    "it has {} bytes, and no report has more than {REPORT_MOST}",
                    bytes.len()
                ));
            }
            let report: Report = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
            return Ok((report.understood()?, bytes.len()));
        }
    }
    Err("it has no report in it".to_owned())
}
