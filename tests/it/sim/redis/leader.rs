//! The conductor's side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    ANNOUNCE, Content, Redis, Wire,
    books::{Books, No, Standing},
    gone,
    inbox::Inbox,
};
use crate::sim::{faults::Faults, world::Mutation};

/// A step is tried so often when the books were lost in between.
const ROUNDS: usize = 3;

/// What is known of the server.
#[derive(Default)]
struct Known {
    incarnation: Option<u64>,
    /// The connection on which it was last asked for.
    checked: Option<u64>,
    open: BTreeSet<Arc<str>>,
    announcing: bool,
    /// Workers that were there in the incarnation before and have not beaten in this one.
    awaited: Option<BTreeSet<String>>,
    /// All of them have told this incarnation what they hold.
    all_told: bool,
    present: Option<BTreeSet<String>>,
}

/// One conductor's side.
pub struct Leader {
    wire: Wire,
    /// Every pool that there is.
    pools: Vec<Arc<str>>,
    epochs: Mutex<Epochs>,
    known: Mutex<Known>,
    inbox: Mutex<Inbox>,
}

/// What the books of one pool told.
struct Page {
    newest: u64,
    pending: Vec<JobId>,
    leases: BTreeMap<JobId, String>,
    present: Vec<String>,
}

impl Leader {
    pub fn new(faults: Faults, redis: Arc<Redis>, pools: &[String]) -> Leader {
        Leader {
            wire: Wire::new(faults, redis),
            pools: pools.iter().map(|pool| pool.as_str().into()).collect(),
            epochs: Mutex::default(),
            known: Mutex::default(),
            inbox: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mutated(&self, mutation: Mutation) -> bool {
        self.wire.faults.shared.settings.mutation == Some(mutation)
    }

    fn epoch(&self, shard: ShardId) -> Option<i64> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }

    fn standing(&self, incarnation: u64, pool: &str) -> Result<Standing, QueueError> {
        let shard = ShardId::of_pool(pool);
        let mut epoch = self.epoch(shard).ok_or_else(|| QueueError::NotLed(pool.to_owned()))?;
        if self.mutated(Mutation::NoQueueFence) {
            epoch = self.wire.faults.shared.newest_epochs().get(&shard).copied().unwrap_or(epoch);
        }
        Ok(Standing { incarnation, epoch, fenced: !self.mutated(Mutation::AnyLife) })
    }

    /// The incarnation, asked for anew on each new connection.
    async fn incarnation(&self) -> Result<u64, QueueError> {
        let number = self.wire.number();
        let checked = {
            let known = self.known();
            known.incarnation.filter(|_| known.checked == Some(number))
        };
        match checked {
            Some(incarnation) => Ok(incarnation),
            None => self.revive(number).await,
        }
    }

    async fn revive(&self, number: u64) -> Result<u64, QueueError> {
        let mut above = 0;
        for _ in 0..ROUNDS {
            let incarnation =
                self.wire.ask("incarnate", move |content, now, _| content.incarnate(above, now)).await?;
            let led = |pool: &&Arc<str>| self.epoch(ShardId::of_pool(pool)).is_some();
            let pools: BTreeSet<Arc<str>> = self.pools.iter().filter(led).cloned().collect();
            if let Some(newer) = self.open_all(incarnation, &pools).await? {
                above = newer;
                continue;
            }
            let others: Vec<Arc<str>> =
                self.pools.iter().filter(|pool| !pools.contains(*pool)).cloned().collect();
            let load = move |content: &mut Content, now: Timestamp, _: bool| {
                // Workers of pools that others lead wait for those.
                others.iter().for_each(|pool| content.books(pool).shut(incarnation));
                content.scripts = true;
                !content.announcing(now).is_zero()
            };
            let announcing = self.wire.ask("load", load).await?;
            let mut known = self.known();
            if known.incarnation.is_some_and(|old| old != incarnation) {
                known.awaited = known.present.take();
                known.all_told = false;
            }
            known.incarnation = Some(incarnation);
            known.checked = Some(number);
            known.open = pools;
            known.announcing = announcing;
            return Ok(incarnation);
        }
        Err(gone())
    }

    /// Brings pools into the incarnation; a newer one that a pool is in already.
    async fn open_all(
        &self,
        incarnation: u64,
        pools: &BTreeSet<Arc<str>>,
    ) -> Result<Option<u64>, QueueError> {
        let mut opening = Vec::new();
        for pool in pools {
            opening.push((pool.clone(), self.standing(incarnation, pool)?));
        }
        let open = move |content: &mut Content, _: Timestamp, _: bool| {
            let opened =
                opening.iter().map(|(pool, standing)| (pool.clone(), content.books(pool).open(*standing)));
            opened.collect::<Vec<_>>()
        };
        let mut newer = None;
        for (pool, opened) in self.wire.ask("open", open).await? {
            match opened {
                Ok(other) => newer = newer.max(other),
                Err(No::Deposed(epoch)) => return Err(self.deposed(&pool, epoch)),
                Err(No::Stale) => {}
            }
        }
        Ok(newer)
    }

    fn deposed(&self, pool: &str, epoch: i64) -> QueueError {
        self.wire.faults.shared.count("deposed from the queue");
        QueueError::Deposed { pool: pool.to_owned(), epoch }
    }

    async fn open(&self, incarnation: u64, pools: &BTreeSet<Arc<str>>) -> Result<(), QueueError> {
        let new: BTreeSet<Arc<str>> = pools.difference(&self.known().open).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        if self.open_all(incarnation, &new).await?.is_some() {
            self.known().checked = None;
            return Ok(());
        }
        self.known().open.extend(new);
        Ok(())
    }

    /// Runs a script on pools, all at once; the answers by pool. `act` is told which content it is, and whether it is a copy.
    async fn call<T: Send>(
        &self,
        verb: &'static str,
        pools: BTreeSet<Arc<str>>,
        act: impl Fn(&mut Books, &Arc<str>, Said) -> T + Clone + Send + 'static,
    ) -> Result<BTreeMap<Arc<str>, T>, QueueError> {
        let mut answers: BTreeMap<Arc<str>, T> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let open: BTreeSet<Arc<str>> =
                pools.iter().filter(|p| !answers.contains_key(*p)).cloned().collect();
            if open.is_empty() {
                return Ok(answers);
            }
            let incarnation = self.incarnation().await?;
            self.open(incarnation, &open).await?;
            let mut calls = Vec::new();
            for pool in open {
                let standing = self.standing(incarnation, &pool)?;
                let own = self.epoch(ShardId::of_pool(&pool)).unwrap_or(0);
                calls.push((pool, standing, own));
            }
            let (act, shared) = (act.clone(), self.wire.faults.shared.clone());
            let run = move |content: &mut Content, now: Timestamp, copy: bool| {
                let said = Said { life: content.life, now, copy };
                let scripts = content.scripts;
                let one = |(pool, standing, own): &(Arc<str>, Standing, i64)| {
                    let books = content.books(pool);
                    let done = if scripts {
                        books.admit(*standing).map(|()| act(books, pool, said))
                    } else {
                        Err(No::Stale)
                    };
                    if done.is_ok() {
                        shared.hear(said.life, pool, *own);
                    }
                    (pool.clone(), done)
                };
                calls.iter().map(one).collect::<Vec<_>>()
            };
            for (pool, answer) in self.wire.ask(verb, run).await? {
                match answer {
                    Ok(answer) => drop(answers.insert(pool, answer)),
                    Err(No::Deposed(epoch)) => return Err(self.deposed(&pool, epoch)),
                    Err(No::Stale) => {
                        let mut known = self.known();
                        known.checked = None;
                        known.open.remove(&pool);
                    }
                }
            }
        }
        match answers.len() == pools.len() {
            true => Ok(answers),
            false => Err(gone()),
        }
    }

    async fn one<T: Send>(
        &self,
        verb: &'static str,
        pool: &Arc<str>,
        act: impl Fn(&mut Books) -> T + Clone + Send + 'static,
    ) -> Result<T, QueueError> {
        let answers = self.call(verb, [pool.clone()].into(), move |books, _, _| act(books)).await?;
        answers.into_values().next().ok_or_else(gone)
    }

    /// Reads on in every open pool; false when there was nothing.
    async fn read(&self) -> Result<bool, QueueError> {
        let from = self.cursors();
        let read = move |content: &mut Content, _: Timestamp, _: bool| {
            let mut found = Vec::new();
            for (pool, after) in &from {
                let books = content.books(pool);
                found.extend(
                    books.reports_after(*after).into_iter().map(|(at, report)| (pool.clone(), at, report)),
                );
            }
            found
        };
        let found = self.wire.ask("reports", read).await?;
        let any = !found.is_empty();
        for (pool, at, report) in found {
            if let Some(present) = &mut self.known().present {
                present.insert(report.worker.clone());
            }
            self.inbox().take_in(&pool, at, report);
        }
        Ok(any)
    }

    fn cursors(&self) -> Vec<(Arc<str>, u64)> {
        let open: Vec<Arc<str>> = self.known().open.iter().cloned().collect();
        let inbox = self.inbox();
        open.into_iter().map(|pool| (pool.clone(), inbox.cursor(&pool))).collect()
    }

    /// Do workers still tell what they hold? Ends as soon as everybody who was there has told it.
    async fn announcing(&self, present: &[String]) -> Result<bool, QueueError> {
        let left = self.wire.ask("announcing", |content, now, _| content.announcing(now)).await?;
        let mut known = self.known();
        if let Some(awaited) = &mut known.awaited {
            awaited.retain(|worker| !present.contains(worker));
            let all = awaited.is_empty() && (ANNOUNCE - left.min(ANNOUNCE)) * 3 >= ANNOUNCE;
            known.all_told |= all && !left.is_zero();
        }
        let announcing = !left.is_zero() && !known.all_told;
        known.announcing = announcing;
        if !announcing {
            known.awaited = None;
        }
        known.present = Some(present.iter().cloned().collect());
        Ok(announcing)
    }
}

/// In which content a script runs, and when.
#[derive(Clone, Copy)]
pub struct Said {
    life: u64,
    now: Timestamp,
    copy: bool,
}

#[async_trait]
impl Queue for Leader {
    fn lead(&self, epochs: &Epochs) {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone_from(epochs);
        let mut known = self.known();
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
        let (name, epochs) = (
            self.wire.faults.life.name.clone(),
            self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        );
        for (pool, jobs) in by_pool {
            let (shared, name, epochs) = (shared.clone(), name.clone(), epochs.clone());
            let offer = move |books: &mut Books, _: &Arc<str>, said: Said| {
                let taken = books.publish(&jobs);
                // A copy that the network makes later is not something the conductor said.
                match said.copy {
                    false => shared.published(&name, said.life, &epochs, &jobs),
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
            let found = self.inbox().after(after, max);
            if !found.is_empty() {
                let shared = &self.wire.faults.shared;
                let tampered = |told: Told| Told { report: shared.tampered(told.report), ..told };
                return Ok(found.into_iter().map(tampered).collect());
            }
            let incarnation = self.incarnation().await?;
            self.inbox().enter(incarnation);
            let from = self.cursors();
            let newer = |content: &Content| {
                from.iter()
                    .any(|(pool, at)| content.pools.get(&**pool).is_some_and(|books| books.newest() > *at))
            };
            self.wire.wait(newer).await?;
            self.read().await?;
        }
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
        Ok(census)
    }
}
