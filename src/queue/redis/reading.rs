//! Reading: reports as they come, and the look at the books.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use redis::{Cmd, Value, cmd};

use crate::link::{EntryId, LinkError, Reply, keys};
use crate::model::job::{JobId, PROTOCOL, Report};
use crate::queue::{
    Census, Lease, Position, QueueError,
    redis::{conductor::RedisQueue, scripts::CENSUS, server::Call},
};

/// Entries that one read takes from each pool.
const READ_AT_ONCE: usize = 100;
/// Unreadable entries that are logged one by one; the rest are only counted.
const UNREADABLE_TOLD: u64 = 10;

/// What the books of one pool told.
struct Page {
    pool: Arc<str>,
    newest: Option<EntryId>,
    pending: Vec<JobId>,
    leases: Vec<Lease>,
    present: Vec<String>,
}

impl RedisQueue {
    /// Reports after a position; waits until there is one.
    pub(super) async fn read(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<(Position, Report)>, QueueError> {
        loop {
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
                listened = self.listen() => listened?,
            }
        }
    }

    /// Waits for entries in any pool's stream, or for a new pool.
    async fn listen(&self) -> Result<(), LinkError> {
        let incarnation = self.server.incarnation().await?;
        self.inbox().enter(&incarnation);
        let value = self.ear.ask(|| {
            *self.heard_in.lock().unwrap_or_else(PoisonError::into_inner) = Some(incarnation.clone());
            self.read_command(Some(self.server.settings.look.as_millis() as u64))
        });
        let value = value.await?;
        let heard_in = self.heard_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A wait that began in another incarnation began behind another entry: read again.
        if heard_in.as_ref() == Some(&incarnation) {
            self.hear(value).await?;
        }
        Ok(())
    }

    /// From where each stream was read; `block` in milliseconds.
    fn read_command(&self, block: Option<u64>) -> Cmd {
        let prefix = self.server.prefix();
        let (pools, seen) = {
            let known = self.server.known();
            (known.open.clone(), known.pools_seen)
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

    /// Takes in what a read brought.
    async fn hear(&self, value: Value) -> Result<(), LinkError> {
        let prefix = self.server.prefix();
        let by_key: BTreeMap<String, Arc<str>> = {
            let known = self.server.known();
            known
                .open
                .iter()
                .map(|pool| (keys::of_pool(prefix, pool) + keys::RESULTS, pool.clone()))
                .collect()
        };
        let mut streams = Reply::list(value)?;
        while streams.left() > 0 {
            let mut stream = streams.inner()?;
            let (key, mut entries) = (stream.text()?, stream.inner()?);
            let mut last = EntryId::default();
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
        Ok(())
    }

    async fn take_in(&self, pool: &Arc<str>, id: EntryId, fields: Value) -> Result<(), LinkError> {
        if !self.inbox().pass(pool, id) {
            return Ok(());
        }
        match decode(fields) {
            Ok((report, bytes)) => {
                if let Some(present) = &mut self.server.known().present {
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

    /// What the books of all pools hold, and every report of that moment.
    pub(super) async fn count(&self) -> Result<Census, QueueError> {
        let incarnation = self.server.incarnation().await?;
        self.inbox().enter(&incarnation);
        let pools = self.server.known().open.clone();
        self.places().begin();
        let calls: Vec<Call> = pools.iter().map(|pool| Call::new(pool, &CENSUS)).collect();
        let answers = self.server.call(&calls).await?;
        let mut pages = Vec::new();
        for (pool, answer) in pools.iter().zip(answers) {
            pages.push(self.page(pool, answer.rest)?);
        }
        // Books first, reports then: of a worker that told its end and died, both are seen.
        let all_read = self.catch_up(&pages).await?;
        let mut census = Census { reported: self.inbox().newest(), ..Census::default() };
        for page in pages {
            census.pending.extend(page.pending);
            census.leases.extend(page.leases);
            census.present.extend(page.present);
        }
        self.places().end();
        census.present.sort();
        census.announcing = self.server.announcing(&census.present).await?;
        if !all_read {
            // A report that was not read yet may explain what seems to be missing: nobody is judged this time.
            census.announcing = true;
            census.present = census.leases.iter().map(|l| l.worker.clone()).chain(census.present).collect();
        }
        Ok(census)
    }

    fn page(&self, pool: &Arc<str>, mut told: Reply) -> Result<Page, LinkError> {
        let newest = told.text()?.parse().ok();
        let (pending, mut leased, present) = (told.texts()?, told.inner()?, told.texts()?);
        if told.number()? > 0 {
            tracing::warn!(%pool, "Keys in Redis had a wrong type and were cleared");
        }
        let mut places = self.places();
        let mut known = |text: &str| text.parse::<JobId>().ok().filter(|job| places.seen(job, pool));
        let pending = pending.iter().filter_map(|text| known(text)).collect();
        let mut leases = Vec::new();
        while leased.left() > 0 {
            let (job, worker) = (leased.text()?, leased.text()?);
            leases.extend(known(&job).map(|job| Lease { job, worker }));
        }
        Ok(Page { pool: pool.clone(), newest, pending, leases, present })
    }

    /// Reads on until every report that the books knew of is read; false when there is no room for them.
    async fn catch_up(&self, pages: &[Page]) -> Result<bool, LinkError> {
        loop {
            let (behind, room) = {
                let inbox = self.inbox();
                let behind = pages.iter().any(|p| p.newest.is_some_and(|at| at > inbox.cursor(&p.pool)));
                (behind, inbox.has_room())
            };
            if !behind || !room {
                return Ok(!behind);
            }
            let command = self.read_command(None);
            let value = self.server.link.ask(&command).await?;
            if value == Value::Nil {
                // What the books knew of is gone since: there is nothing more to read.
                return Ok(true);
            }
            self.hear(value).await?;
        }
    }
}

/// The report in an entry, and its size in bytes.
fn decode(fields: Value) -> Result<(Report, usize), String> {
    let mut fields = Reply::list(fields).map_err(|e| e.to_string())?;
    while fields.left() > 0 {
        let (name, value) = (fields.text().map_err(|e| e.to_string())?, fields.bytes());
        if name == "r" {
            let bytes = value.map_err(|e| e.to_string())?;
            let report: Report = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
            if report.version > PROTOCOL + 1 {
                return Err(format!("it is of version {}, this is version {PROTOCOL}", report.version));
            }
            return Ok((report, bytes.len()));
        }
    }
    Err("it has no report in it".to_owned())
}

impl crate::queue::redis::server::Server {
    /// Are workers still telling what they hold? Ends as soon as everybody who was there has told it.
    async fn announcing(&self, present: &[String]) -> Result<bool, LinkError> {
        let mut known_awaited = self.known().awaited.clone();
        let key = keys::announcing(self.prefix());
        let left = Reply::list(Value::Array(vec![self.link.ask(cmd("PTTL").arg(&key)).await?]))?.number()?;
        let mut announcing = left > 0;
        if announcing && let Some(awaited) = &mut known_awaited {
            awaited.retain(|worker| !present.contains(worker));
            // Who came just before the loss was not known here; a moment is left to everybody.
            let whole = self.settings.announce.as_millis() as i64;
            if awaited.is_empty() && (whole - left) * 3 >= whole {
                self.link.ask(cmd("DEL").arg(&key)).await?;
                announcing = false;
            }
        }
        let mut known = self.known();
        known.announcing = announcing;
        known.awaited = known_awaited.filter(|_| announcing);
        known.present = Some(present.iter().cloned().collect());
        Ok(announcing)
    }
}
