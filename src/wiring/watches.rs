//! What the leader does with the cluster: Workflows and Runs, and the workers of WorkerPools.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context as _;
use tokio::sync::watch;

use relay::api::health::{Check, Health};
use relay::cli::operator::Args;
use relay::conductor::{Handle, Outlook};
use relay::link::{RedisSettings, worker_url};
use relay::operator::{
    self, Operator, Pools,
    workers::{self, Workers, desired::Settings, password::Access},
};
use relay::queue::redis::RedisQueue;
use relay::store::Store;

use crate::wiring::{
    crew::{Crew, Part},
    operator::{House, instance},
};

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

/// How workers reach Redis and log in there. Their passwords follow from the operator's own URL, which only it knows.
pub fn access(args: &Args) -> anyhow::Result<Access> {
    let address = args.worker_redis_url.clone().unwrap_or_else(|| args.redis_url.clone());
    // Tried once here, so that a wrong address is told at the start and not at the first pool.
    worker_url(&address, "user", "password").context("--worker-redis-url")?;
    Ok(Access {
        secret: args.redis_url.clone(),
        url_for: Arc::new(move |user, password| {
            worker_url(&address, user, password).map_err(|e| e.to_string())
        }),
    })
}

/// Starts both.
pub fn start(house: &House, crew: &mut Crew, around: Around) {
    let pools = Pools::default();
    let workers = Workers::new(workers::Params {
        client: around.client.clone(),
        roster: around.queue,
        outlook: around.outlook.clone(),
        pools: pools.clone(),
        clock: house.clock.clone(),
        settings: Settings {
            image: house.args.image.clone(),
            redis_prefix: around.redis.prefix().to_owned(),
        },
        access: around.access,
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
        outlook: around.outlook,
        clock: house.clock.clone(),
        compile: house.compile.clone(),
        pools,
        instance: instance(),
        adopt_cluster: house.args.adopt_cluster,
    });
    let (health, stop) = (house.health.clone(), house.stages.watching.clone());
    health.bad(Check::Kubernetes, "the watches have begun and have not seen everything yet");
    crew.start(Part::Watches, async move {
        let ready = operator.ready();
        tokio::select! {
            worked = operator.run(stop) => Ok(worked?),
            never = tell_when_ready(ready, &health) => match never {},
        }
    });
}

async fn tell_when_ready(mut ready: watch::Receiver<bool>, health: &Health) -> Infallible {
    if ready.wait_for(|ready| *ready).await.is_ok() {
        tracing::info!("Every Workflow and Run of the cluster has been seen");
        health.good(Check::Kubernetes, "every object has been seen, and changes are heard");
    }
    std::future::pending().await
}
