//! Processes that come and go: conductors, workers, and the chaos that befalls them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use relay::{
    clock::Clock,
    conductor::{Adopt, Compile, Conductor, ConductorError, Limits, Older, Outlook, Params},
    feed::memory::MemoryFeed,
    model::{ids::ShardId, time::later},
    queue::{Jobs, Pools, Queue},
    store::Revision,
    worker::{self, Links, Shutdown, Worker},
};
use tokio_util::sync::CancellationToken;

use super::{
    executor::Simulated,
    faults::Faults,
    life::Life,
    queue::{FaultyJobs, FaultyQueue},
    redis::{Hand, Leader, Loss},
    store::FaultyStore,
    trace::TracedFeed,
    workload::NAMESPACES,
    world::{Mutation, Shared, pass},
};

/// Everybody who lives now, and how they are ended.
pub struct Cast {
    pub shared: Arc<Shared>,
    workers: Mutex<Vec<Arc<Life>>>,
    /// The machines on which they live, and by how many milliseconds their clocks are put forward.
    machines: Mutex<BTreeMap<String, Arc<AtomicI64>>>,
    born: Mutex<u64>,
    over: CancellationToken,
}

impl Cast {
    pub fn new(shared: Arc<Shared>) -> Arc<Cast> {
        Arc::new(Cast {
            shared,
            workers: Mutex::default(),
            machines: Mutex::default(),
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

    /// Puts a machine's clock forward by so many milliseconds, or back; gives how far it was forward before.
    pub fn put_clock(&self, machine: &str, to: i64) -> i64 {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.entry(machine.to_owned()).or_default().swap(to, Ordering::Relaxed)
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

    /// A clock of that machine, as a process has it that begins there now.
    fn clock(&self, machine: &str) -> Clock {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = machines.entry(machine.to_owned()).or_default().clone();
        Clock::manual_beside(self.shared.clock.now(), skew)
    }

    /// A place that a conductor fills, as long as the simulation goes on.
    pub async fn conductors(self: Arc<Cast>, seat: u64) {
        while !self.over.is_cancelled() {
            let number = self.number();
            let life = Life::new(format!("c{number}"), number);
            let outlook = Arc::new(Outlook::default());
            let (conductor, handle) = Conductor::new(self.params(seat, &life, &outlook));
            self.shared.enthrone(&life, handle, outlook);
            let ended = life.live(conductor.run(life.stop.clone())).await;
            // Whoever lost one of several shards to another ends as a whole.
            let leads = match &ended {
                Some(Err(ConductorError::Deposed(shard))) => self.shared.won_last(*shard) == Some(number),
                _ => self.shared.leaders().iter().any(|leader| leader.number == number),
            };
            let over = self.over.is_cancelled() && leads;
            match ended {
                None => self.shared.trace.say(format!("{} died", life.name)),
                Some(Ok(_)) => self.shared.trace.say(format!("{} ended", life.name)),
                Some(Err(ConductorError::Held { .. })) => {}
                // Everything is over, and it was told to stop before it had asked the store again.
                Some(Err(ConductorError::Stopped)) => self.shared.trace.say(format!("{} stopped", life.name)),
                Some(Err(error)) if over => self.shared.trace.wrong(format!("{} ended: {error}", life.name)),
                Some(Err(error)) => self.shared.trace.say(format!("{} ended: {error}", life.name)),
            }
            pass(Duration::from_millis(self.shared.dice.between(50, 2_000))).await;
        }
    }

    /// Those that a conductor tries to lead: all, or some, so that several lead at once and take over from each other.
    fn shards(&self) -> Vec<ShardId> {
        let all: Vec<ShardId> = NAMESPACES.iter().map(|name| ShardId::of_namespace(name)).collect();
        match self.shared.settings.split.then(|| self.shared.dice.below(5)) {
            Some(0 | 1) => all[..1].to_vec(),
            Some(2 | 3) => all[1..].to_vec(),
            _ => all,
        }
    }

    fn queue(&self, faults: Faults) -> Arc<dyn Queue> {
        match self.shared.settings.redis {
            true => Arc::new(Leader::new(faults, self.shared.redis.clone(), &self.shared.pools)),
            false => Arc::new(FaultyQueue::new(faults, self.shared.server.clone())),
        }
    }

    fn params(&self, seat: u64, life: &Arc<Life>, outlook: &Arc<Outlook>) -> Params {
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
            queue: self.queue(faults),
            feed: Arc::new(TracedFeed { trace: shared.trace.clone(), feed: MemoryFeed::default() }),
            clock: self.clock(&format!("c{seat}")),
            compile,
            holder: life.name.clone(),
            shards: self.shards(),
            adopt: Adopt::All,
            older: Older::Untold,
            limits,
            outlook: Some(outlook.clone()),
        }
    }

    /// How many places for workers there are: in Redis each serves one pool, and no task is to wait for ever.
    pub fn seats(&self) -> u64 {
        let settings = &self.shared.settings;
        if settings.redis { settings.workers.max(self.shared.pools.len() as u64) } else { settings.workers }
    }

    /// A place that a worker fills: the first ones serve every pool, so that no task waits for ever.
    pub async fn worker_seat(self: Arc<Cast>, seat: u64) {
        let dice = &self.shared.dice;
        let known = &self.shared.pools;
        let one_of_all = || known[(seat % known.len().max(1) as u64) as usize].clone();
        let pools = match dice.chance(600) || seat == 0 {
            _ if self.shared.settings.redis => Pools::One(one_of_all()),
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
            let jobs: Arc<dyn Jobs> = match &pools {
                Pools::One(pool) if self.shared.settings.redis => {
                    Arc::new(Hand::new(faults, self.shared.redis.clone(), pool))
                }
                _ => Arc::new(FaultyJobs { faults, server: self.shared.server.clone() }),
            };
            let links = Links {
                jobs,
                feed: Arc::new(MemoryFeed::default()),
                executor: Arc::new(executor),
                clock: self.clock(&format!("w{seat}")),
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
            if dice.chance(400) {
                self.shared.redis.copy();
            }
            self.strike();
        }
    }

    fn strike(&self) {
        let (shared, dice) = (&self.shared, &self.shared.dice);
        let seconds = |most: u64| Duration::from_millis(dice.between(100, most * 1_000));
        let now = shared.clock.now();
        let one_of = |lives: Vec<Arc<Life>>| match lives.len() {
            0 => None,
            count => Some(lives[dice.below(count as u64) as usize].clone()),
        };
        let worker = one_of(self.workers()).filter(|_| !shared.settings.gentle);
        let leader = one_of(shared.leaders());
        match (dice.below(13), worker, leader) {
            (0, _, Some(life)) => self.befalls(&life, "is killed", |life| life.killed.cancel()),
            (1, _, Some(life)) => self.befalls(&life, "is told to stop", |life| life.stop.cancel()),
            (2 | 3, _, Some(life)) => self.freeze(life, seconds(15)),
            (4, Some(life), _) => self.befalls(&life, "is killed", |life| life.killed.cancel()),
            (5, Some(life), _) => self.befalls(&life, "is told to drain", |life| life.stop.cancel()),
            (6, Some(life), _) => self.freeze(life, seconds(80)),
            (7, _, leader) => self.strike_queue(leader),
            (8, _, _) => {
                shared.count("the queue is down");
                shared.trace.say("the queue is down".to_owned());
                shared.queue_outage.until(later(now, seconds(40)));
            }
            (9 | 10, _, _) => self.step_clock(),
            _ => {
                shared.count("the store is down");
                shared.trace.say("the store is down".to_owned());
                shared.store_outage.until(later(now, seconds(15)));
            }
        }
    }

    /// Its content goes, and sometimes whoever leads with it.
    fn strike_queue(&self, leader: Option<Arc<Life>>) {
        let dice = &self.shared.dice;
        let loss = dice.pick(&[Loss::Flush, Loss::Restart, Loss::Older]);
        self.shared.count(match loss {
            Loss::Flush => "the queue loses its content",
            Loss::Restart => "the queue begins anew, empty",
            Loss::Older => "the queue begins anew with what it had before",
        });
        self.shared.empty(loss);
        if let Some(life) = leader.filter(|_| dice.chance(300)) {
            self.befalls(&life, "is killed", |life| life.killed.cancel());
        }
    }

    /// Somebody puts a machine's clock forward or back, by a moment or by hours, or right again.
    fn step_clock(&self) {
        let (shared, dice) = (&self.shared, &self.shared.dice);
        let size = dice.pick(&[500, 5_000, 60_000, 3 * 3_600_000]);
        let step = (dice.below(2 * size + 1) as i64 - size as i64) * i64::from(!dice.chance(250));
        let machines: Vec<String> = {
            let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
            machines.keys().cloned().collect()
        };
        if machines.is_empty() {
            return;
        }
        let name = &machines[dice.below(machines.len() as u64) as usize];
        let before = self.put_clock(name, step);
        shared.count((
            if step < before { "a clock is put back" } else { "a clock is put forward" },
            if name.starts_with('c') { "conductor" } else { "worker" },
        ));
        shared.trace.say(format!("the clock of {name} is put from {before} to {step} ms"));
        if shared.settings.mutation == Some(Mutation::StoreClock) {
            shared.store_skew.store(step, Ordering::Relaxed);
        }
    }

    fn befalls(&self, life: &Arc<Life>, what: &'static str, act: impl Fn(&Life)) {
        self.shared.count((what, who(life)));
        self.shared.trace.say(format!("{} {what}", life.name));
        act(life);
    }

    fn freeze(&self, life: Arc<Life>, long: Duration) {
        if life.is_paused() {
            return;
        }
        self.shared.count(("is paused", who(&life)));
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

fn who(life: &Life) -> &'static str {
    if life.name.starts_with('c') { "conductor" } else { "worker" }
}
