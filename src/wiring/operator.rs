//! `relay operator`: what a cluster's one leader, and those who stand by to follow it, are made of.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use relay::api::{
    self,
    health::{self, Check, Health, Ping},
    probes,
    serve::{Bounds, serve},
};
use relay::cli::operator::Args;
use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Limits, LogPump, Outlook, Params};
use relay::feed::{self, Feed, memory::MemoryFeed, redis::RedisLogs};
use relay::link::{RedisSettings, worker_url};
use relay::model::ids::ShardId;
use relay::operator::workers::{self, Workers, desired::Settings, password::Access};
use relay::operator::{self, Operator};
use relay::queue::Roster;
use relay::queue::redis::RedisQueue;
use relay::store::Store;

use crate::wiring::{
    crew::{Crew, Part, Stages},
    lead::lead,
    stores,
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
struct House {
    args: Args,
    compile: Compile,
    clock: Clock,
    health: Arc<Health>,
    stages: Stages,
}

impl House {
    /// Starts the parts, one after the other. Comes back when one of them ended.
    async fn work(&self, crew: &mut Crew) -> anyhow::Result<()> {
        self.open_probes(crew).await?;
        // Taken early: an address that is in use is told before anything is written.
        let door = bind("--api-listen", self.args.api_listen).await?;
        let client = operator::api::connect().await.context("no cluster is configured")?;
        let store = crew.meanwhile(stores::store(&self.args, &self.clock, &self.health)).await?;
        self.look_after(crew, Check::Database, ping_of(store.clone()));
        let feed: Arc<dyn Feed> = Arc::new(MemoryFeed::new(feed::memory::Limits::default()));
        self.open_api(crew, door, store.clone(), feed.clone());
        let queue = crew.meanwhile(stores::queue(&self.args, &self.clock, &self.health)).await?;
        self.look_after(crew, Check::Redis, ping_of_queue(queue.clone()));
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
            limits: Limits::default(),
            outlook: Some(outlook.clone()),
        };
        let pools = operator::Pools::default();
        let workers = self.workers(client.clone(), queue.clone(), &outlook, pools.clone())?;
        let leading = lead(params, &self.health, &self.clock, &self.stages.conducting);
        let Some(leading) = crew.meanwhile(leading).await? else { return Ok(()) };
        let handle = leading.handle.clone();
        crew.start(Part::Conductor, leading.end());
        let stop = self.stages.watching.clone();
        crew.start(Part::Watches, async move {
            workers.run(stop).await;
            Ok(())
        });
        self.pump_logs(crew, store.clone(), feed.clone())?;
        self.watch(
            crew,
            Operator::new(operator::Params {
                client,
                store,
                handle,
                outlook,
                clock: self.clock.clone(),
                compile: self.compile.clone(),
                pools,
                instance: instance(),
                adopt_cluster: self.args.adopt_cluster,
            }),
        );
        Err(crew.next_end().await)
    }

    /// Who keeps the Deployments of WorkerPools.
    fn workers(
        &self,
        client: kube::Client,
        roster: Arc<dyn Roster>,
        outlook: &Outlook,
        pools: operator::Pools,
    ) -> anyhow::Result<Workers> {
        let secret = self.args.redis_url.clone();
        let base = self.args.worker_redis_url.clone().unwrap_or_else(|| secret.clone());
        worker_url(&base, "user", "password").context("--worker-redis-url")?;
        let url_for = move |user: &str, password: &str| {
            worker_url(&base, user, password).map_err(|error| error.to_string())
        };
        let redis_prefix = RedisSettings::new(&secret)?.prefix().to_owned();
        Ok(Workers::new(workers::Params {
            client,
            roster,
            demands: outlook.demands(),
            pools,
            clock: self.clock.clone(),
            settings: Settings { image: self.args.image.clone(), redis_prefix },
            access: Access { secret, url_for: Arc::new(url_for) },
            instance: instance(),
        }))
    }

    /// Carries lines from workers to the store. One process does, the one that leads.
    fn pump_logs(&self, crew: &mut Crew, store: Arc<dyn Store>, feed: Arc<dyn Feed>) -> anyhow::Result<()> {
        let stream = Arc::new(RedisLogs::new(&RedisSettings::new(&self.args.redis_url)?)?);
        let (clock, compile) = (self.clock.clone(), self.compile.clone());
        let pump = LogPump { stream, store, feed, clock, compile };
        let stop = self.stages.serving.clone();
        crew.start(Part::LogPump, async move {
            pump.run(stop).await;
            Ok(())
        });
        Ok(())
    }

    /// Watches the cluster's objects, and tells when all of them have been seen.
    fn watch(&self, crew: &mut Crew, operator: Operator) {
        let (health, stop) = (self.health.clone(), self.stages.watching.clone());
        health.bad(Check::Kubernetes, "the watches have begun and have not seen everything yet");
        crew.start(Part::Watches, async move {
            let ready = operator.ready();
            tokio::select! {
                worked = operator.run(stop) => Ok(worked?),
                never = tell_when_ready(ready, &health) => match never {},
            }
        });
    }

    /// Probes are answered first: a process that waits for its database lives.
    async fn open_probes(&self, crew: &mut Crew) -> anyhow::Result<()> {
        let door = bind("--listen", self.args.listen).await?;
        tracing::info!(address = %door.local_addr()?, "Probes are answered");
        self.serve(crew, Part::Probes, door, probes::router(self.health.clone()));
        let ticks = health::tick(self.health.clone(), self.stages.serving.clone());
        crew.start(Part::Health, async move {
            ticks.await;
            Ok(())
        });
        Ok(())
    }

    fn look_after(&self, crew: &mut Crew, check: Check, ping: Ping) {
        let looks = health::look(self.health.clone(), check, ping, self.stages.serving.clone());
        crew.start(Part::Health, async move {
            looks.await;
            Ok(())
        });
    }

    fn open_api(&self, crew: &mut Crew, door: TcpListener, store: Arc<dyn Store>, feed: Arc<dyn Feed>) {
        let params = api::Params {
            store,
            feed,
            clock: self.clock.clone(),
            settled: Arc::new(|| Box::pin(async {})),
            limits: api::logs::Limits::default(),
            stop: self.stages.serving.clone(),
            tasks: tokio_util::task::TaskTracker::new(),
        };
        self.serve(crew, Part::Api, door, api::router(params));
    }

    fn serve(&self, crew: &mut Crew, part: Part, door: TcpListener, routes: Router) {
        let served = serve(door, routes, Bounds::default(), self.stages.serving.clone());
        crew.start(part, async move {
            served.await;
            Ok(())
        });
    }
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be listened on"))
}

fn ping_of_queue(queue: Arc<RedisQueue>) -> Ping {
    Arc::new(move || {
        let queue = queue.clone();
        Box::pin(async move { queue.ping().await.map_err(|e| e.to_string()) })
    })
}

fn ping_of(store: Arc<dyn Store>) -> Ping {
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|e| e.to_string()) })
    })
}

async fn tell_when_ready(mut ready: watch::Receiver<bool>, health: &Health) -> Infallible {
    if ready.wait_for(|ready| *ready).await.is_ok() {
        tracing::info!("Every Workflow and Run of the cluster has been seen");
        health.good(Check::Kubernetes, "every object has been seen, and changes are heard");
    }
    std::future::pending().await
}

/// The name of this pod, or of this machine.
fn instance() -> String {
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
