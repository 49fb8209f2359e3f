//! What the leader does with the cluster: Workflows and Runs, and the workers of WorkerPools.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::watch;

use relay::api::health::{Check, Health, Ill};
use relay::cli::operator::Args;
use relay::clock::Clock;
use relay::conductor::{Handle, Outlook};
use relay::link::{RedisSettings, worker_url};
use relay::operator::{
    self, Operator, Pools,
    pulse::{self, Pulses},
    workers::{
        self, Workers,
        desired::Settings,
        password::{self, Access},
    },
};
use relay::queue::redis::RedisQueue;
use relay::store::Store;

use crate::wiring::{
    crew::{Crew, Part},
    operator::{House, instance},
};

/// What to do about a store that is behind.
const BEHIND: &str = "restore the database to the state that was lost, or start the operator once with --accept-older-state \
                      (acceptOlderState of the chart) to go on from what it has; what was done since may then be done again";
/// How often the watches are looked at for what the probes tell of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the watches need of the other parts.
pub struct Around {
    /// The cluster.
    pub client: kube::Client,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Speaks to the conductor.
    pub handle: Handle,
    /// What the conductor tells.
    pub outlook: Arc<Outlook>,
    /// Who works for which pool.
    pub queue: Arc<RedisQueue>,
    /// Where Redis is.
    pub redis: RedisSettings,
    /// What lets workers into it.
    pub access: Access,
}

/// How workers reach Redis and log in there.
pub fn access(args: &Args, redis: &RedisSettings) -> anyhow::Result<Access> {
    let address = args.worker_redis_url.clone().unwrap_or_else(|| args.redis_url.clone());
    // Tried once here, so that a wrong address is told at the start and not at the first pool.
    worker_url(&address, "user", "password").context("--worker-redis-url")?;
    Ok(Access {
        secret: password::secret(redis.password().as_deref(), args.database_url.as_deref()),
        url_for: Arc::new(move |user, password| {
            worker_url(&address, user, password).map_err(|e| e.to_string())
        }),
    })
}

/// Starts both.
pub fn start(house: &House, crew: &mut Crew, around: Around) {
    let pools = Pools::default();
    let pulses = Arc::new(Pulses::new(house.clock.clone(), pulse::Bounds::default()));
    let workers = Workers::new(workers::Params {
        client: around.client.clone(),
        roster: around.queue,
        demands: around.outlook.demands(),
        outlook: around.outlook.clone(),
        pools: pools.clone(),
        clock: house.clock.clone(),
        settings: Settings {
            image: house.args.image.clone(),
            redis_prefix: around.redis.prefix().to_owned(),
        },
        access: around.access,
        pulses: pulses.clone(),
        instance: instance(),
    });
    let stop = house.stages.watching.clone();
    crew.start(Part::Pools, async move {
        workers.run(stop).await;
        Ok(())
    });
    let operator = Operator::new(operator::Params {
        client: around.client,
        store: around.store,
        handle: around.handle,
        outlook: around.outlook.clone(),
        clock: house.clock.clone(),
        compile: house.compile.clone(),
        pools,
        pulses: pulses.clone(),
        instance: instance(),
    });
    let (health, clock, stop) = (house.health.clone(), house.clock.clone(), house.stages.watching.clone());
    let outlook = around.outlook;
    crew.start(Part::Watches, async move {
        let ready = operator.ready();
        tokio::select! {
            () = operator.run(stop) => Ok(()),
            never = tell_how_they_are(ready, &pulses, &health, &clock) => match never {},
            never = tell_what_stopped(&outlook, &health, &clock) => match never {},
        }
    });
}

/// Tells of shards that stopped because the store is behind what was told of them.
async fn tell_what_stopped(outlook: &Outlook, health: &Health, clock: &Clock) -> Infallible {
    loop {
        let stopped: Vec<String> =
            outlook.all_stopped().keys().map(|shard| shard.number().to_string()).collect();
        if !stopped.is_empty() {
            let why = format!(
                "Runs were told more than the store knows, so these shards stop: {}",
                stopped.join(", ")
            );
            health.ill(Check::Leadership, &Ill { label: "behind", why, advice: Some(BEHIND) });
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Keeps the check up to date: everything must have been seen once, and nothing may have been unheard for too long.
async fn tell_how_they_are(
    ready: watch::Receiver<bool>,
    pulses: &Pulses,
    health: &Health,
    clock: &Clock,
) -> Infallible {
    let mut said = false;
    loop {
        let ready = *ready.borrow();
        match pulses.deaf() {
            Some(deaf) => {
                let why = format!("{}: nothing was heard since {}: {}", deaf.of, deaf.since, deaf.why);
                health.bad(Check::Kubernetes, &why);
            }
            None if ready => {
                health.good(Check::Kubernetes, "every object has been seen, and changes are heard")
            }
            None => health.bad(Check::Kubernetes, "the watches have begun and have not seen everything yet"),
        }
        if ready && !said {
            tracing::info!("Every Workflow and Run of the cluster has been seen");
            said = true;
        }
        clock.sleep(LOOK_EVERY).await;
    }
}
