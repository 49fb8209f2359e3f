//! What a conductor says and asks, as `Queue` has it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use relay::{
    model::{
        ids::ShardId,
        job::{Job, JobId},
    },
    queue::{Census, Epochs, Go, Lease, Placed, Position, Queue, QueueError, Removal, Told, Unfit},
};

use super::{
    books::Books,
    gone,
    leader::{Leader, Said},
};
use crate::sim::world::Mutation;

/// What the books of one pool told.
struct Page {
    newest: u64,
    pending: Vec<JobId>,
    leases: BTreeMap<JobId, String>,
    present: Vec<String>,
}

#[async_trait]
impl Queue for Leader {
    fn lead(&self, epochs: &Epochs) {
        let before = std::mem::replace(
            &mut *self.epochs.lock().unwrap_or_else(PoisonError::into_inner),
            epochs.clone(),
        );
        let mut known = self.known();
        if epochs.keys().any(|shard| !before.contains_key(shard)) {
            // Who works for the pools of these shards was not looked at from here yet.
            (known.present, known.awaited, known.all_told) = (None, None, false);
        }
        let led = |pool: &str| epochs.contains_key(&ShardId::of_pool(pool));
        known.open.retain(|pool| led(pool));
        self.inbox().lead(led);
        known.checked = None;
    }

    async fn overrule(&self, pool: &str, heard: i64) -> Result<(), QueueError> {
        self.wire
            .faults
            .shared
            .trace
            .wrong(format!("{pool} heard epoch {heard}, and the store never gave it"));
        Err(gone())
    }

    async fn publish(&self, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
        let mut by_pool: BTreeMap<Arc<str>, Vec<Job>> = BTreeMap::new();
        for job in jobs {
            by_pool.entry(job.pool.as_str().into()).or_default().push(job.clone());
        }
        let shared = self.wire.faults.shared.clone();
        let (life, epochs) = (
            self.wire.faults.life.clone(),
            self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        );
        for (pool, jobs) in by_pool {
            let (shared, life, epochs) = (shared.clone(), life.clone(), epochs.clone());
            let offer = move |books: &mut Books, _: &Arc<str>, said: Said| {
                let taken = books.publish(&jobs);
                // A copy that the network makes later is not something the conductor said.
                match said.copy {
                    false => shared.published(&life, said.life, &epochs, &jobs),
                    true => shared.handed().echo(&taken),
                }
            };
            self.call("publish", [pool].into(), offer).await?;
        }
        Ok(Vec::new())
    }

    async fn remove(&self, job: &Placed) -> Result<Removal, QueueError> {
        if self.mutated(Mutation::RemovesNothing) {
            return Ok(Removal::Removed);
        }
        let id = job.job.clone();
        let found = self.one("remove", &job.pool, move |books| books.remove(&id)).await?;
        // While workers still tell what they hold one of them may have it.
        let in_doubt = self.known().announcing && !self.mutated(Mutation::NoAnnouncing);
        Ok(match found {
            Removal::Absent if in_doubt => Removal::Claimed,
            found => found,
        })
    }

    async fn cancel(&self, job: &Placed) -> Result<(), QueueError> {
        let id = job.job.clone();
        self.one("cancel", &job.pool, move |books| books.cancel(&id)).await
    }

    async fn go(&self, begun: &[Go]) -> Result<(), QueueError> {
        let pools = begun.iter().map(|go| go.place.pool.clone()).collect();
        let begun = begun.to_vec();
        let act = move |books: &mut Books, pool: &Arc<str>, _: Said| {
            let own: Vec<Go> = begun.iter().filter(|go| go.place.pool == *pool).cloned().collect();
            books.go(&own);
        };
        self.call("go", pools, act).await.map(drop)
    }

    async fn reports(&self, after: Position, max: usize) -> Result<Vec<Told>, QueueError> {
        loop {
            if self.began_anew() {
                return Err(gone());
            }
            let found = self.inbox().after(after, max);
            if !found.is_empty() {
                let shared = &self.wire.faults.shared;
                let tampered = |told: Told| Told { report: shared.tampered(told.report), ..told };
                return Ok(found.into_iter().map(tampered).collect());
            }
            tokio::select! {
                biased;
                listened = self.listen() => listened?,
                () = self.another_life() => return Err(gone()),
            }
        }
    }

    async fn read_ahead(&self) {
        while self.listen().await.is_ok() {}
        std::future::pending().await
    }

    async fn settle(&self, up_to: Position, ended: &[Placed]) -> Result<(), QueueError> {
        self.inbox().settle(up_to);
        let owed = self.inbox().owed();
        let mut by_pool: BTreeMap<Arc<str>, (Option<u64>, Vec<JobId>)> =
            owed.iter().map(|(pool, at)| (pool.clone(), (Some(*at), Vec::new()))).collect();
        for Placed { pool, job } in ended {
            by_pool.entry(pool.clone()).or_default().1.push(job.clone());
        }
        let incarnation = self.incarnation().await?;
        let pools = by_pool.keys().cloned().collect();
        let act = move |books: &mut Books, pool: &Arc<str>, _: Said| {
            if let Some((up_to, ended)) = by_pool.get(pool) {
                books.settle(*up_to, ended);
            }
        };
        self.call("settle", pools, act).await?;
        self.inbox().trimmed(incarnation, &owed);
        Ok(())
    }

    async fn census(&self, _now: Timestamp) -> Result<Census, QueueError> {
        self.incarnation().await?;
        let pools = self.known().open.clone();
        let look = |books: &mut Books, _: &Arc<str>, said: Said| {
            let (pending, present) = books.census(said.now);
            (said.life, Page { newest: books.newest(), pending, leases: books.leases.clone(), present })
        };
        let pages = self.call("census", pools, look).await?;
        let incarnation = self.incarnation().await?;
        self.inbox().enter(incarnation);
        // Books first, reports then: of a worker that told its end and died both are seen.
        loop {
            let behind = {
                let inbox = self.inbox();
                pages.iter().any(|(pool, (_, page))| page.newest > inbox.cursor(pool))
            };
            if !behind || !self.read().await? {
                break;
            }
        }
        let reported = self.inbox().newest();
        let mut census = Census { reported, life: incarnation.to_string(), ..Census::default() };
        if self.mutated(Mutation::OneLife) {
            census.life.clear();
        }
        for (pool, (_, page)) in pages {
            let place = |job: JobId| Placed { pool: pool.clone(), job };
            let here = |worker: &String| page.present.contains(worker);
            let lease =
                |(job, worker): (JobId, String)| Lease { place: place(job), present: here(&worker), worker };
            census.pending.extend(page.pending.into_iter().map(place));
            census.leases.extend(page.leases.into_iter().map(lease));
            census.present.extend(page.present);
        }
        census.present.sort();
        census.announcing = self.announcing(&census.present).await? && !self.mutated(Mutation::NoAnnouncing);
        if census.announcing {
            self.wire.faults.shared.count("a look while workers tell what they hold");
        }
        self.known().looked_at = Some(incarnation);
        Ok(census)
    }
}
