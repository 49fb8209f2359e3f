//! The parts of one process: none of them is missed for long, for the end of one is the end of all.

use std::{fmt, time::Duration};

use anyhow::anyhow;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// A part of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Answers probes.
    Probes,
    /// Answers the API.
    Api,
    /// Ticks, and looks after the servers.
    Health,
    /// Says that this process is there, and hears who else is.
    Roll,
    /// Owns live runs.
    Conductor,
    /// Carries log lines from workers to the store.
    LogPump,
    /// Makes room in the store, and removes what is too old.
    Upkeep,
    /// Keeps the workers of the cluster's pools.
    Pools,
    /// Watches the cluster's Workflows and Runs.
    Watches,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Probes => "the probes",
            Part::Api => "the API",
            Part::Health => "the health checks",
            Part::Roll => "the roll",
            Part::Conductor => "the conductor",
            Part::LogPump => "the log pump",
            Part::Upkeep => "the store's upkeep",
            Part::Pools => "the keeper of pools",
            Part::Watches => "the watches",
        })
    }
}

/// The stages of an end in order: what is told to stop at each, and before the next.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    /// The watches: nothing new comes in.
    pub watching: CancellationToken,
    /// The conductor: it gives its shards up.
    pub conducting: CancellationToken,
    /// The rest.
    pub serving: CancellationToken,
}

/// Longest wait for the watches to end.
const WATCHES_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for the conductor to end; a commit may be under way.
const CONDUCTOR_WITHIN: Duration = Duration::from_secs(12);
/// Longest wait for the roll; a word may be under way.
const ROLL_WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for the rest.
const REST_WITHIN: Duration = Duration::from_secs(5);

type Outcome = anyhow::Result<()>;

/// The parts that work.
#[derive(Default)]
pub struct Crew {
    parts: JoinSet<(Part, Outcome)>,
    working: Vec<Part>,
}

impl Crew {
    /// Lets a part work. It ends by itself only when something is wrong, or when its stage has come.
    pub fn start(&mut self, part: Part, work: impl Future<Output = Outcome> + Send + 'static) {
        self.working.push(part);
        self.parts.spawn(async move { (part, work.await) });
    }

    /// The next part that ends, and how; waits for ever when there is none.
    pub async fn next_end(&mut self) -> anyhow::Error {
        match self.parts.join_next().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits for the end of the roll, which was told to stop.
    pub async fn end_of_the_roll(&mut self) {
        self.wait_for(&[Part::Roll], ROLL_WITHIN).await;
    }

    fn note(&mut self, ended: Result<(Part, Outcome), JoinError>) -> anyhow::Error {
        match ended {
            Ok((part, outcome)) => {
                if let Some(place) = self.working.iter().position(|p| *p == part) {
                    self.working.swap_remove(place);
                }
                match outcome {
                    Ok(()) => anyhow!("{part} ended, which nobody asked for"),
                    Err(error) => error.context(format!("{part} ended")),
                }
            }
            // Which part it was is in the panic's own message.
            Err(error) => anyhow!("a part of the operator died: {error}"),
        }
    }

    /// Ends everything in order: what brings work, then who does it, then the rest.
    pub async fn end(mut self, stages: &Stages) {
        stages.watching.cancel();
        self.wait_for(&[Part::Watches, Part::Pools], WATCHES_WITHIN).await;
        stages.conducting.cancel();
        self.wait_for(&[Part::Conductor, Part::Upkeep], CONDUCTOR_WITHIN).await;
        stages.serving.cancel();
        self.wait_for(&[Part::LogPump, Part::Api, Part::Probes, Part::Health, Part::Roll], REST_WITHIN).await;
        self.parts.shutdown().await;
    }

    async fn wait_for(&mut self, parts: &[Part], bound: Duration) {
        let gone = async {
            while self.working.iter().any(|part| parts.contains(part)) {
                match self.parts.join_next().await {
                    Some(Ok((part, Err(error)))) => {
                        self.working.retain(|p| *p != part);
                        tracing::warn!("While ending, {part} failed: {error:#}");
                    }
                    Some(Ok((part, Ok(())))) => self.working.retain(|p| *p != part),
                    Some(Err(error)) => tracing::error!(%error, "While ending, a part of the operator died"),
                    None => self.working.clear(),
                }
            }
        };
        if tokio::time::timeout(bound, gone).await.is_err() {
            let late: Vec<String> =
                self.working.iter().filter(|p| parts.contains(p)).map(Part::to_string).collect();
            tracing::warn!("{} did not end within {} s and is left", late.join(", "), bound.as_secs());
        }
    }
}

/// A term: what leads some shards, begun and ended together.
#[derive(Default)]
pub struct Term {
    /// Its parts.
    pub crew: Crew,
    /// What of it ends when.
    pub stages: Stages,
}

/// The parts of the process, and those of its term while it leads.
#[derive(Default)]
pub struct Crews {
    /// What lives as long as the process.
    pub house: Crew,
    term: Option<Term>,
}

impl Crews {
    /// Does something while the parts work: the end of one of them is the end of that too.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let Crews { house, term } = self;
        let of_the_term = async {
            match term {
                Some(term) => term.crew.next_end().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            error = of_the_term => Err(error),
            error = house.next_end() => Err(error),
            done = work => done,
        }
    }

    /// A term has begun.
    pub fn begin(&mut self, term: Term) {
        self.term = Some(term);
    }

    /// Ends the term in order, if there is one.
    pub async fn end_term(&mut self) {
        if let Some(Term { crew, stages }) = self.term.take() {
            crew.end(&stages).await;
        }
    }

    /// Ends everything in order: the term first.
    pub async fn end(mut self, stages: &Stages) {
        self.end_term().await;
        self.house.end(stages).await;
    }
}
