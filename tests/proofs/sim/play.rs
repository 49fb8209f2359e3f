//! One simulation from its first moment to its last, and what is to be said of it.

use std::{sync::Arc, time::Duration};

use relay::{clock::Clock, conductor::Limits, model::ids::RunId};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    cast::Cast,
    faults::{CrashAt, Fault, Rates},
    oracle,
    people::People,
    rows::Counts,
    trace::Listener,
    workload,
    world::{Mutation, Settings, Shared, pass},
};
use crate::support::dice::Dice;
use crate::support::jobs::second;

/// After the last fault everything must be over within so much of the manual clock: a wide forEach through a window of
/// one job, over a slow line, takes hours.
const QUIET_WITHIN: Duration = Duration::from_secs(20_000);

/// What came of a simulation.
pub struct Outcome {
    pub seed: u64,
    /// What must never be, and was.
    pub wrong: Vec<String>,
    pub trace: Vec<String>,
    /// Calls that conductors made to the store and the queue.
    pub calls: u64,
    /// What went wrong by itself, and how often.
    pub counts: Counts,
}

impl Settings {
    /// What a seed says.
    pub fn of(seed: u64) -> Settings {
        let dice = Dice::new(seed ^ 0x5e77);
        let rates = dice.pick(&[
            Rates::default(),
            Rates { slow: 20, fails: 10, dies: 2, lost: 5, again: 5 },
            Rates { slow: 60, fails: 60, dies: 0, lost: 20, again: 20 },
            Rates { slow: 10, fails: 20, dies: 25, lost: 10, again: 10 },
            Rates { slow: 0, fails: 200, dies: 10, lost: 50, again: 50 },
        ]);
        let redis = dice.chance(700);
        Settings {
            seed,
            rates,
            chaos: dice.chance(700),
            latency: dice.pick(&[0, 0, 5, 80]),
            conductors: dice.between(1, 2),
            workers: dice.between(1, 4),
            runs: dice.between(1, 5),
            faults_for: Duration::from_secs(dice.between(20, 150)),
            limits: None,
            crash_at: None,
            mutation: None,
            redis,
            gentle: redis && dice.chance(250),
            split: dice.chance(400),
        }
    }

    /// Nothing goes wrong by itself.
    pub fn still() -> Settings {
        Settings {
            limits: Some(Limits::default()),
            crash_at: None,
            runs: 0,
            redis: false,
            ..Settings::crash(0, CrashAt { call: 0, what: Fault::None })
        }
    }

    /// A small simulation in which nothing goes wrong but one crash.
    pub fn crash(seed: u64, crash_at: CrashAt) -> Settings {
        Settings {
            rates: Rates::default(),
            chaos: false,
            latency: 0,
            conductors: 1,
            workers: 1,
            runs: 1,
            faults_for: Duration::from_secs(1),
            crash_at: Some(crash_at),
            gentle: false,
            split: false,
            ..Settings::of(seed)
        }
    }

    /// With a defect, where it can show.
    pub fn with(self, mutation: Mutation) -> Settings {
        let of_redis =
            [Mutation::NoAnnouncing, Mutation::TellsNothing, Mutation::KeepsNothing, Mutation::AnyLife];
        let gentle = of_redis.contains(&mutation);
        let redis = self.redis || of_redis.contains(&mutation);
        Settings { mutation: Some(mutation), redis, gentle: self.gentle || gentle, ..self }
    }
}

/// Plays it, on one thread and on its own clock.
pub fn play(settings: Settings) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let clock = Clock::manual(second(0));
        let load = workload::load(settings.seed, settings.runs, settings.split, clock.now());
        let of_run =
            |planned: &workload::Planned| (planned.submission.run.id.clone(), planned.submission.run.shard());
        let shards = load.runs.iter().map(of_run).collect();
        let shared = Shared::new(settings, clock, load.workflows, shards);
        let _listening = tracing::subscriber::set_default(
            tracing_subscriber::registry().with(Listener(shared.trace.clone())),
        );
        perform(shared.clone(), load.runs).await;
        shared.part();
        let (trace, counts) = (shared.trace.lines(), shared.counts());
        Outcome {
            counts,
            seed: shared.settings.seed,
            wrong: shared.trace.found(),
            trace,
            calls: shared.calls(),
        }
    })
}

async fn perform(shared: Arc<Shared>, planned: Vec<workload::Planned>) {
    let runs: Vec<RunId> = planned.iter().map(|p| p.submission.run.id.clone()).collect();
    let people = People::new(shared.clone(), runs.clone());
    let cast = Cast::new(shared.clone());
    // One more than there are parts, so that somebody can take over.
    let conductors = if shared.settings.split { 3 } else { shared.settings.conductors };
    for seat in 0..conductors {
        shared.later(cast.clone().conductors(seat));
    }
    for seat in 0..cast.seats() {
        shared.later(cast.clone().worker_seat(seat));
    }
    for planned in planned {
        shared.later(people.clone().follow(planned));
    }
    shared.later(people.clone().approve());
    if shared.settings.chaos {
        shared.later(cast.clone().chaos());
    }
    pass(shared.settings.faults_for).await;
    shared.end_faults();
    if tokio::time::timeout(QUIET_WITHIN, quiet(&shared, &people)).await.is_err() {
        tell_what_is_open(&shared, &people).await;
    }
    people.over.cancel();
    cast.end();
    if tokio::time::timeout(QUIET_WITHIN, shared.join()).await.is_err() {
        shared.trace.wrong("not everybody ended when told to".to_owned());
    }
    oracle::judge(&shared, &runs).await;
}

/// Jobs that the queue holds of runs that should have ended.
async fn in_queue(shared: &Shared) -> Vec<String> {
    if shared.settings.redis {
        let jobs = shared.redis.jobs().into_iter().filter(|job| !shared.is_poisoned(&job.task_run.run));
        return jobs.map(|job| job.to_string()).collect();
    }
    let Ok(census) = shared.server.census(&shared.newest_epochs(), shared.clock.now()).await else {
        return Vec::new();
    };
    let places = census.pending.into_iter().chain(census.leases.into_iter().map(|lease| lease.place));
    let jobs = places.map(|placed| placed.job);
    jobs.filter(|job| !shared.is_poisoned(&job.task_run.run)).map(|job| job.to_string()).collect()
}

fn open_runs<'a>(shared: &'a Shared, people: &'a People) -> impl Iterator<Item = &'a RunId> {
    let open = |run: &&RunId| {
        let ended = shared.rows().get(*run).is_some_and(|seen| seen.status.is_final());
        !ended && !shared.is_poisoned(run)
    };
    people.runs.iter().filter(open)
}

async fn quiet(shared: &Shared, people: &People) {
    loop {
        pass(Duration::from_secs(1)).await;
        let done = people.are_content() && open_runs(shared, people).next().is_none();
        if done && in_queue(shared).await.is_empty() {
            return;
        }
    }
}

async fn tell_what_is_open(shared: &Shared, people: &People) {
    for run in open_runs(shared, people) {
        let rows = shared.record(run).map(|record| record.tasks).unwrap_or_default();
        let open = rows.iter().filter(|row| !row.status.is_final());
        let open: Vec<String> = open.map(|r| format!("{:?} {}#{}", r.key, r.status, r.attempt)).collect();
        shared.trace.wrong(format!("{run} did not end: {}", open.join(", ")));
    }
    for job in in_queue(shared).await {
        shared.trace.wrong(format!("{job} is still in the queue"));
    }
    if !people.are_content() {
        shared.trace.wrong("somebody waits for an answer".to_owned());
    }
}
