//! What works beside an operator in a test: a worker, and the keeper of WorkerPools. Nothing makes pods here; their objects
//! are what it looks at.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay::clock::Clock;
use relay::conductor::Outlook;
use relay::feed::Feed;
use relay::operator::Pools;
use relay::operator::pulse::Pulses;
use relay::operator::workers::{Params, Workers, desired::Settings, password::Access};
use relay::queue::{self, Jobs, Roster};
use relay::worker::process::{self, Processes};
use relay::worker::{self, Links, Shutdown, Worker};
use tokio_util::sync::CancellationToken;

/// From the parts of a rig.
pub fn keeper(
    client: kube::Client,
    roster: Arc<dyn Roster>,
    outlook: &Outlook,
    (pools, clock): (Pools, Clock),
    pulses: Arc<Pulses>,
) -> Workers {
    Workers::new(Params {
        client,
        roster,
        demands: outlook.demands(),
        pools,
        clock,
        settings: Settings { image: "relay:test".to_owned(), redis_prefix: "relay".to_owned() },
        access: Access {
            secret: "of the test".to_owned(),
            url_for: Arc::new(|user, password| Ok(format!("redis://{user}:{password}@redis/0"))),
        },
        instance: "test".to_owned(),
        pulses,
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

/// What a worker needs that runs processes below `root`.
pub fn links(jobs: Arc<dyn Jobs>, feed: Arc<dyn Feed>, clock: &Clock, root: &Path) -> Links {
    let executor = Processes::new(process::Params {
        root: root.to_owned(),
        env: vec![("PATH".to_owned(), std::env::var("PATH").expect("PATH"))],
        grace: Duration::from_secs(1),
    });
    Links { jobs, feed, clock: clock.clone(), executor: Arc::new(executor) }
}
