//! Processes that come and go: conductors, workers, and the chaos that befalls them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use relay::{
    conductor::{Adopt, Compile, Conductor, ConductorError, Limits, Older, Outlook, Params},
    feed::memory::MemoryFeed,
    model::{ids::ShardId, time::later},
    queue::Pools,
    store::Revision,
    worker::{self, Links, Shutdown, Worker},
};
use tokio_util::sync::CancellationToken;

use super::{
    executor::Simulated,
    faults::Faults,
    life::Life,
    queue::{FaultyJobs, FaultyQueue},
    store::FaultyStore,
    trace::TracedFeed,
    workload::NAMESPACES,
    world::{Shared, pass},
};

/// Everybody who lives now, and how they are ended.
pub struct Cast {
    pub shared: Arc<Shared>,
    workers: Mutex<Vec<Arc<Life>>>,
    born: Mutex<u64>,
    over: CancellationToken,
}

impl Cast {
    pub fn new(shared: Arc<Shared>) -> Arc<Cast> {
        Arc::new(Cast {
            shared,
            workers: Mutex::default(),
            born: Mutex::default(),
            over: CancellationToken::new(),
        })
    }

    fn workers(&self) -> Vec<Arc<Life>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every worker dies; others take their places.
    pub fn kill_workers(&self) {
        self.workers().iter().for_each(|life| life.killed.cancel());
    }

    fn number(&self) -> u64 {
        let mut born = self.born.lock().unwrap_or_else(PoisonError::into_inner);
        *born += 1;
        *born
    }

    /// Asks all to end in order.
    pub fn end(&self) {
        self.over.cancel();
        for life in self.shared.conductors().iter().chain(&self.workers()) {
            life.resume();
            life.stop.cancel();
        }
    }

    /// A place that a conductor fills, as long as the simulation goes on.
    pub async fn conductors(self: Arc<Cast>) {
        while !self.over.is_cancelled() {
            let number = self.number();
            let life = Life::new(format!("c{number}"), number);
            let outlook = Arc::new(Outlook::default());
            let (conductor, handle) = Conductor::new(self.params(&life, &outlook));
            self.shared.enthrone(&life, handle, outlook);
            let ended = life.live(conductor.run(life.stop.clone())).await;
            let leads = self.shared.leader().is_some_and(|(_, leader)| leader.number == number);
            let over = self.over.is_cancelled() && leads;
            match ended {
                None => self.shared.trace.say(format!("{} died", life.name)),
                Some(Ok(_)) => self.shared.trace.say(format!("{} ended", life.name)),
                Some(Err(ConductorError::Held { .. })) => {}
                Some(Err(error)) if over => self.shared.trace.wrong(format!("{} ended: {error}", life.name)),
                Some(Err(error)) => self.shared.trace.say(format!("{} ended: {error}", life.name)),
            }
            pass(Duration::from_millis(self.shared.dice.between(50, 2_000))).await;
        }
    }

    fn params(&self, life: &Arc<Life>, outlook: &Arc<Outlook>) -> Params {
        let shared = self.shared.clone();
        let faults = Faults { shared: shared.clone(), life: life.clone(), conductor: true };
        let workflows = shared.workflows.clone();
        let compile: Compile = Arc::new(move |revision: &Revision| {
            workflows.get(revision.id.as_str()).cloned().ok_or_else(|| "no such workflow".to_owned())
        });
        let limits = shared.settings.limits.unwrap_or_else(|| Limits {
            batch: shared.dice.pick(&[1, 3, 1_000]),
            inbox: shared.dice.pick(&[1, 100]),
            window: shared.dice.pick(&[1, 3, 1_000]),
            live_runs: 100,
            ..Limits::default()
        });
        Params {
            store: Arc::new(FaultyStore { faults: faults.clone(), store: shared.store.clone() }),
            queue: Arc::new(FaultyQueue::new(faults, shared.server.clone())),
            feed: Arc::new(TracedFeed { trace: shared.trace.clone(), feed: MemoryFeed::default() }),
            clock: shared.clock.clone(),
            compile,
            holder: life.name.clone(),
            shards: NAMESPACES.iter().map(|name| ShardId::of_namespace(name)).collect(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits,
            outlook: Some(outlook.clone()),
        }
    }

    /// A place that a worker fills: the first serves every pool, so that no task waits for ever.
    pub async fn worker_seat(self: Arc<Cast>, seat: u64) {
        let dice = &self.shared.dice;
        let pools = match dice.chance(600) || seat == 0 {
            true => Pools::Every,
            false => Pools::One(format!("{}/{}", NAMESPACES[0], dice.pick(&["default", "gpu"]))),
        };
        let (slots, slowness) = (dice.between(1, 4) as usize, dice.pick(&[1, 1, 1, 3]));
        let mut turn = 0;
        while !self.over.is_cancelled() {
            turn += 1;
            let life = Life::new(format!("w{seat}-{turn}"), 0);
            self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(life.clone());
            let faults = Faults { shared: self.shared.clone(), life: life.clone(), conductor: false };
            let executor = Simulated { shared: self.shared.clone(), worker: life.name.clone(), slowness };
            let links = Links {
                jobs: Arc::new(FaultyJobs { faults, server: self.shared.server.clone() }),
                feed: Arc::new(MemoryFeed::default()),
                executor: Arc::new(executor),
                clock: self.shared.clock.clone(),
            };
            let params = worker::Params {
                id: life.name.clone(),
                pools: pools.clone(),
                slots,
                limits: worker::Limits { drain: Duration::from_secs(60), ..worker::Limits::default() },
            };
            let shutdown = Shutdown { drain: life.stop.clone(), kill: CancellationToken::new() };
            let ended = life.live(Worker::new(params, links).run(shutdown)).await;
            let how = if ended.is_some() { "left" } else { "died" };
            self.shared.trace.say(format!("{} {how}", life.name));
            self.workers.lock().unwrap_or_else(PoisonError::into_inner).retain(|l| l.name != life.name);
            pass(Duration::from_millis(dice.between(50, 15_000))).await;
        }
    }

    /// Now and then something goes badly wrong.
    pub async fn chaos(self: Arc<Cast>) {
        let dice = &self.shared.dice;
        loop {
            pass(Duration::from_millis(dice.between(500, 25_000))).await;
            if !self.shared.faults_on() {
                return;
            }
            self.strike();
        }
    }

    fn strike(&self) {
        let (shared, dice) = (&self.shared, &self.shared.dice);
        let seconds = |most: u64| Duration::from_millis(dice.between(100, most * 1_000));
        let now = shared.clock.now();
        let workers = self.workers();
        let worker =
            (!workers.is_empty()).then(|| workers[dice.below(workers.len() as u64) as usize].clone());
        let leader = shared.leader().map(|(_, life)| life);
        match (dice.below(9), worker, leader) {
            (0, _, Some(life)) => self.befalls(&life, "is killed", |life| life.killed.cancel()),
            (1, _, Some(life)) => self.befalls(&life, "is told to stop", |life| life.stop.cancel()),
            (2 | 3, _, Some(life)) => self.freeze(life, seconds(15)),
            (4, Some(life), _) => self.befalls(&life, "is killed", |life| life.killed.cancel()),
            (5, Some(life), _) => self.befalls(&life, "is told to drain", |life| life.stop.cancel()),
            (6, Some(life), _) => self.freeze(life, seconds(80)),
            (7, _, _) if dice.chance(400) => {
                shared.trace.say("the queue is emptied".to_owned());
                shared.server.empty();
            }
            (7, _, _) => {
                shared.trace.say("the queue is down".to_owned());
                shared.queue_outage.until(later(now, seconds(40)));
            }
            _ => {
                shared.trace.say("the store is down".to_owned());
                shared.store_outage.until(later(now, seconds(15)));
            }
        }
    }

    fn befalls(&self, life: &Arc<Life>, what: &str, act: impl Fn(&Life)) {
        self.shared.trace.say(format!("{} {what}", life.name));
        act(life);
    }

    fn freeze(&self, life: Arc<Life>, long: Duration) {
        if life.is_paused() {
            return;
        }
        let trace = self.shared.trace.clone();
        trace.say(format!("{} is paused for {long:?}", life.name));
        life.pause();
        self.shared.later(async move {
            pass(long).await;
            trace.say(format!("{} goes on", life.name));
            life.resume();
        });
    }
}
