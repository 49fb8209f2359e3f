//! What others see of the conductor's work without asking: which runs changed, and what each pool has to do.
//!
//! Marks are coalesced: a run that changed a thousand times between two looks is one mark. A run that ended, or was
//! set aside, leaves its last view in its mark, for the conductor forgets it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::conductor::{Conductor, LiveRun, Positions, tenure::Tenure};
use crate::model::{
    change::{Batch, Fence},
    ids::{RunId, ShardId},
    run::RunRow,
    view::RunView,
};

/// What a pool has to do, in task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// READY, and allowed to be dispatched.
    pub ready: usize,
    /// QUEUED.
    pub queued: usize,
    /// RUNNING.
    pub running: usize,
}

impl Demand {
    /// All of it.
    pub const fn total(&self) -> usize {
        self.ready + self.queued + self.running
    }
}

/// By pool, `<namespace>/<pool>`; a pool with nothing to do is not there.
pub type Demands = BTreeMap<String, Demand>;

/// What became of a run since the last look.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// It changed: ask for its view.
    Changed,
    /// It is not live any longer (it ended, or was set aside), and this is the last to be said of it.
    Last(Arc<RunView>),
    /// It was set aside, or its shard stopped, and nothing of it is known here any longer: ask the store, and why.
    Aside,
}

/// A look from outside; one for each conductor.
#[derive(Default)]
pub struct Outlook {
    marks: Mutex<BTreeMap<RunId, Mark>>,
    tenure: Mutex<Option<Arc<Tenure>>>,
    news: Notify,
    demands: watch::Sender<Demands>,
    slots: Mutex<BTreeMap<String, usize>>,
    stopped: Mutex<Positions>,
}

impl Outlook {
    /// Waits until a run changed. One reader only.
    pub async fn changed(&self) {
        loop {
            let news = self.news.notified();
            if !self.marks().is_empty() {
                return;
            }
            news.await;
        }
    }

    /// Takes all marks.
    pub fn take(&self) -> BTreeMap<RunId, Mark> {
        std::mem::take(&mut *self.marks())
    }

    /// What the pools have to do, as it changes.
    pub fn demands(&self) -> watch::Receiver<Demands> {
        self.demands.subscribe()
    }

    /// The workers of a pool have so many slots in all: so much more of it is QUEUED at a time. 0 forgets the pool.
    pub fn keep_slots(&self, pool: &str, slots: usize) {
        // Each verb leaves a whole map behind.
        let mut all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots {
            0 => drop(all.remove(pool)),
            _ => drop(all.insert(pool.to_owned(), slots)),
        }
    }

    /// As it was last told; 0 when it was not.
    pub(super) fn slots(&self, pool: &str) -> usize {
        let all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(pool).copied().unwrap_or(0)
    }

    /// By which to prove, in a write of one's own, that the conductor leads this shard; none while that is not certain, and
    /// then nothing is to be written anywhere. The epoch is what counts: the position is that of the moment when the
    /// shard was taken.
    pub fn fence(&self, shard: ShardId) -> Option<Fence> {
        self.tenure()?.fence(shard)
    }

    /// The position that was told of a shard which stopped because the store is behind it; none of a shard that goes on.
    pub fn stopped(&self, shard: ShardId) -> Option<i64> {
        self.all_stopped().get(&shard).copied()
    }

    /// Every shard that stopped.
    pub fn all_stopped(&self) -> Positions {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it is certain that the conductor leads.
    pub async fn leads(&self) {
        match self.tenure() {
            Some(tenure) => tenure.confirmed().await,
            // Nobody has led here yet.
            None => std::future::pending().await,
        }
    }

    fn tenure(&self) -> Option<Arc<Tenure>> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn mark(&self, run: &RunId, mark: Mark) {
        self.marks().insert(run.clone(), mark);
        self.news.notify_waiters();
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<RunId, Mark>> {
        // Each verb leaves a whole map behind.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conductor {
    /// What is committed is marked; called before the runs that ended are forgotten.
    pub(super) fn mark_committed(&self, batch: &Batch) {
        let Some(outlook) = &self.outlook else { return };
        for id in batch.runs.keys() {
            let ended = self.runs.get(id).filter(|run| run.row().status.is_final());
            outlook.mark(id, ended.map_or(Mark::Changed, |run| Mark::Last(Arc::new(self.outline(run)))));
        }
    }

    /// A run that is set aside leaves its last view, if anything is known of it.
    pub(super) fn mark_aside(&self, id: &RunId, why: &str) {
        let Some(outlook) = &self.outlook else { return };
        let view = |run| RunView { aside: Some(why.to_owned()), ..self.outline(run) };
        let mark = self.runs.get(id).map_or(Mark::Aside, |run| Mark::Last(Arc::new(view(run))));
        outlook.mark(id, mark);
    }

    /// A run of a shard that stopped is known here no longer.
    pub(super) fn mark_stopped(&self, id: &RunId) {
        if let Some(outlook) = &self.outlook {
            outlook.mark(id, Mark::Aside);
        }
    }

    /// Tells which shards stopped.
    pub(super) fn tell_stopped(&self) {
        if let Some(outlook) = &self.outlook {
            outlook.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.stopped);
        }
    }

    /// A run that was set aside is live again.
    pub(super) fn mark_recalled(&self, id: &RunId) {
        if let Some(outlook) = self.outlook.as_ref().filter(|_| self.runs.contains_key(id)) {
            outlook.mark(id, Mark::Changed);
        }
    }

    /// Lets it be asked which shards it leads, and in which epochs.
    pub(super) fn tell_fences(&self) {
        if let Some(outlook) = &self.outlook {
            *outlook.tenure.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.tenure.clone());
        }
    }

    /// A live run as it is in memory: as committed, when nothing is being committed.
    pub(super) fn outline(&self, run: &crate::engine::Run) -> RunView {
        let position = self.fences.get(&run.row().shard()).map_or(0, |fence| fence.seq);
        run.outline(position)
    }

    /// Who is live.
    pub(super) fn all_live(&self) -> Vec<LiveRun> {
        let live = |row: &RunRow| LiveRun {
            id: row.id.clone(),
            namespace: row.namespace.clone(),
            name: row.name.clone(),
        };
        self.runs.values().map(|run| live(run.row())).collect()
    }

    /// Tells what the pools have to do, if that changed.
    pub(super) fn tell_demands(&self) {
        let Some(outlook) = &self.outlook else { return };
        let mut demands = Demands::new();
        self.ready.count(|pool, ready| demands.entry(pool.to_owned()).or_default().ready = ready);
        self.outbox.count_live(|pool, queued, running| {
            let demand = demands.entry(pool.to_owned()).or_default();
            (demand.queued, demand.running) = (queued, running);
        });
        outlook.demands.send_if_modified(|old| {
            let changed = *old != demands;
            if changed {
                *old = demands;
            }
            changed
        });
    }
}
