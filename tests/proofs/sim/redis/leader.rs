//! The conductor's side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use relay::{
    model::ids::ShardId,
    queue::{Epochs, QueueError},
};

use super::{
    ANNOUNCE, Content, LIFE_EVERY, Redis, STRANGERS_TELL, Wire,
    books::{Books, Name, No, Standing},
    gone,
    inbox::Inbox,
};
use crate::sim::{faults::Faults, world::Mutation};

/// A step is tried so often when the books were lost in between.
const ROUNDS: usize = 3;

/// What is known of the server.
#[derive(Default)]
pub(super) struct Known {
    incarnation: Option<u64>,
    /// The connection on which it was last asked for.
    pub(super) checked: Option<u64>,
    /// The one whose books were looked at last.
    pub(super) looked_at: Option<u64>,
    pub(super) open: BTreeSet<Arc<str>>,
    /// What the books of pools were called when they were opened last.
    opened: BTreeMap<Arc<str>, Name>,
    pub(super) announcing: bool,
    /// Workers that were there in the incarnation before and have not beaten in this one.
    pub(super) awaited: Option<BTreeSet<String>>,
    /// All of them have told this incarnation what they hold.
    pub(super) all_told: bool,
    pub(super) present: Option<BTreeSet<String>>,
}

impl Known {
    fn began_anew(&self) -> bool {
        self.looked_at.is_some() && self.looked_at != self.incarnation
    }
}

/// One conductor's side.
pub struct Leader {
    pub(super) wire: Wire,
    /// Every pool that there is.
    pools: Vec<Arc<str>>,
    pub(super) epochs: Mutex<Epochs>,
    known: Mutex<Known>,
    inbox: Mutex<Inbox>,
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

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mutated(&self, mutation: Mutation) -> bool {
        self.wire.faults.shared.settings.mutation == Some(mutation)
    }

    pub(super) fn epoch(&self, shard: ShardId) -> Option<i64> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }

    fn standing(&self, incarnation: u64, pool: &str) -> Result<Standing, QueueError> {
        let shard = ShardId::of_pool(pool);
        let mut epoch = self.epoch(shard).ok_or_else(|| QueueError::NotLed(pool.to_owned()))?;
        if self.mutated(Mutation::NoQueueFence) {
            epoch = self.wire.faults.shared.newest_epochs().get(&shard).copied().unwrap_or(epoch);
        }
        let opened = self.known().opened.get(pool).copied().filter(|name| name.incarnation == incarnation);
        let books = opened.unwrap_or(Name { incarnation, opened: 0 });
        Ok(Standing { books, epoch, fenced: !self.mutated(Mutation::AnyLife) })
    }

    /// The incarnation, asked for anew on each new connection.
    pub(super) async fn incarnation(&self) -> Result<u64, QueueError> {
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
                if let Some(present) = known.present.take() {
                    known.awaited = Some(present);
                }
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
            let one = |(pool, standing): &(Arc<str>, Standing)| {
                let stamp = content.id();
                let opened = content.books(pool).open(incarnation, standing.epoch, stamp);
                (pool.clone(), opened)
            };
            let opened = opening.iter().map(one).collect::<Vec<_>>();
            (opened, content.is_in(incarnation))
        };
        let (opened, same) = self.wire.ask("open", open).await?;
        // Emptied since: what was opened is of no life in which workers tell what they hold.
        let mut newer = (!same).then_some(incarnation);
        for (pool, opened) in opened {
            match opened {
                Ok(name) if name.incarnation > incarnation => newer = newer.max(Some(name.incarnation)),
                Ok(name) => drop(self.known().opened.insert(pool, name)),
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

    async fn open(&self, incarnation: u64, pools: &BTreeSet<Arc<str>>) -> Result<bool, QueueError> {
        let new: BTreeSet<Arc<str>> = pools.difference(&self.known().open).cloned().collect();
        if new.is_empty() {
            return Ok(true);
        }
        if self.open_all(incarnation, &new).await?.is_some() {
            self.known().checked = None;
            return Ok(false);
        }
        self.known().open.extend(new);
        Ok(true)
    }

    /// Runs a script on pools, all at once; the answers by pool. `act` is told which content it is, and whether it is a copy.
    pub(super) async fn call<T: Send>(
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
            if !self.open(incarnation, &open).await? {
                continue;
            }
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

    pub(super) async fn one<T: Send>(
        &self,
        verb: &'static str,
        pool: &Arc<str>,
        act: impl Fn(&mut Books) -> T + Clone + Send + 'static,
    ) -> Result<T, QueueError> {
        let answers = self.call(verb, [pool.clone()].into(), move |books, _, _| act(books)).await?;
        answers.into_values().next().ok_or_else(gone)
    }

    /// Reads on in every open pool; false when there was nothing.
    pub(super) async fn read(&self) -> Result<bool, QueueError> {
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

    pub(super) fn cursors(&self) -> Vec<(Arc<str>, u64)> {
        let open: Vec<Arc<str>> = self.known().open.iter().cloned().collect();
        let inbox = self.inbox();
        open.into_iter().map(|pool| (pool.clone(), inbox.cursor(&pool))).collect()
    }

    /// Do workers still tell what they hold? Ends as soon as everybody who was there has told it.
    pub(super) async fn announcing(&self, present: &[String]) -> Result<bool, QueueError> {
        let left = self.wire.ask("announcing", |content, now, _| content.announcing(now)).await?;
        let mut known = self.known();
        if let Some(awaited) = &mut known.awaited {
            awaited.retain(|worker| !present.contains(worker));
            known.all_told |= awaited.is_empty() && ANNOUNCE - left.min(ANNOUNCE) >= STRANGERS_TELL;
        }
        let announcing = !left.is_zero() && !known.all_told;
        known.announcing = announcing;
        let seen = present.iter().cloned();
        known.present = match (&known.awaited, announcing) {
            (Some(awaited), true) => Some(seen.chain(awaited.iter().cloned()).collect()),
            (None, true) => None,
            (_, false) => Some(seen.collect()),
        };
        if !announcing {
            known.awaited = None;
        }
        Ok(announcing)
    }

    /// Waits until there are entries that were not read, and reads them.
    pub(super) async fn listen(&self) -> Result<(), QueueError> {
        let incarnation = self.incarnation().await?;
        self.inbox().enter(incarnation);
        let from = self.cursors();
        let newer = |content: &Content| {
            from.iter().any(|(pool, at)| content.pools.get(&**pool).is_some_and(|books| books.newest() > *at))
        };
        self.wire.wait(newer).await?;
        self.read().await.map(drop)
    }

    /// Did a life begin since the books were last looked at?
    pub(super) fn began_anew(&self) -> bool {
        self.known().began_anew()
    }

    /// Waits until the content is of another life than was last looked at.
    pub(super) async fn another_life(&self) {
        let another = |content: &Content| {
            let known = self.known();
            let now = content.incarnation.map(|(id, _)| id);
            known.began_anew() || (known.incarnation.is_some() && known.incarnation != now)
        };
        self.wire.until_seen(another, LIFE_EVERY).await;
        let mut known = self.known();
        if !known.began_anew() {
            known.checked = None;
        }
    }
}

/// In which content a script runs, and when.
#[derive(Clone, Copy)]
pub struct Said {
    pub(super) life: u64,
    pub(super) now: Timestamp,
    pub(super) copy: bool,
}
