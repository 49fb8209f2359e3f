//! The look at the books: what every pool holds, read together with every report of that moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{Value, cmd};

use crate::link::{EntryId, LinkError, Reply, keys};
use crate::queue::{
    Census, Lease, Placed, QueueError,
    redis::{
        access,
        conductor::RedisQueue,
        known::Telling,
        name::job_of,
        scripts::{CENSUS, CLOSE},
        server::{Call, Server},
    },
};

/// What the books of one pool told.
struct Page {
    pool: Arc<str>,
    newest: Option<EntryId>,
    pending: Vec<Placed>,
    leases: Vec<Lease>,
    present: Vec<String>,
    /// There is nothing in it at all.
    empty: bool,
}

impl RedisQueue {
    /// What the books of all pools hold, and every report of that moment.
    pub(super) async fn count(&self) -> Result<Census, QueueError> {
        self.server.incarnation().await?;
        let hold = self.server.look_at_memory().await?.to_string();
        let pools = {
            let mut known = self.server.known();
            known.set_aside.clear();
            known.open.clone()
        };
        let calls: Vec<Call> = pools.iter().map(|pool| Call::new(pool, &CENSUS).arg(&hold)).collect();
        let answers = self.server.call(&calls).await?;
        let incarnation = self.server.incarnation().await?;
        self.inbox().enter(&incarnation);
        let mut pages = Vec::new();
        for (pool, answer) in pools.iter().zip(answers) {
            pages.push(self.page(pool, answer.rest)?);
        }
        // Books first, reports then: of a worker that told its end and died, both are seen.
        let all_read = self.catch_up(&pages).await?;
        let (reported, life) = (self.inbox().newest(), incarnation.as_ref().to_owned());
        let mut census = Census { reported, life, ..Census::default() };
        let empty: Vec<Arc<str>> =
            pages.iter().filter(|page| page.empty).map(|page| page.pool.clone()).collect();
        for page in pages {
            census.pending.extend(page.pending);
            census.leases.extend(page.leases);
            census.present.extend(page.present);
        }
        census.present.sort();
        let telling = self.server.telling(&census.present).await?;
        census.announcing = telling == Telling::Open;
        if telling == Telling::Over {
            // Before, its workers may only not have told yet what they hold, and could not once it is forgotten.
            for pool in self.server.close(empty.into_iter()).await? {
                // A stream of this name that is made anew begins anew.
                self.inbox().keep_only(|other| *other != *pool);
            }
        }
        self.server.keep_users().await?;
        if !all_read {
            // A report that was not read yet may explain what seems to be missing: nobody is judged this time.
            census.announcing = true;
            census.leases.iter_mut().for_each(|lease| lease.present = true);
        }
        self.server.known().looked_at = Some(incarnation);
        Ok(census)
    }

    fn page(&self, pool: &Arc<str>, mut told: Reply) -> Result<Page, LinkError> {
        let newest = told.text()?.parse().ok();
        let (pending, mut leased, present) = (told.texts()?, told.inner()?, told.texts()?);
        if told.number()? > 0 {
            tracing::warn!(%pool, "Keys in Redis had a wrong type and were cleared");
        }
        let empty = told.number()? == 1;
        let struck = u64::try_from(told.number()?).unwrap_or(0);
        if struck > 0 {
            self.struck.fetch_add(struck, Ordering::Relaxed);
            tracing::warn!(%pool, struck, "The books of a pool held what no worker of ours writes, and it was struck off");
        }
        let place = |text: &str| job_of(text).map(|job| Placed { pool: pool.clone(), job });
        let pending = pending.iter().filter_map(|text| place(text)).collect();
        let here: BTreeSet<&String> = present.iter().collect();
        let mut leases = Vec::new();
        while leased.left() > 0 {
            let (job, worker) = (leased.text()?, leased.text()?);
            let present = here.contains(&worker);
            leases.extend(place(&job).map(|place| Lease { place, worker, present }));
        }
        Ok(Page { pool: pool.clone(), newest, pending, leases, present, empty })
    }

    /// Reads on until every report that the books knew of is read; false when there is no room for them.
    async fn catch_up(&self, pages: &[Page]) -> Result<bool, QueueError> {
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
            let value = match self.server.link.ask(&command).await {
                Err(LinkError::Refused(why)) => {
                    self.set_aside(&why).await?;
                    return Ok(false);
                }
                value => value?,
            };
            if value == Value::Nil {
                // What the books knew of is gone since: there is nothing more to read.
                return Ok(true);
            }
            self.hear(value).await?;
        }
    }
}

impl Server {
    /// Users that somebody took away are made again: nobody else would hear of it.
    async fn keep_users(&self) -> Result<(), QueueError> {
        let admitted = self.known().admitted.clone();
        if !self.makes_users || admitted.is_empty() {
            return Ok(());
        }
        let there: BTreeSet<String> =
            access::admitted(&self.link, self.prefix()).await?.into_iter().collect();
        let missing: BTreeMap<Arc<str>, String> = admitted
            .into_iter()
            .filter(|(pool, _)| self.reign.leads(pool) && !there.contains(&**pool))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            users = missing.len(),
            "Somebody took users of workers away from Redis; they are made again"
        );
        access::admit(&self.link, self.prefix(), &missing).await
    }

    /// Forgets pools that are empty, unless workers may come to them; gives those.
    async fn close(&self, empty: impl Iterator<Item = Arc<str>>) -> Result<Vec<Arc<str>>, QueueError> {
        let closing: Vec<Arc<str>> = {
            let known = self.known();
            empty.filter(|pool| !known.admitted.contains_key(pool)).collect()
        };
        let calls: Vec<Call> = closing.iter().map(|pool| Call::new(pool, &CLOSE)).collect();
        let mut closed = Vec::new();
        for (pool, answer) in closing.into_iter().zip(self.call(&calls).await?) {
            if answer.word == "closed" {
                self.link.ask(cmd("SREM").arg(keys::pools(self.prefix())).arg(pool.as_ref())).await?;
                self.known().open.remove(&pool);
                closed.push(pool);
            }
        }
        Ok(closed)
    }

    /// Are workers still telling what they hold? Ends as soon as everybody who was there has told it. Each process judges for
    /// the pools that it leads: another one knows nothing of their workers.
    async fn telling(&self, present: &[String]) -> Result<Telling, QueueError> {
        let key = keys::announcing(self.prefix());
        let left = Reply::list(Value::Array(vec![self.link.ask(cmd("PTTL").arg(&key)).await?]))?.number()?;
        // Without a key it is a negative number.
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let told = self.settings.announce.saturating_sub(left);
        Ok(self.known().see(present, (told, left)))
    }
}
