//! Which shards this process should lead: all of them, or its part where several lead at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use relay::api::health::{Check, Health};
use relay::clock::Clock;
use relay::conductor::{Outlook, every_shard, share};
use relay::model::{ids::ShardId, time::backoff};
use relay::store::{Roll, Store};

use crate::wiring::{
    crew::{Crew, Part},
    operator::House,
    patience::Patience,
    term::Base,
};

/// How often it is looked who is there and who leads what, ...
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// ... and how rarely, while the store does not answer.
const LOOK_AT_LATEST: Duration = Duration::from_secs(1);
/// More shards are taken when so many looks, one after the other, say the same, ...
const MORE_AFTER: u32 = 2;
/// ... and some given up when so many do: whoever came may be gone at once.
const FEWER_AFTER: u32 = 5;
/// Names of other leaders that are told.
const NAMES: usize = 3;

/// The shards of one process.
pub enum Division {
    /// One process leads all of them at a time.
    Whole,
    /// Several do.
    Parts(Parts),
}

/// What a process knows of those among which the shards are divided.
pub struct Parts {
    holder: String,
    health: Arc<Health>,
    rolls: watch::Receiver<Option<Arc<Roll>>>,
    /// By whom it is known whether this process leads, while it does.
    leads: watch::Sender<Option<Arc<Outlook>>>,
}

impl Division {
    /// Among so many processes as the arguments say. From now on this one is on the roll.
    pub fn new(house: &House, base: &Base, crew: &mut Crew) -> Division {
        let (leaders, holder, store) = (house.args.leaders, base.holder.clone(), base.store.clone());
        if leaders <= 1 {
            return Division::Whole;
        }
        let _ = house.on_the_roll.set((store.clone(), holder.clone()));
        let (told, rolls) = watch::channel(None);
        let leads = watch::Sender::new(None);
        let stop = house.stages.watching.clone();
        let roll = Attendance { holder: holder.clone(), leaders, store, clock: house.clock.clone(), stop };
        let leading = leads.subscribe();
        crew.start(Part::Roll, async move {
            roll.attend(leading, told).await;
            Ok(())
        });
        Division::Parts(Parts { holder, health: house.health.clone(), rolls, leads })
    }

    /// Waits until there is something to lead, and tells what. `held` stays with this process meanwhile, unless another one
    /// has taken it.
    pub async fn next(&mut self, held: &BTreeSet<ShardId>) -> BTreeSet<ShardId> {
        let Division::Parts(parts) = self else { return every_shard().collect() };
        loop {
            let roll = parts.look().await;
            let ours = |shard: &&ShardId| roll.led.get(shard).is_none_or(|leader| *leader == parts.holder);
            let held: BTreeSet<ShardId> = held.iter().filter(ours).copied().collect();
            let wish = share(&roll, &parts.holder, &held);
            if wish.is_empty() {
                let who = others(&roll, &parts.holder, "");
                parts.health.good(Check::Leadership, &format!("it stands by; {who}"));
                parts.health.good(Check::Kubernetes, "nothing is watched while standing by");
            } else if wish == held || parts.settles(&held, &wish, 1).await {
                return wish;
            }
        }
    }

    /// Waits until this process, which leads these, should lead others; tells which.
    pub async fn otherwise(&mut self, held: &BTreeSet<ShardId>) -> BTreeSet<ShardId> {
        let Division::Parts(parts) = self else { return std::future::pending().await };
        loop {
            let roll = parts.look().await;
            parts.say(&roll, held.len());
            let wish = share(&roll, &parts.holder, held);
            let looks = if wish.is_superset(held) { MORE_AFTER } else { FEWER_AFTER };
            if wish != *held && parts.settles(held, &wish, looks - 1).await {
                return wish;
            }
        }
    }

    /// This process leads, or does so no longer.
    pub fn leads(&self, outlook: Option<Arc<Outlook>>) {
        if let Division::Parts(parts) = self {
            parts.leads.send_replace(outlook);
        }
    }

    /// What a leader of so many shards says of itself.
    pub fn said(&self, shards: usize) -> String {
        match self {
            Division::Whole => "it leads".to_owned(),
            Division::Parts(parts) => parts.said(parts.rolls.borrow().as_deref(), shards),
        }
    }
}

impl Parts {
    /// The next look.
    async fn look(&mut self) -> Arc<Roll> {
        loop {
            // Its sender ends with the process alone.
            if self.rolls.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(roll) = self.rolls.borrow_and_update().clone() {
                return roll;
            }
        }
    }

    /// Do so many further looks say the same?
    async fn settles(&mut self, held: &BTreeSet<ShardId>, wish: &BTreeSet<ShardId>, looks: u32) -> bool {
        for _ in 0..looks {
            let roll = self.look().await;
            if share(&roll, &self.holder, held) != *wish {
                return false;
            }
        }
        true
    }

    fn say(&self, roll: &Roll, shards: usize) {
        // That shards stopped, for the store is behind, is worse, and said elsewhere.
        if self.leads.borrow().as_ref().is_some_and(|outlook| !outlook.all_stopped().is_empty()) {
            return;
        }
        self.health.good(Check::Leadership, &self.said(Some(roll), shards));
    }

    fn said(&self, roll: Option<&Roll>, shards: usize) -> String {
        let of = ShardId::COUNT;
        match roll.filter(|_| shards < usize::from(of)) {
            None => format!("it leads {shards} of {of} shards"),
            Some(roll) => {
                format!("it leads {shards} of {of} shards; {}", others(roll, &self.holder, " the others"))
            }
        }
    }
}

/// Who else leads this, in words.
fn others(roll: &Roll, holder: &str, what: &str) -> String {
    let leaders: BTreeSet<&String> = roll.led.values().filter(|leader| *leader != holder).collect();
    // A holder is called as its pod, with a random end.
    let name = |leader: &&String| leader.rsplit_once('-').map_or(leader.as_str(), |(pod, _)| pod).to_owned();
    let mut names: Vec<String> = leaders.iter().take(NAMES).map(name).collect();
    if leaders.len() > NAMES {
        names.push(format!("{} more", leaders.len() - NAMES));
    }
    match names.split_last() {
        None => "nobody else leads".to_owned(),
        Some((one, [])) => format!("{one} leads{what}"),
        Some((last, first)) => format!("{} and {last} lead{what}", first.join(", ")),
    }
}

/// Says that this process is there.
struct Attendance {
    holder: String,
    leaders: u32,
    store: Arc<dyn Store>,
    clock: Clock,
    stop: CancellationToken,
}

impl Attendance {
    /// Until it is told to stop, but never in the middle of a word.
    async fn attend(
        &self,
        mut leading: watch::Receiver<Option<Arc<Outlook>>>,
        told: watch::Sender<Option<Arc<Roll>>>,
    ) {
        let (mut patience, mut tries) = (Patience::at_most(&self.clock, LOOK_EVERY), 0_u32);
        while self.stop.run_until_cancelled(certain(&mut leading)).await.is_some() {
            let wait = match self.store.attend(&self.holder, self.leaders).await {
                Ok(roll) => {
                    tries = 0;
                    told.send_replace(Some(Arc::new(roll)));
                    LOOK_EVERY
                }
                Err(error) => {
                    tries = tries.saturating_add(1);
                    if patience.speaks() {
                        tracing::warn!(%error, error.label = error.label(),
                            "It is not known who else may lead; the shards stay divided as they are");
                    }
                    backoff(&self.holder, tries, LOOK_EVERY, LOOK_AT_LATEST)
                }
            };
            let _ = self.stop.run_until_cancelled(self.clock.sleep(wait)).await;
        }
    }
}

/// Waits until it is certain that this process leads, if it does. One that was stopped for long may have a successor, and then it
/// says nothing.
async fn certain(leading: &mut watch::Receiver<Option<Arc<Outlook>>>) {
    loop {
        let Some(outlook) = leading.borrow_and_update().clone() else { return };
        tokio::select! {
            () = outlook.leads() => return,
            changed = leading.changed() => if changed.is_err() { return },
        }
    }
}
