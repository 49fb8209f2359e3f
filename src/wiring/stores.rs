//! The store and the queue of an operator, waited for as long as it takes.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;

use relay::api::health::{Check, Health, Ill};
use relay::cli::{
    connections::Connections,
    operator::{Args, RedisAcl},
};
use relay::clock::Clock;
use relay::link::RedisSettings;
use relay::queue::{
    self,
    redis::{Evicting, RedisQueue},
};
use relay::store::memory::MemoryStore;
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Store, StoreError, Upkeep};

use crate::wiring::patience::Patience;

/// The store that the arguments name, with its schema up to date.
pub async fn store(args: &Args, clock: &Clock, health: &Health) -> anyhow::Result<Arc<dyn Upkeep>> {
    let Some(url) = &args.database_url else {
        tracing::warn!("Runs are kept in memory, as --store=memory says: they are lost with this process");
        return Ok(in_memory(clock));
    };
    migrated(url, clock, health).await?;
    let mut patience = Patience::new(clock);
    loop {
        match PostgresStore::connect(&pool_settings(url, &args.connections)).await {
            Ok(store) => {
                // Before anybody can say that it leads or stands by: the first look may come later.
                health.good(Check::Database, "it answers");
                return Ok(Arc::new(store));
            }
            Err(error @ StoreError::Unavailable(_)) => {
                wait_for_postgres(&mut patience, health, &ill(&error)).await;
            }
            Err(error) => return Err(error).context("the database cannot be used"),
        }
    }
}

/// A store in this process alone.
pub fn memory_store(clock: &Clock) -> Arc<dyn Store> {
    in_memory(clock)
}

fn in_memory(clock: &Clock) -> Arc<MemoryStore> {
    let clock = clock.clone();
    Arc::new(MemoryStore::new(Arc::new(move || clock.now())))
}

/// How to lean on a database, as arguments say.
pub fn pool_settings(url: &str, pool: &Connections) -> PoolSettings {
    PoolSettings {
        max_connections: pool.max,
        min_connections: pool.min.min(pool.max),
        idle_timeout: Duration::from_secs(pool.idle_timeout),
        max_lifetime: Duration::from_secs(pool.max_lifetime),
        ..PoolSettings::new(url)
    }
}

/// The authorities that the certificate of Redis may be of, as PEM: `given` is a file, or the text itself.
pub fn authorities(given: Option<&str>) -> anyhow::Result<Option<String>> {
    match given.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) if text.starts_with("-----BEGIN") => Ok(Some(text.to_owned())),
        Some(file) => {
            let text = std::fs::read_to_string(file);
            text.map(Some).with_context(|| format!("--redis-ca: the file {file} cannot be read"))
        }
    }
}

/// Where Redis is, and by whom its certificate must be.
pub fn redis_settings(url: &str, ca: Option<&str>) -> anyhow::Result<RedisSettings> {
    let settings = RedisSettings::new(url)?;
    match ca {
        Some(ca) => settings.with_ca(ca).context("--redis-ca"),
        None => Ok(settings),
    }
}

/// The queue in Redis, once Redis answers.
pub async fn queue(
    settings: &RedisSettings,
    users: RedisAcl,
    clock: &Clock,
    health: &Health,
) -> anyhow::Result<Arc<RedisQueue>> {
    let queue = RedisQueue::new(settings, queue::redis::Limits::default())?;
    let queue = if users == RedisAcl::Managed { queue } else { queue.others_make_users() };
    let mut patience = Patience::new(clock);
    loop {
        let error = match queue.ping().await {
            Ok(evicting) => {
                // Good for a moment at least, so that what there is to be said of it is news.
                health.good(Check::Redis, "it answers");
                evicting.iter().for_each(|evicting| health.ill(Check::Redis, &evicts(evicting)));
                return Ok(Arc::new(queue));
            }
            Err(error) => error,
        };
        health.bad(Check::Redis, &error.to_string());
        if patience.speaks() {
            tracing::warn!(error.label = error.label(), "Waiting for Redis: {error}");
        }
        patience.wait().await;
    }
}

async fn migrated(url: &str, clock: &Clock, health: &Health) -> anyhow::Result<()> {
    use migrate::MigrateError;
    let mut patience = Patience::new(clock);
    loop {
        match migrate::up(url, None).await {
            Ok(moved) => {
                tracing::info!("{moved}");
                return Ok(());
            }
            // After a step back to this version: later steps only add.
            Err(error @ MigrateError::Newer { .. }) => {
                tracing::warn!("{error}; it works with what it knows");
                return Ok(());
            }
            Err(error) => match error.cause() {
                // It may pass: another operator that starts holds the lock, or the address leads to a standby.
                Some(cause) => {
                    let advice = Some(cause.advice());
                    let ill = Ill { label: cause.label(), why: error.to_string(), advice };
                    wait_for_postgres(&mut patience, health, &ill).await;
                }
                None => return Err(error).context("the database cannot be brought up to date"),
            },
        }
    }
}

async fn wait_for_postgres(patience: &mut Patience, health: &Health, ill: &Ill) {
    health.ill(Check::Database, ill);
    if patience.speaks() {
        let then = ill.advice.map(|advice| format!("; what to do: {advice}")).unwrap_or_default();
        tracing::warn!(state = ill.label, "Waiting for Postgres: {}{then}", ill.why);
    }
    patience.wait().await;
}

/// What is wrong with a Redis that answers, and throws away what it holds.
pub fn evicts(evicting: &Evicting) -> Ill {
    Ill { label: Evicting::LABEL, why: evicting.to_string(), advice: Some(Evicting::ADVICE) }
}

/// What an error of the store says of its health.
pub fn ill(error: &StoreError) -> Ill {
    let advice = match error {
        StoreError::Unavailable(outage) => Some(outage.cause.advice()),
        _ => None,
    };
    Ill { label: error.label(), why: error.to_string(), advice }
}
