//! `relay operator`: what a cluster's one leader, and those who stand by to follow it, are made of.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use relay::api::health::Health;
use relay::cli::operator::{Args, StoreKind};
use relay::clock::Clock;
use relay::conductor::{Compile, Older};
use relay::feed::{self, Feed, memory::MemoryFeed};
use relay::operator;
use relay::store::Store;

use crate::wiring::{
    claim::claim,
    crew::{Crews, Stages},
    doors, stores,
    term::{Base, depart, terms},
    watches,
};

/// Works until SIGTERM or SIGINT, or until something is wrong that another process may do better.
pub async fn operator(args: Args, compile: Compile) -> anyhow::Result<()> {
    let clock = Clock::system();
    let health = Arc::new(Health::new(clock.clone()));
    let (stages, on_the_roll) = (Stages::default(), OnceLock::new());
    let house = House { args, compile, clock, health, stages, on_the_roll };
    let mut crews = Crews::default();
    let mut signals = Signals::new().context("signals cannot be heard")?;
    let worked = tokio::select! {
        biased;
        () = signals.next() => Ok(()),
        worked = house.work(&mut crews) => worked,
    };
    match &worked {
        Ok(()) => tracing::info!("This operator was told to end, and ends in order"),
        Err(error) => tracing::error!("This operator ends: {error:#}"),
    }
    house.health.leave();
    tokio::select! {
        biased;
        () = house.end(crews) => {}
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
    /// As whom it is on the roll of those that may lead a part, and in which store.
    pub on_the_roll: OnceLock<(Arc<dyn Store>, String)>,
}

impl House {
    /// Ends everything in order.
    async fn end(&self, mut crews: Crews) {
        // It is on no roll once it has said so.
        self.stages.watching.cancel();
        crews.end_term().await;
        crews.house.end_of_the_roll().await;
        depart(self).await;
        crews.end(&self.stages).await;
    }

    /// Starts the parts, one after the other. Comes back when one of them ended.
    async fn work(&self, crews: &mut Crews) -> anyhow::Result<()> {
        // What is wrong with the arguments, with addresses and with the kubeconfig is told before anything is written.
        let ca = stores::authorities(self.args.redis_ca.as_deref())?;
        let redis = stores::redis_settings(&self.args.redis_url, ca.as_deref())?;
        let access = watches::access(&self.args, &redis, ca)?;
        doors::open_probes(self, &mut crews.house).await?;
        let api = doors::open_api(self, &mut crews.house).await?;
        let client = operator::client::connect().await.context("no cluster is configured")?;

        let upkeep = crews.meanwhile(stores::store(&self.args, &self.clock, &self.health)).await?;
        let store: Arc<dyn Store> = upkeep.clone();
        doors::look_after_store(self, &mut crews.house, store.clone());
        let feed: Arc<dyn Feed> = Arc::new(MemoryFeed::new(feed::memory::Limits::default()));
        api.open_logs(self, (store.clone(), feed.clone()), &redis)?;
        let asked = stores::queue(&redis, self.args.redis_acl, &self.clock, &self.health);
        let queue = crews.meanwhile(asked).await?;
        doors::look_after_queue(self, &mut crews.house, queue.clone());

        let cluster = operator::api::Cluster::new(client.clone());
        let claiming = claim(&cluster, store.clone(), self.args.adopt_cluster, &self.clock, &self.health);
        let claim = crews.meanwhile(claiming).await?;
        let holder = format!("{}-{}", instance(), uuid::Uuid::now_v7().simple());
        let base = Base { client, store, upkeep, feed, queue, redis, access, claim, holder };
        terms(self, crews, &base).await
    }

    /// What to make of a database that is behind what Runs were told.
    pub fn older(&self) -> Older {
        match (self.args.store, self.args.accept_older_state) {
            // It is empty at each start, and whoever asked for it knows that.
            (Some(StoreKind::Memory), _) => Older::Untold,
            (None, true) => Older::Accepted,
            (None, false) => Older::Stops,
        }
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
