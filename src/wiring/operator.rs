//! `relay operator`: what a cluster's one leader, and those who stand by to follow it, are made of.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use relay::api::health::Health;
use relay::cli::operator::{Args, StoreKind};
use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Limits, LogPump, Older, Outlook, Params};
use relay::feed::{self, Feed, memory::MemoryFeed, redis::RedisLogs};
use relay::link::RedisSettings;
use relay::model::ids::ShardId;
use relay::operator;
use relay::store::Store;

use crate::wiring::{
    claim::claim,
    crew::{Crew, Part, Stages},
    doors,
    lead::lead,
    stores, watches,
};

/// Works until SIGTERM or SIGINT, or until something is wrong that another process may do better.
pub async fn operator(args: Args, compile: Compile) -> anyhow::Result<()> {
    let clock = Clock::system();
    let health = Arc::new(Health::new(clock.clone()));
    let house = House { args, compile, clock, health, stages: Stages::default() };
    let mut crew = Crew::default();
    let mut signals = Signals::new().context("signals cannot be heard")?;
    let worked = tokio::select! {
        biased;
        () = signals.next() => Ok(()),
        worked = house.work(&mut crew) => worked,
    };
    match &worked {
        Ok(()) => tracing::info!("This operator was told to end, and ends in order"),
        Err(error) => tracing::error!("This operator ends: {error:#}"),
    }
    house.health.leave();
    tokio::select! {
        biased;
        () = crew.end(&house.stages) => {}
        () = signals.next() => tracing::warn!("Told to end once more: what is under way is left"),
    }
    worked
}

/// What all parts share.
pub struct House {
    /// As they were given.
    pub args: Args,
    /// Definitions.
    pub compile: Compile,
    /// The time.
    pub clock: Clock,
    /// How it is.
    pub health: Arc<Health>,
    /// What ends when.
    pub stages: Stages,
}

impl House {
    /// Starts the parts, one after the other. Comes back when one of them ended.
    async fn work(&self, crew: &mut Crew) -> anyhow::Result<()> {
        // What is wrong with the arguments, with addresses and with the kubeconfig is told before anything is written.
        let redis = RedisSettings::new(&self.args.redis_url)?;
        let access = watches::access(&self.args, &redis)?;
        doors::open_probes(self, crew).await?;
        let api = doors::open_api(self, crew).await?;
        let client = operator::api::connect().await.context("no cluster is configured")?;

        let store = crew.meanwhile(stores::store(&self.args, &self.clock, &self.health)).await?;
        doors::look_after_store(self, crew, store.clone());
        let feed: Arc<dyn Feed> = Arc::new(MemoryFeed::new(feed::memory::Limits::default()));
        api.open_logs(self, (store.clone(), feed.clone()), &redis)?;
        let queue = crew.meanwhile(stores::queue(&redis, &self.clock, &self.health)).await?;
        doors::look_after_queue(self, crew, queue.clone());

        let cluster = operator::api::Cluster::new(client.clone());
        let claiming = claim(&cluster, store.clone(), self.args.adopt_cluster, &self.clock, &self.health);
        let claimed = crew.meanwhile(claiming).await?;
        let outlook = Arc::new(Outlook::default());
        let holder = format!("{}-{}", instance(), uuid::Uuid::now_v7().simple());
        let params = || Params {
            store: store.clone(),
            queue: queue.clone(),
            feed: feed.clone(),
            clock: self.clock.clone(),
            compile: self.compile.clone(),
            holder: holder.clone(),
            shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
            adopt: Adopt::All,
            older: self.older(),
            limits: Limits::default(),
            outlook: Some(outlook.clone()),
        };
        let leading = lead(params, &claimed, &self.health, &self.clock, &self.stages.conducting);
        let Some(leading) = crew.meanwhile(leading).await? else { return Ok(()) };
        let handle = leading.handle.clone();
        crew.start(Part::Conductor, leading.end());
        self.pump_logs(crew, &redis, (store.clone(), feed), outlook.clone())?;
        watches::start(self, crew, watches::Around { client, store, handle, outlook, queue, redis, access });
        Err(crew.next_end().await)
    }

    /// What to make of a database that is behind what Runs were told.
    fn older(&self) -> Older {
        match (self.args.store, self.args.accept_older_state) {
            // It is empty at each start, and whoever asked for it knows that.
            (Some(StoreKind::Memory), _) => Older::Untold,
            (None, true) => Older::Accepted,
            (None, false) => Older::Stops,
        }
    }

    /// Carries lines from workers to the store. One process does, the one that leads.
    fn pump_logs(
        &self,
        crew: &mut Crew,
        redis: &RedisSettings,
        (store, feed): (Arc<dyn Store>, Arc<dyn Feed>),
        outlook: Arc<Outlook>,
    ) -> anyhow::Result<()> {
        let stream = Arc::new(RedisLogs::new(redis)?);
        let (clock, compile) = (self.clock.clone(), self.compile.clone());
        let pump = LogPump { stream, store, feed, clock, compile, outlook: Some(outlook) };
        let stop = self.stages.serving.clone();
        crew.start(Part::LogPump, async move {
            let pumped = pump.run(stop).await;
            tracing::info!(lines = pumped.lines, foreign = pumped.foreign, "The log pump has ended");
            Ok(())
        });
        Ok(())
    }
}

/// The name of this pod, or of this machine.
pub fn instance() -> String {
    let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    name.unwrap_or_else(|_| "operator".to_owned()).chars().take(100).collect()
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
