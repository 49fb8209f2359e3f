//! What Postgres, Redis and this machine can do alone, measured where and when everything else is.

use std::{num::NonZeroUsize, process::Command, time::Duration};

use tokio::task::JoinSet;

use crate::bench::{
    BenchError, Params,
    report::{Report, middle, milliseconds, part},
    stage::{Place, every_shard},
};
use crate::clock::Clock;
use crate::model::{change::Batch, revision::Revision};
use crate::queue::redis::yardstick as redis;
use crate::store::postgres::{PoolSettings, PostgresStore, migrate, yardstick as postgres};
use crate::store::{Leadership, Store as _};

/// Connections that commit at a time, where many do.
const CLIENTS: u32 = 16;
/// Rows that one statement changes.
const ROWS: i64 = 1_000;
/// Hops that the floor is taken from.
const HOPS: usize = 1_000;

/// What figures are held against.
pub struct Bare {
    /// A commit of two rows and a round trip to a blocked reader, in milliseconds: of half of all, and of 99 %.
    pub hop: (f64, f64),
}

/// Measures all of them.
pub async fn measure(
    params: &Params,
    place: &Place,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<Bare, BenchError> {
    let url = place.further().await?;
    let measured = bare(params, place, &url, report, tell).await?;
    place.drop_further().await?;
    Ok(measured)
}

/// Commits of a row, one after the other, in a database that has nothing else: how quick the disk is now.
pub struct Commits(postgres::Bare);

impl Commits {
    /// Makes the database.
    pub async fn open(place: &Place) -> Result<Commits, BenchError> {
        Ok(Commits(postgres::Bare::connect(&place.further().await?, 1).await?))
    }

    /// So many a second.
    pub async fn rate(&self, params: &Params) -> Result<f64, BenchError> {
        commits(&self.0, &params.clock, params.yardstick, 1).await
    }

    /// Drops the database.
    pub async fn close(self, place: &Place) -> Result<(), BenchError> {
        self.0.close().await;
        place.drop_further().await
    }
}

async fn bare(
    params: &Params,
    place: &Place,
    url: &str,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<Bare, BenchError> {
    let (clock, lasts) = (&params.clock, params.yardstick);
    let postgres = postgres::Bare::connect(url, CLIENTS).await?;
    let commits = commits(&postgres, clock, lasts, 1).await?;
    tell(&report.yardstick("commits of a row, 1 client", "/s", commits));
    let many = self::commits(&postgres, clock, lasts, CLIENTS).await?;
    tell(&report.yardstick("commits of a row, 16 clients", "/s", many));
    let changes = changes(&postgres, clock, lasts).await?;
    tell(&report.yardstick("rows changed, 1,000 a commit", "/s", changes));
    let redis = redis::Bare::new(&place.redis)?;
    let hop = tokio::select! {
        hop = hop(&postgres, &redis, clock, report, tell) => hop?,
        error = redis.echo() => return Err(error.into()),
    };
    let spawns = spawns(clock, lasts).await?;
    tell(&report.yardstick("processes, one a core at a time", "/s", spawns));
    postgres.close().await;
    Ok(Bare { hop })
}

async fn commits(
    postgres: &postgres::Bare,
    clock: &Clock,
    lasts: Duration,
    clients: u32,
) -> Result<f64, BenchError> {
    let (began, mut all, mut count) = (clock.running(), JoinSet::new(), 0);
    for _ in 0..clients {
        let (postgres, clock) = (postgres.clone(), clock.clone());
        all.spawn(async move { postgres.commits(|| clock.running() >= began + lasts).await });
    }
    while let Some(done) = all.join_next().await {
        count += done.map_err(|e| BenchError::Wrong(e.to_string()))??;
    }
    Ok(count as f64 / (clock.running() - began).as_secs_f64())
}

async fn changes(postgres: &postgres::Bare, clock: &Clock, lasts: Duration) -> Result<f64, BenchError> {
    let (began, mut count) = (clock.running(), 0);
    while clock.running() < began + lasts {
        postgres.change(count, ROWS).await?;
        count += ROWS;
    }
    Ok(count as f64 / (clock.running() - began).as_secs_f64())
}

/// The least that a hop takes: its commit, then the way to a worker and back.
async fn hop(
    postgres: &postgres::Bare,
    redis: &redis::Bare,
    clock: &Clock,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(f64, f64), BenchError> {
    let (mut pings, mut trips, mut hops) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..HOPS {
        let began = clock.running();
        redis.ping().await?;
        let pinged = clock.running();
        postgres.change(2 * number as i64, 2).await?;
        let committed = clock.running();
        redis.there_and_back().await?;
        let ended = clock.running();
        pings.push(milliseconds(pinged - began));
        trips.push(milliseconds(ended - committed));
        hops.push(milliseconds(ended - pinged));
    }
    tell(&report.yardstick("a word to Redis, p50", "ms", middle(&pings)));
    tell(&report.yardstick("to a blocked reader and back, p50", "ms", middle(&trips)));
    let (half, most) = (middle(&hops), part(&hops, 0.99));
    tell(&report.yardstick("commit and way there and back, p50", "ms", half));
    tell(&report.yardstick("commit and way there and back, p99", "ms", most));
    Ok((half, most))
}

/// Cores that this machine has, as far as it tells.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Processes a second, as many at a time as there are cores.
pub async fn spawns(clock: &Clock, lasts: Duration) -> Result<f64, BenchError> {
    let (began, mut all, mut count) = (clock.running(), JoinSet::new(), 0u64);
    for _ in 0..cores() {
        let clock = clock.clone();
        all.spawn_blocking(move || {
            let mut count = 0;
            while clock.running() < began + lasts {
                Command::new("true").spawn()?.wait()?;
                count += 1;
            }
            Ok::<u64, std::io::Error>(count)
        });
    }
    while let Some(done) = all.join_next().await {
        let done = done.map_err(|e| BenchError::Wrong(e.to_string()))?;
        count += done.map_err(|why| BenchError::Machine { what: "starting `true`", why })?;
    }
    Ok(count as f64 / (clock.running() - began).as_secs_f64())
}

/// How long the same commits take in an empty database when nobody does anything else.
pub async fn replay(
    params: &Params,
    place: &Place,
    revision: &Revision,
    batches: Vec<Batch>,
) -> Result<Duration, BenchError> {
    let url = place.further().await?;
    let replayed = replay_in(params, &url, revision, batches).await?;
    place.drop_further().await?;
    Ok(replayed)
}

async fn replay_in(
    params: &Params,
    url: &str,
    revision: &Revision,
    batches: Vec<Batch>,
) -> Result<Duration, BenchError> {
    migrate::up(url, None).await?;
    let store = PostgresStore::connect(&PoolSettings::new(url)).await?;
    let Leadership::Won(mut fences) = store.lead(&every_shard(), "again").await? else {
        return Err(BenchError::Wrong("an empty database has a leader".to_owned()));
    };
    store.put_revision(revision).await?;
    let mut began = None;
    for mut batch in batches {
        batch.fences.retain(|shard, fence| fences.get(shard).inspect(|now| *fence = **now).is_some());
        store.commit(&batch).await?;
        for (shard, fence) in &batch.fences {
            let seq = batch.seq_after(fence);
            if let Some(now) = fences.get_mut(shard) {
                now.seq = seq;
            }
        }
        // As with Relay: from the commit that accepts on.
        began.get_or_insert(params.clock.running());
    }
    let lasted = params.clock.running().saturating_sub(began.unwrap_or_default());
    store.close().await;
    Ok(lasted)
}
