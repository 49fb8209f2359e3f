//! What works beside an operator in a test: a worker, and the keeper of WorkerPools. Nothing makes pods here; their objects
//! are what it looks at.

use std::sync::Arc;

use relay::clock::Clock;
use relay::conductor::{Outlook, every_shard};
use relay::operator::Pools;
use relay::operator::pulse::Pulses;
use relay::operator::workers::{
    Params, Workers,
    desired::Settings,
    password::{Access, Users},
};
use relay::queue::{self, Roster};
use relay::worker::{self, Links, Shutdown, Worker};
use tokio_util::sync::CancellationToken;

/// From the parts of a rig.
pub fn keeper(
    client: kube::Client,
    roster: Arc<dyn Roster>,
    outlook: Arc<Outlook>,
    (pools, pulses, clock): (Pools, Arc<Pulses>, Clock),
) -> Workers {
    Workers::new(Params {
        client,
        roster,
        demands: outlook.demands(),
        outlook,
        shards: Arc::new(every_shard().collect()),
        pools,
        pulses,
        clock,
        settings: Settings { image: "relay:test".to_owned(), redis_prefix: "relay".to_owned() },
        access: Access {
            secret: "of the test".to_owned(),
            users: Users::Managed,
            ca: None,
            url_for: Arc::new(|user, password| Ok(format!("redis://{user}:{password}@redis/0"))),
        },
        instance: "test".to_owned(),
    })
}

/// A worker of every pool, until it is told to stop at once.
pub async fn work(links: Links, stop: CancellationToken) {
    let params = worker::Params {
        id: format!("worker-{}", uuid::Uuid::now_v7()),
        pools: queue::Pools::Every,
        slots: 8,
        limits: worker::Limits::default(),
    };
    let shutdown = Shutdown::default();
    let working = Worker::new(params, links).run(shutdown.clone());
    let ended = async {
        stop.cancelled().await;
        shutdown.kill.cancel();
    };
    tokio::join!(working, ended);
}
