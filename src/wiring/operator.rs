//! `relay operator`: everything that a cluster's one leader, and those who stand by, are made of.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use relay::api::{
    self,
    health::{self, Check, Health, Ping},
    serve::{Bounds, serve},
};
use relay::cli::operator::Args;
use relay::clock::Clock;
use relay::conductor::{Adopt, Limits, Outlook, Params};
use relay::feed::{self, memory::MemoryFeed};
use relay::model::ids::ShardId;
use relay::store::Store;

use crate::wiring::{
    crew::{Crew, Part, Stages},
    lead::lead,
    stores,
};

/// Works until SIGTERM or SIGINT, or until something is wrong that another process may do better.
pub async fn operator(args: Args) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be heard")?;
    let mut house = House::new(args);
    let worked = tokio::select! {
        biased;
        () = signals.next() => Ok(()),
        worked = house.work() => worked,
    };
    match &worked {
        Ok(()) => tracing::info!("This operator was told to end"),
        Err(error) => tracing::error!("This operator ends: {error:#}"),
    }
    house.health.leave();
    tokio::select! {
        biased;
        () = house.crew.end(&house.stages) => {}
        () = signals.next() => tracing::warn!("Told to end once more: what is under way is left"),
    }
    worked
}
