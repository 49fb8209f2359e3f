//! Terms: a process leads a set of shards from a beginning to an end, and then another set. What a term is made of begins and
//! ends together; the process, its probes, its API and its connections live on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use relay::conductor::{Adopt, Housekeeping, Kept, Limits, LogPump, Outlook, Params};
use relay::feed::{Feed, redis::RedisLogs};
use relay::link::RedisSettings;
use relay::model::ids::ShardId;
use relay::operator::workers::password::Access;
use relay::queue::redis::RedisQueue;
use relay::store::{Store, Upkeep};

use crate::wiring::{
    claim::Claim,
    crew::{Crews, Part, Term},
    division::Division,
    lead::{Leading, Wish, lead},
    operator::House,
    watches,
};

/// Longest wait for the store to hear that this process goes.
const DEPART_WITHIN: Duration = Duration::from_secs(2);

/// What lives longer than a term.
pub struct Base {
    /// The cluster.
    pub client: kube::Client,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The same, to be looked after.
    pub upkeep: Arc<dyn Upkeep>,
    /// Live views.
    pub feed: Arc<dyn Feed>,
    /// The transport.
    pub queue: Arc<RedisQueue>,
    /// Where Redis is.
    pub redis: RedisSettings,
    /// What lets workers into it.
    pub access: Access,
    /// Whose database it is.
    pub claim: Claim,
    /// Who leads, unique to this process.
    pub holder: String,
}

impl Base {
    /// The parts of a conductor of these shards.
    pub fn params(&self, house: &House, shards: &BTreeSet<ShardId>, outlook: &Arc<Outlook>) -> Params {
        Params {
            store: self.store.clone(),
            queue: self.queue.clone(),
            feed: self.feed.clone(),
            clock: house.clock.clone(),
            compile: house.compile.clone(),
            holder: self.holder.clone(),
            shards: shards.iter().copied().collect(),
            adopt: Adopt::All,
            older: house.older(),
            limits: Limits::default(),
            outlook: Some(outlook.clone()),
        }
    }

    /// Makes days ahead and removes what ended long ago, for these shards.
    fn keep_house(
        &self,
        house: &House,
        term: &mut Term,
        (shards, outlook): (&BTreeSet<ShardId>, Arc<Outlook>),
    ) {
        let (store, clock) = (self.upkeep.clone(), house.clock.clone());
        let retention = house.args.retention.time();
        let keeping = Housekeeping { store, clock, outlook, shards: shards.clone(), retention };
        let stop = term.stages.conducting.clone();
        term.crew.start(Part::Upkeep, async move {
            keeping.run(stop).await;
            Ok(())
        });
    }

    /// Carries lines from workers to the store: those of the pools of these shards.
    fn pump_logs(
        &self,
        house: &House,
        term: &mut Term,
        (shards, outlook): (&BTreeSet<ShardId>, Arc<Outlook>),
    ) -> anyhow::Result<()> {
        let stream = Arc::new(RedisLogs::of(shards.clone(), &self.redis)?);
        let (clock, compile) = (house.clock.clone(), house.compile.clone());
        let (store, feed) = (self.store.clone(), self.feed.clone());
        let pump = LogPump { stream, store, feed, clock, compile, outlook: Some(outlook) };
        let stop = term.stages.serving.clone();
        term.crew.start(Part::LogPump, async move {
            let pumped = pump.run(stop).await;
            tracing::info!(lines = pumped.lines, foreign = pumped.foreign, "The log pump has ended");
            Ok(())
        });
        Ok(())
    }
}

/// Term after term. Comes back when something is wrong.
pub async fn terms(house: &House, crews: &mut Crews, base: &Base) -> anyhow::Result<()> {
    let mut division = Division::new(house, base, &mut crews.house);
    // What the last term kept, and what was to be led instead of it.
    let (mut held, mut first) = (BTreeSet::new(), None);
    loop {
        let (mut term, kept) = (Term::default(), Kept::default());
        let wish = Wish { division: &mut division, held: &held, first: first.take() };
        let trying = lead(house, base, wish, (&term.stages.conducting, &kept));
        let Some(Leading { handle, shards, outlook, work }) = crews.meanwhile(trying).await? else {
            return Ok(());
        };
        division.leads(Some(outlook.clone()));
        term.crew.start(Part::Conductor, work.end());
        base.pump_logs(house, &mut term, (&shards, outlook.clone()))?;
        base.keep_house(house, &mut term, (&shards, outlook.clone()));
        watches::start(house, base, &mut term, (shards.clone(), handle, outlook));
        crews.begin(term);
        let wish = crews.meanwhile(async { Ok(division.otherwise(&shards).await) }).await?;
        tracing::info!(
            shards = shards.len(),
            then = wish.len(),
            "The shards are divided anew: this operator ends its term"
        );
        held = wish.intersection(&shards).copied().collect();
        // It is said once a term.
        let _ = kept.set(held.clone());
        division.leads(None);
        crews.end_term().await;
        first = Some(wish).filter(|wish| !wish.is_empty());
    }
}

/// This process goes: whoever divides the shards need not wait until its silence is noticed. Nothing where it was on no roll.
pub async fn depart(house: &House) {
    let Some((store, holder)) = house.on_the_roll.get() else { return };
    match tokio::time::timeout(DEPART_WITHIN, store.depart(holder)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, error.label = error.label(), "It could not be said that this operator goes")
        }
        Err(_) => tracing::warn!("It could not be said in time that this operator goes"),
    }
}
