//! What goes wrong, when and for how long: a seed says everything.

use std::time::Duration;

use crate::support::dice::Dice;

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
    /// A worker's network is cut: nothing arrives and nothing is refused.
    NetworkCut,
    /// Redis is killed and starts again, with nothing on its disk.
    RedisRestarted,
    /// Redis takes nothing more that needs memory.
    RedisFull,
    /// Redis answers nothing.
    RedisFrozen,
    /// Every connection to Postgres is ended by its administrator.
    BackendsEnded,
    /// Every connection to Postgres is ended, and others take them all.
    PoolFull,
    /// The clocks of the leader and of a worker jump ahead, and back again later.
    ClocksAhead,
    /// They are put back, and right again later.
    ClocksBehind,
    /// The API server answers nothing.
    ApiServerFrozen,
    /// The API server is killed, and starts again.
    ApiServerKilled,
    /// A namespace with a run at work is deleted.
    NamespaceDeleted,
    /// Redis, both operators and a worker are killed together.
    MuchKilled,
    /// Postgres is lost, and a standby that had not heard everything takes its place: the last act of all (standby.rs).
    StandbyPromoted,
}

/// What a fault happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Operators,
    Workers,
    Redis,
    Postgres,
    ApiServer,
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
    pub const ALL: [Fault; 20] = [
        Fault::LeaderKilled,
        Fault::WorkerKilled,
        Fault::RedisEmptied,
        Fault::PostgresRestarted,
        Fault::LeaderFrozen,
        Fault::OperatorsKilled,
        Fault::WorkerDrained,
        Fault::WorkerFrozen,
        Fault::NetworkCut,
        Fault::RedisRestarted,
        Fault::RedisFull,
        Fault::RedisFrozen,
        Fault::BackendsEnded,
        Fault::PoolFull,
        Fault::ClocksAhead,
        Fault::ClocksBehind,
        Fault::ApiServerFrozen,
        Fault::ApiServerKilled,
        Fault::NamespaceDeleted,
        Fault::MuchKilled,
    ];

    /// How errors begin that it may bring into a log.
    pub fn explains(self) -> &'static [&'static str] {
        match self {
            // Postgres may be away for longer than a leadership lasts.
            Fault::LeaderFrozen | Fault::PostgresRestarted | Fault::PoolFull => &[DEPOSED],
            Fault::StandbyPromoted => &[DEPOSED, BEHIND],
            _ => &[],
        }
    }

    fn parts(self) -> &'static [Part] {
        use Part::{ApiServer, Operators, Postgres, Redis, Workers};
        match self {
            Fault::LeaderKilled | Fault::LeaderFrozen | Fault::OperatorsKilled => &[Operators],
            Fault::WorkerKilled | Fault::WorkerDrained | Fault::WorkerFrozen | Fault::NetworkCut => {
                &[Workers]
            }
            Fault::RedisEmptied | Fault::RedisRestarted | Fault::RedisFull | Fault::RedisFrozen => &[Redis],
            Fault::PostgresRestarted | Fault::BackendsEnded | Fault::PoolFull | Fault::StandbyPromoted => {
                &[Postgres]
            }
            Fault::ClocksAhead | Fault::ClocksBehind => &[Operators, Workers],
            Fault::ApiServerFrozen | Fault::ApiServerKilled => &[ApiServer],
            // It waits until its own run is at work, and that it is cancelled: everything must answer.
            Fault::NamespaceDeleted => &[Operators, Workers, Redis, Postgres, ApiServer],
            Fault::MuchKilled => &[Operators, Workers, Redis],
        }
    }

    /// For how long, in seconds: from, and to. None when it is over at once.
    fn time(self) -> Option<(u64, u64)> {
        match self {
            Fault::LeaderFrozen
            | Fault::RedisFull
            | Fault::RedisFrozen
            | Fault::PoolFull
            | Fault::ClocksAhead
            | Fault::ClocksBehind
            | Fault::ApiServerFrozen => Some((6, 10)),
            Fault::ApiServerKilled => Some((1, 3)),
            // A worker counts as lost after 30 s of silence.
            Fault::WorkerFrozen => Some((38, 42)),
            Fault::NetworkCut => Some((5, 40)),
            _ => None,
        }
    }

    /// Does it last until it is undone?
    pub fn lasts(self) -> bool {
        self.time().is_some()
    }

    fn meets(self, other: Fault) -> bool {
        self.parts().iter().any(|part| other.parts().contains(part))
    }
}

/// What a leader says that another one followed.
const DEPOSED: &str = "This operator ends: the conductor ended: another operator leads shard";

/// What a leader says of a store that was set back.
const BEHIND: &str = "The store is behind";

/// A fault, after so many transitions since the one before was survived, for so long if it is one that lasts.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub fault: Fault,
    pub after: i64,
    /// Zero when it is over at once.
    pub lasts: Duration,
    /// What happens in the midst of it, and for how long.
    pub with: Option<(Fault, Duration)>,
}

impl Step {
    /// How long all of it lasts, about.
    pub fn time(&self) -> Duration {
        self.lasts + self.with.map_or(Duration::ZERO, |(_, lasts)| lasts)
    }
}

/// So many of the faults, each once before one comes again, in an order of the seed's own. Of those that last, one in three
/// has another one in its midst when `overlap`, which concerns other parts.
pub fn plan(seed: u64, faults: &[Fault], steps: usize, overlap: bool) -> Vec<Step> {
    let dice = Dice::new(seed);
    let lasts = |fault: Fault| match fault.time() {
        Some((from, to)) => Duration::from_millis(dice.between(1_000 * from, 1_000 * to)),
        None => Duration::ZERO,
    };
    let mut left = Vec::new();
    let mut plan = Vec::new();
    while plan.len() < steps {
        if left.is_empty() {
            left = faults.to_vec();
        }
        let fault = left.remove(dice.below(left.len() as u64) as usize);
        let after = i64::try_from(dice.between(50, 300)).expect("it is small");
        let others: Vec<Fault> = faults.iter().copied().filter(|other| !fault.meets(*other)).collect();
        let lonely = !overlap || fault.time().is_none() || others.is_empty() || dice.below(3) > 0;
        let with = (!lonely).then(|| others[dice.below(others.len() as u64) as usize]);
        plan.push(Step { fault, after, lasts: lasts(fault), with: with.map(|other| (other, lasts(other))) });
    }
    plan
}

#[test]
fn a_seed_says_the_plan_and_faults_that_overlap_meet_in_no_part() {
    for seed in 0..200 {
        let (one, again) = (plan(seed, &Fault::ALL, 12, true), plan(seed, &Fault::ALL, 12, true));
        assert_eq!(format!("{one:?}"), format!("{again:?}"));
        let met = one.iter().find(|step| step.with.is_some_and(|(other, _)| step.fault.meets(other)));
        assert!(met.is_none(), "{met:?}");
    }
}
