//! What the operator answers to others, and what it asks of its servers to be able to.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use relay::api::{
    self, Api,
    health::{self, Check, Ill, Ping},
    probes,
    serve::{Bounds, serve},
};
use relay::feed::{Feed, redis::Backlog};
use relay::link::RedisSettings;
use relay::queue::redis::RedisQueue;
use relay::store::Store;

use crate::wiring::{
    crew::{Crew, Part},
    operator::House,
    stores::{evicts, ill},
};

/// Takes an address, or says by which flag another one can be given.
async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be listened on"))
}

/// Probes are answered first: a process that waits for its database lives.
pub async fn open_probes(house: &House, crew: &mut Crew) -> anyhow::Result<()> {
    let door = bind("--listen", house.args.listen).await?;
    tracing::info!(address = %door.local_addr()?, "Probes are answered");
    let routes = probes::router(house.health.clone());
    let served = serve(door, routes, Bounds::default(), house.stages.serving.clone());
    crew.start(Part::Probes, async move {
        served.await;
        Ok(())
    });
    let ticks = health::tick(house.health.clone(), house.stages.serving.clone());
    crew.start(Part::Health, async move {
        ticks.await;
        Ok(())
    });
    Ok(())
}

/// The API, whose logs come once there is a store.
pub struct ApiDoor {
    api: Arc<Api>,
    tasks: TaskTracker,
}

/// Opens the API: it tells why the operator waits, if it does.
pub async fn open_api(house: &House, crew: &mut Crew) -> anyhow::Result<ApiDoor> {
    let door = bind("--api-listen", house.args.api_listen).await?;
    tracing::info!(address = %door.local_addr()?, "The API is answered");
    let (api, tasks) = (Arc::new(Api::new(house.health.clone())), TaskTracker::new());
    let served = serve(door, api::router(api.clone()), Bounds::default(), house.stages.serving.clone());
    let under_way = tasks.clone();
    crew.start(Part::Api, async move {
        served.await;
        under_way.close();
        under_way.wait().await;
        Ok(())
    });
    Ok(ApiDoor { api, tasks })
}

impl ApiDoor {
    /// Logs are answered from now on.
    pub fn open_logs(
        &self,
        house: &House,
        (store, feed): (Arc<dyn Store>, Arc<dyn Feed>),
        redis: &RedisSettings,
    ) -> anyhow::Result<()> {
        let backlog = Arc::new(Backlog::new(redis)?);
        self.api.open(api::Params {
            store,
            feed,
            clock: house.clock.clone(),
            settled: Arc::new(move |namespace| {
                let (backlog, namespace) = (backlog.clone(), namespace.to_owned());
                Box::pin(async move { backlog.cleared(&namespace).await })
            }),
            limits: api::logs::Limits::default(),
            stop: house.stages.serving.clone(),
            tasks: self.tasks.clone(),
        });
        Ok(())
    }
}

/// Asks the store now and then whether it is there.
pub fn look_after_store(house: &House, crew: &mut Crew, store: Arc<dyn Store>) {
    let ping: Ping = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|e| ill(&e)) })
    });
    look_after(house, crew, Check::Database, ping);
}

/// Asks Redis now and then whether it is there.
pub fn look_after_queue(house: &House, crew: &mut Crew, queue: Arc<RedisQueue>) {
    let ping: Ping = Arc::new(move || {
        let queue = queue.clone();
        Box::pin(async move {
            match queue.ping().await {
                Ok(None) => Ok(()),
                Ok(Some(evicting)) => Err(evicts(&evicting)),
                Err(error) => Err(Ill { label: error.label(), why: error.to_string(), advice: None }),
            }
        })
    });
    look_after(house, crew, Check::Redis, ping);
}

fn look_after(house: &House, crew: &mut Crew, check: Check, ping: Ping) {
    let looks = health::look(house.health.clone(), check, ping, house.stages.serving.clone());
    crew.start(Part::Health, async move {
        looks.await;
        Ok(())
    });
}
