//! What the leader does with the cluster: Workflows and Runs, and the workers of WorkerPools.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::watch;

use relay::api::health::{Check, Health, Ill};
use relay::cli::operator::{Args, RedisAcl};
use relay::clock::Clock;
use relay::conductor::{Handle, Outlook};
use relay::link::{RedisSettings, worker_url};
use relay::model::ids::ShardId;
use relay::operator::{
    self, Operator, Pools,
    pulse::{self, Pulses},
    workers::{
        self, Workers,
        desired::Settings,
        password::{self, Access, UrlFor, Users},
    },
};

use crate::wiring::{
    crew::{Part, Term},
    operator::{House, instance},
    term::Base,
};

/// What to do about a store that is behind.
const BEHIND: &str = "restore the database to the state that was lost, or start the operator once with --accept-older-state \
                      (acceptOlderState of the chart) to go on from what it has; what was done since may then be done again";
/// How often the watches are looked at for what the probes tell of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How workers reach Redis and log in there.
pub fn access(args: &Args, redis: &RedisSettings, ca: Option<String>) -> anyhow::Result<Access> {
    let address = args.worker_redis_url.clone().unwrap_or_else(|| args.redis_url.clone());
    // Tried once here, so that a wrong address is told at the start and not at the first pool.
    worker_url(&address, "user", "password").context("--worker-redis-url")?;
    let of_workers = RedisSettings::new(&address)?;
    // Workers may reach Redis by a road of their own that is not encrypted.
    let ca = ca.filter(|_| of_workers.has_tls());
    let secret = password::secret(redis.password().as_deref(), args.database_url.as_deref());
    let (users, url_for): (Users, UrlFor) = match args.redis_acl {
        RedisAcl::Managed => (
            Users::Managed,
            Arc::new(move |user, password| {
                worker_url(&address, user, password).map_err(|error| error.to_string())
            }),
        ),
        RedisAcl::External => (Users::External, Arc::new(|_, _| Err("somebody else makes it".to_owned()))),
        RedisAcl::Off => {
            tracing::warn!(
                "redis.acl is Off: workers log in to Redis as the operator does, so tasks of every pool can reach the jobs and \
                 results of all others; this is to try things out"
            );
            let login = of_workers.login().or(redis.login());
            let url = match login {
                Some((user, password)) => worker_url(&address, &user, &password)?,
                None => address,
            };
            (Users::Off, Arc::new(move |_, _| Ok(url.clone())))
        }
    };
    Ok(Access { secret, users, url_for, ca })
}

/// Starts both, for the namespaces of these shards.
pub fn start(
    house: &House,
    base: &Base,
    term: &mut Term,
    (shards, handle, outlook): (Arc<BTreeSet<ShardId>>, Handle, Arc<Outlook>),
) {
    let pools = Pools::default();
    let pulses = Arc::new(Pulses::new(house.clock.clone(), pulse::Bounds::default()));
    let workers = Workers::new(workers::Params {
        client: base.client.clone(),
        roster: base.queue.clone(),
        demands: outlook.demands(),
        outlook: outlook.clone(),
        shards: shards.clone(),
        pools: pools.clone(),
        clock: house.clock.clone(),
        settings: Settings { image: house.args.image.clone(), redis_prefix: base.redis.prefix().to_owned() },
        access: base.access.clone(),
        pulses: pulses.clone(),
        instance: instance(),
    });
    let stop = term.stages.watching.clone();
    term.crew.start(Part::Pools, async move {
        workers.run(stop).await;
        Ok(())
    });
    let operator = Operator::new(operator::Params {
        client: base.client.clone(),
        store: base.store.clone(),
        shards,
        handle,
        outlook: outlook.clone(),
        clock: house.clock.clone(),
        compile: house.compile.clone(),
        pools,
        pulses: pulses.clone(),
        instance: instance(),
    });
    let (health, clock, stop) = (house.health.clone(), house.clock.clone(), term.stages.watching.clone());
    term.crew.start(Part::Watches, async move {
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
    mut ready: watch::Receiver<bool>,
    pulses: &Pulses,
    health: &Health,
    clock: &Clock,
) -> Infallible {
    let mut said = false;
    loop {
        let is_ready = *ready.borrow_and_update();
        match pulses.deaf() {
            Some(deaf) => {
                let why = format!("{}: nothing was heard since {}: {}", deaf.of, deaf.since, deaf.why);
                health.bad(Check::Kubernetes, &why);
            }
            None if is_ready => {
                health.good(Check::Kubernetes, "every object has been seen, and changes are heard")
            }
            None => health.bad(Check::Kubernetes, "the watches have begun and have not seen everything yet"),
        }
        if is_ready && !said {
            tracing::info!("Every Workflow and Run of the cluster has been seen");
            said = true;
        }
        // Whoever waits for it to be ready hears of it at once.
        tokio::select! {
            Ok(()) = ready.changed() => {}
            () = clock.sleep(LOOK_EVERY) => {}
        }
    }
}
