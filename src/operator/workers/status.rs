//! What is said of a pool on its object. Pure.

use jiff::Timestamp;

use crate::conductor::Demand;
use crate::crd::status::{Fitted as _, WorkerPoolStatus};
use crate::operator::conditions::{self, Standing};
use crate::operator::events::Told;
use crate::operator::workers::{deployments::Live, desired::POOL_LABEL, pods::Problem};

/// How a pool stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Can it take tasks, now or as soon as there are some?
    pub ready: bool,
    /// Is it on its way?
    pub reconciling: bool,
    /// Must somebody mend it?
    pub stalled: bool,
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl Verdict {
    /// Somebody must mend it.
    pub fn stalled(reason: &'static str, message: String) -> Verdict {
        Verdict { ready: false, reconciling: false, stalled: true, reason, message }
    }

    /// It goes on by itself.
    pub fn waits(reason: &'static str, message: String) -> Verdict {
        Verdict { ready: false, reconciling: true, stalled: false, reason, message }
    }

    /// A name that the pool needs belongs to something else, or to an object of this uid.
    pub fn name_taken(what: &str, owner: Option<&str>) -> Verdict {
        match owner {
            Some(owner) => Verdict::waits(
                "NameTaken",
                format!(
                    "the {what} belongs to another object (uid {owner}), such as a deleted pool of this name; it must \
                     go first"
                ),
            ),
            None => Verdict::stalled(
                "NameTaken",
                format!("there is a {what} that is not of this pool; delete it, or call the pool otherwise"),
            ),
        }
    }

    /// The operator makes no users, and whoever does has not made this Secret.
    pub fn external_missing(secret: &str, user: &str, pool: &str) -> Verdict {
        Verdict::stalled(
            "RedisSecretMissing",
            format!(
                "there is no Secret {secret}: the operator runs with redis.acl External, so somebody else makes the user {user} in \
                 Redis (`relay redis-user {pool}` prints the command), and this Secret with the URL to log in by under the key url"
            ),
        )
    }

    /// What it is for a pool whose workers of before go on as this says.
    pub fn beside(self, going_on: &Verdict) -> Verdict {
        let message =
            format!("{}; until then the workers of before go on: {}", self.message, going_on.message);
        Verdict { ready: going_on.ready, message, ..self }
    }

    /// With a sentence more.
    pub fn and(mut self, more: &str) -> Verdict {
        self.message = format!("{}; {more}", self.message);
        self
    }

    /// It can take tasks.
    fn serves(reason: &'static str, message: String, reconciling: bool) -> Verdict {
        Verdict { ready: true, reconciling, stalled: false, reason, message }
    }
}

/// How a pool stands whose Deployment is as it should be: asked for so many replicas (by hand, if it is), of which so
/// many are wanted.
pub fn verdict(
    live: &Live,
    (replicas, by_hand): (u32, Option<u32>),
    wanted: u32,
    problem: Option<&Problem>,
) -> Verdict {
    let (ready, needed) = (live.ready, wanted.min(replicas));
    if let Some(problem) = problem.filter(|_| ready < needed) {
        let message = match ready {
            0 => problem.message.clone(),
            _ => format!("{ready} of {needed} workers are ready; {}", problem.message),
        };
        let (reconciling, stalled) = (!problem.stalls, problem.stalls);
        return Verdict {
            ready: ready > 0 && !stalled,
            reconciling,
            stalled,
            reason: problem.reason,
            message,
        };
    }
    match (replicas, wanted, ready) {
        (0, ..) if by_hand == Some(0) => Verdict {
            ready: false,
            reconciling: false,
            stalled: false,
            reason: "NoReplicas",
            message: "spec.replicas is 0, so no worker runs, and tasks wait until it is raised or taken out"
                .to_owned(),
        },
        (0, ..) => {
            let message = "no worker runs, for there is nothing to do; the first task starts one";
            Verdict::serves("ScaledToZero", message.to_owned(), false)
        }
        (_, 0, _) => Verdict::serves("Idle", format!("{ready} workers are ready, with nothing to do"), false),
        (.., 0) => Verdict::waits("WorkersStarting", format!("none of {needed} workers is ready yet")),
        _ => {
            let message = match ready < needed {
                true => format!("{ready} of {needed} workers are ready"),
                false => format!("{ready} workers are ready"),
            };
            Verdict::serves(
                "WorkersReady",
                message,
                ready < needed || !live.observed || live.updated < replicas,
            )
        }
    }
}

/// Numbers of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The workers that its tasks ask for.
    pub wanted: u32,
    /// Its tasks.
    pub demand: Demand,
}

/// The status of a pool of this generation: `before` is what it says now.
pub fn status(
    (pool, generation): (&str, i64),
    verdict: &Verdict,
    (live, numbers): (Option<&Live>, Option<Numbers>),
    before: &WorkerPoolStatus,
    now: Timestamp,
) -> WorkerPoolStatus {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let standing = Standing {
        reason: verdict.reason.to_owned(),
        message: verdict.message.clone(),
        reconciling: verdict.reconciling,
        stalled: verdict.stalled,
    };
    let conditions = conditions::of_workflow(verdict.ready, &standing, generation, &before.conditions, now);
    WorkerPoolStatus {
        observed_generation: Some(generation),
        replicas: Some(live.map_or(0, |live| live.pods)),
        ready_replicas: Some(live.map_or(0, |live| live.ready)),
        wanted: numbers.map(|numbers| numbers.wanted),
        waiting: numbers.map(|numbers| count(numbers.demand.ready)),
        queued: numbers.map(|numbers| count(numbers.demand.queued)),
        running: numbers.map(|numbers| count(numbers.demand.running)),
        selector: Some(format!("app.kubernetes.io/managed-by=relay,{POOL_LABEL}={pool}")),
        conditions,
    }
    .fitted()
}

/// What happened to a pool between two statuses of it.
pub fn events(before: &WorkerPoolStatus, verdict: &Verdict) -> Vec<Told> {
    let known = |kind: &str| before.conditions.iter().find(|condition| condition.kind == kind);
    let stalled = known("Stalled");
    let news = stalled.is_none_or(|stalled| stalled.reason != verdict.reason);
    if verdict.stalled && news {
        return vec![Told::warning(verdict.reason, "", verdict.message.clone())];
    }
    if !verdict.stalled && stalled.is_some() {
        return vec![Told::normal("Mended", "", verdict.message.clone())];
    }
    Vec::new()
}
