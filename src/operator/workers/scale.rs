//! How many workers a pool should have, and how it gets there without ending one that works. Pure.
//!
//! Up at once. Down in steps, each of which follows from what is seen: once fewer were wanted for the whole delay, idle
//! workers are retired; those whose pods are seen NotReady are the ones that a ReplicaSet takes first, so by their
//! number replicas fall; whoever is retired and survives is recalled.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::conductor::Demand;
use crate::crd::pool::Pool;
use crate::model::time::later;

/// What is seen of a pool's workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Replicas that the Deployment is asked for; none when there is no Deployment.
    pub asked: Option<u32>,
    /// Is the Deployment at rest: as many pods as were asked for, all of its newest template?
    pub rests: bool,
    /// Pods that are not about to go.
    pub pods: u32,
    /// Those of them that are not ready, and no worker in them holds a job or may claim one.
    pub idle: u32,
    /// Those that are not ready although their worker holds a job: a ReplicaSet would take them first.
    pub busy_unready: u32,
    /// Workers that are told to claim nothing.
    pub retired: u32,
}

/// What to tell the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// All may claim.
    Recall,
    /// So many idle ones should not.
    Retire(u32),
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// So many replicas.
    pub replicas: u32,
    /// In this order.
    pub tell: Vec<Tell>,
    /// Look again then, whatever happens before.
    pub again: Option<Timestamp>,
}

/// Between two looks at workers that are on their way out.
const LOOK: Duration = Duration::from_secs(2);

/// The workers that these tasks ask for.
pub fn wanted(pool: &Pool, demand: Demand) -> u32 {
    if let Some(manual) = pool.replicas {
        return manual;
    }
    let slots = usize::try_from(pool.slots_per_worker.max(1)).unwrap_or(usize::MAX);
    let workers = u32::try_from(demand.total().div_ceil(slots)).unwrap_or(u32::MAX);
    workers.min(pool.max_replicas).max(pool.min_replicas)
}

/// The most workers that were wanted within the last while: what is kept.
#[derive(Clone, Debug, Default)]
pub struct Peak {
    began: Option<Timestamp>,
    /// Falling numbers, each with the last moment at which it was wanted.
    steps: VecDeque<(Timestamp, u32)>,
}

impl Peak {
    /// Notes what is wanted now; gives what was wanted at most within `delay`, and when that may fall. Nothing is known
    /// of the time before the first note, so until `delay` has passed since then nothing may fall: None.
    pub fn note(&mut self, now: Timestamp, wanted: u32, delay: Duration) -> (Option<u32>, Option<Timestamp>) {
        let began = *self.began.get_or_insert(now);
        // What was wanted last was wanted until now.
        if let Some((last, _)) = self.steps.back_mut() {
            *last = now;
        }
        while self.steps.back().is_some_and(|(_, number)| *number <= wanted) {
            self.steps.pop_back();
        }
        self.steps.push_back((now, wanted));
        while self.steps.len() > 1 && self.steps.front().is_some_and(|(last, _)| later(*last, delay) <= now) {
            self.steps.pop_front();
        }
        if later(began, delay) > now {
            return (None, Some(later(began, delay)));
        }
        let falls =
            if self.steps.len() > 1 { self.steps.front().map(|(last, _)| later(*last, delay)) } else { None };
        (self.steps.front().map(|(_, number)| *number), falls)
    }
}

/// The next step towards `wanted` workers. `peak` bounds the way down; None: not yet.
pub fn step(seen: Seen, wanted: u32, peak: Option<u32>, now: Timestamp) -> Step {
    let Some(asked) = seen.asked else { return Step { replicas: wanted, ..Step::default() } };
    let recall = || if seen.retired > 0 { vec![Tell::Recall] } else { Vec::new() };
    if wanted > asked {
        return Step { replicas: wanted, tell: recall(), again: None };
    }
    let target = peak.unwrap_or(asked).max(wanted);
    if target >= asked {
        // Who was retired for a step down that is under way is about to go: it is recalled once the pods have settled.
        let tell = if seen.rests { recall() } else { Vec::new() };
        let again = (!seen.rests && seen.retired > 0).then(|| later(now, LOOK));
        return Step { replicas: asked, tell, again };
    }
    down(seen, asked, target, now)
}

fn down(seen: Seen, asked: u32, target: u32, now: Timestamp) -> Step {
    let again = Some(later(now, LOOK));
    let surplus = asked - target;
    // While two templates are about, nobody knows which pods would go; when all are idle it does not matter.
    let all_idle = seen.idle >= seen.pods;
    if !seen.rests && !all_idle {
        return Step { replicas: asked, tell: Vec::new(), again };
    }
    let tell = match seen.retired {
        retired if retired > surplus => vec![Tell::Recall, Tell::Retire(surplus)],
        retired if retired < surplus && !all_idle => vec![Tell::Retire(surplus)],
        _ => Vec::new(),
    };
    if seen.busy_unready > 0 {
        return Step { replicas: asked, tell, again };
    }
    // Pods that were never made can go as well.
    let free = seen.idle + asked.saturating_sub(seen.pods);
    Step { replicas: asked - free.min(surplus), tell, again }
}
