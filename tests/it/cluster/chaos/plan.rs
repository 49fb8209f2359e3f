//! What goes wrong, when and for how long: a seed says everything.

use std::time::Duration;

use crate::sim::rng::Dice;

/// Something that happens to a real part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The operator that leads is killed, and started again.
    LeaderKilled,
    /// A worker is killed, and another one starts.
    WorkerKilled,
    /// FLUSHALL.
    RedisEmptied,
    /// Postgres ends without a checkpoint, and starts again.
    PostgresRestarted,
    /// The operator that leads is stopped for longer than it may believe in itself, and goes on.
    LeaderFrozen,
    /// Both operators are killed at once.
    OperatorsKilled,
    /// A worker is told to end, as when a pool shrinks; another one starts.
    WorkerDrained,
    /// A worker is stopped until it counts as lost, and goes on.
    WorkerFrozen,
    /// Redis is killed and starts again, with nothing on its disk.
    RedisRestarted,
    /// Redis takes nothing more that needs memory.
    RedisFull,
    /// Redis answers nothing.
    RedisFrozen,
    /// Every connection to Postgres is ended by its administrator.
    BackendsEnded,
    /// The API server answers nothing.
    ApiServerFrozen,
    /// The API server is killed, and starts again.
    ApiServerKilled,
    /// A namespace with a run at work is deleted.
    NamespaceDeleted,
    /// Redis, both operators and a worker are killed together.
    MuchKilled,
}

impl Fault {
    /// What every run of the tests has.
    pub const USUAL: [Fault; 5] = [
        Fault::LeaderKilled,
        Fault::WorkerKilled,
        Fault::RedisEmptied,
        Fault::PostgresRestarted,
        Fault::LeaderFrozen,
    ];

    /// What `make chaos` has.
    pub const ALL: [Fault; 16] = [
        Fault::LeaderKilled,
        Fault::WorkerKilled,
        Fault::RedisEmptied,
        Fault::PostgresRestarted,
        Fault::LeaderFrozen,
        Fault::OperatorsKilled,
        Fault::WorkerDrained,
        Fault::WorkerFrozen,
        Fault::RedisRestarted,
        Fault::RedisFull,
        Fault::RedisFrozen,
        Fault::BackendsEnded,
        Fault::ApiServerFrozen,
        Fault::ApiServerKilled,
        Fault::NamespaceDeleted,
        Fault::MuchKilled,
    ];

    /// How errors begin that it may bring into a log.
    pub fn explains(self) -> &'static [&'static str] {
        match self {
            // Postgres may be away for longer than a leadership lasts.
            Fault::LeaderFrozen | Fault::PostgresRestarted => &[DEPOSED],
            _ => &[],
        }
    }
}

/// What a leader says that another one followed.
const DEPOSED: &str = "This operator ends: the conductor ended: another operator leads shard";

/// A fault, after so many transitions since the one before was survived, for so long if it is one that lasts.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub fault: Fault,
    pub after: i64,
    pub lasts: Duration,
}

/// So many of the faults, each once before one comes again, in an order of the seed's own.
pub fn plan(seed: u64, faults: &[Fault], steps: usize) -> Vec<Step> {
    let dice = Dice::new(seed);
    let mut left = Vec::new();
    let mut plan = Vec::new();
    while plan.len() < steps {
        if left.is_empty() {
            left = faults.to_vec();
        }
        let fault = left.remove(dice.below(left.len() as u64) as usize);
        let after = i64::try_from(dice.between(50, 300)).expect("it is small");
        plan.push(Step { fault, after, lasts: Duration::from_millis(dice.between(6_000, 10_000)) });
    }
    plan
}
