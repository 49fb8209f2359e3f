//! How large a pool should be now: the demand, the roster and the pods in one look, and what workers are told.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::time::{between, later};
use crate::operator::Trouble;
use crate::operator::api::ObjectName;
use crate::operator::workers::{
    Kit, acts,
    deployments::Live,
    desired::Subject,
    look::QUEUE_AGAIN,
    pods::{self, Problem, Sight},
    scale::{self, Seen, Step, Tell},
    status::Numbers,
};
use crate::queue::{Member, QueueError};

/// Between two looks for a way down.
const DOWN_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at pods that do not get ready: at first so long, ...
const PODS_FIRST: Duration = Duration::from_secs(2);
/// ... and never longer than this.
const PODS_LATEST: Duration = Duration::from_secs(60);

/// What comes of it.
pub(super) struct Plan {
    pub(super) replicas: u32,
    pub(super) numbers: Numbers,
    /// Why workers do not start, if there is a reason.
    pub(super) problem: Option<Problem>,
    pub(super) again: Option<Timestamp>,
    /// What the workers are told once the Deployment is as it should be.
    afterwards: Vec<Tell>,
}

/// Decides. Workers that may go on are told so at once, whatever the API server does.
pub(super) async fn plan(
    kit: &Kit,
    name: &ObjectName,
    of: Subject<'_>,
    live: Option<&Live>,
) -> Result<Plan, Trouble> {
    let (key, spec, now) = (of.key(), &of.pool.spec, kit.clock.now());
    let demand = kit.demands.borrow().get(&key).copied().unwrap_or_default();
    let wanted = scale::wanted(spec, demand);
    let (peak, falls) = match spec.replicas {
        Some(manual) => (Some(manual), None),
        None => kit.note_peak(name, now, wanted, spec.scale_down_delay),
    };
    let asked = live.map(|live| live.asked);
    let falls_to = peak.map(|peak| peak.max(wanted));
    let falling = asked.is_some_and(|asked| falls_to.is_some_and(|target| target < asked));
    let (down, next_down) = if falling { kit.way_down_due(name, now) } else { (false, None) };
    let starting = live.is_some_and(|live| live.ready < wanted.min(live.asked));
    let (look_at_pods, next_pods) = kit.pods_due(name, now, starting);
    let (members, queue_failed) = members(kit, name, &key, down).await;
    let sight = if down || look_at_pods { Some(acts::pods(kit, name, &members).await?) } else { None };
    let problem = kit.keep_problem(name, now, starting, (sight.as_ref(), live));
    let step = match asked {
        // It was looked for a moment ago; whoever is retired stays so.
        Some(replicas) if falling && !down => Step { replicas, ..Step::default() },
        _ => {
            let seen = seen(live, sight.unwrap_or_default(), &members);
            scale::step(seen, wanted, peak.filter(|_| !queue_failed), now)
        }
    };
    let at_once = step.tell == [Tell::Recall];
    let told = !at_once || tell(kit, name, &key, &step.tell).await;
    let afterwards = if at_once { Vec::new() } else { step.tell };
    let retry = (queue_failed || !told).then(|| later(now, QUEUE_AGAIN));
    let again = [step.again, falls, next_pods, next_down, retry].into_iter().flatten().min();
    Ok(Plan { replicas: step.replicas, numbers: Numbers { wanted, demand }, problem, again, afterwards })
}

/// The Deployment is as planned, so whoever is to go is told; gives when to look again.
pub(super) async fn afterwards(kit: &Kit, name: &ObjectName, key: &str, plan: &Plan) -> Option<Timestamp> {
    let told = tell(kit, name, key, &plan.afterwards).await;
    let retry = (!told).then(|| later(kit.clock.now(), QUEUE_AGAIN));
    [plan.again, retry].into_iter().flatten().min()
}

/// Does a worker of the pool hold a job? When nobody knows, it may. One that this Relay does not hear of does not count,
/// or a pool whose workers are all of that kind would keep them for ever.
pub(super) async fn is_busy(kit: &Kit, key: &str) -> bool {
    if kit.demands.borrow().get(key).is_some_and(|demand| demand.running > 0) {
        return true;
    }
    let members = kit.roster.members(key).await;
    members.map_or(true, |members| members.iter().any(|member| member.held > 0))
}

fn seen(live: Option<&Live>, sight: Sight, members: &[Member]) -> Seen {
    let retired = members.iter().filter(|member| member.retired).count();
    Seen {
        asked: live.map(|live| live.asked),
        rests: live.is_some_and(Live::rests),
        pods: sight.pods,
        idle: sight.idle,
        busy_unready: sight.busy_unready,
        retired: u32::try_from(retired).unwrap_or(u32::MAX),
    }
}

/// Who works for the pool; asked only when it matters. True: nobody knows.
async fn members(kit: &Kit, name: &ObjectName, key: &str, down: bool) -> (Vec<Member>, bool) {
    let retired = kit.memories().get(name).is_none_or(|memory| memory.retired);
    if !down && !retired {
        return (Vec::new(), false);
    }
    match kit.roster.members(key).await {
        Ok(members) => {
            kit.remember_retired(name, members.iter().any(|member| member.retired));
            (members, false)
        }
        Err(error) => {
            failed(name, "who works for it is not known", &error);
            (Vec::new(), true)
        }
    }
}

/// Tells the workers; false when not all of it was heard.
async fn tell(kit: &Kit, name: &ObjectName, key: &str, words: &[Tell]) -> bool {
    for tell in words {
        let told = match tell {
            Tell::Recall => kit.roster.recall(key).await.map(|()| false),
            Tell::Retire(most) => {
                let most = usize::try_from(*most).unwrap_or(usize::MAX);
                kit.roster.retire(key, most).await.map(|retired| retired > 0)
            }
        };
        match told {
            Ok(retired) => kit.remember_retired(name, retired),
            Err(error) => {
                kit.remember_retired(name, true);
                failed(name, "its workers could not be told", &error);
                return false;
            }
        }
    }
    true
}

fn failed(name: &ObjectName, what: &str, error: &QueueError) {
    tracing::warn!(pool = %name, error.label = error.label(), "A pool cannot be scaled at the moment, for {what}: {error}");
}

impl Kit {
    fn note_peak(
        &self,
        name: &ObjectName,
        now: Timestamp,
        wanted: u32,
        delay: Duration,
    ) -> (Option<u32>, Option<Timestamp>) {
        let mut memories = self.memories();
        memories.entry(name.clone()).or_default().peak.note(now, wanted, delay)
    }

    /// Is it time to look for a way down? Under load the demand changes all the time, and each look asks for all pods.
    fn way_down_due(&self, name: &ObjectName, now: Timestamp) -> (bool, Option<Timestamp>) {
        let mut memories = self.memories();
        let Some(memory) = memories.get_mut(name) else { return (false, None) };
        match memory.sought.map(|last| later(last, DOWN_EVERY)) {
            Some(next) if next > now => (false, Some(next)),
            _ => {
                memory.sought = Some(now);
                (true, None)
            }
        }
    }

    fn remember_retired(&self, name: &ObjectName, retired: bool) {
        if let Some(memory) = self.memories().get_mut(name) {
            memory.retired = retired;
        }
    }

    /// Is it time to look at the pods of a pool whose workers are awaited, and if not, when is it? The longer they are
    /// awaited, the rarer.
    fn pods_due(&self, name: &ObjectName, now: Timestamp, starting: bool) -> (bool, Option<Timestamp>) {
        let mut memories = self.memories();
        let Some(memory) = memories.get_mut(name) else { return (false, None) };
        if !starting {
            (memory.starting, memory.pods) = (None, None);
            return (false, None);
        }
        let since = between(*memory.starting.get_or_insert(now), now);
        let wait = (since / 4).clamp(PODS_FIRST, PODS_LATEST);
        match &memory.pods {
            Some((last, _)) if later(*last, wait) > now => (false, Some(later(*last, wait))),
            _ => (true, Some(later(now, wait))),
        }
    }

    /// What is wrong with the pods, as far as is known.
    fn keep_problem(
        &self,
        name: &ObjectName,
        now: Timestamp,
        starting: bool,
        (sight, live): (Option<&Sight>, Option<&Live>),
    ) -> Option<Problem> {
        if !starting {
            return None;
        }
        let refused = live.and_then(|live| live.failure.clone()).map(|why| Problem {
            stalls: true,
            reason: "PodsRefused",
            message: format!("pods of workers cannot be made: {why}"),
        });
        let mut memories = self.memories();
        let memory = memories.get_mut(name)?;
        if let Some(sight) = sight {
            // A Secret that somebody removed is made again.
            if sight.problem.as_ref().is_some_and(|problem| problem.reason == pods::CONFIG) {
                memory.secret = None;
            }
            memory.pods = Some((now, sight.problem.clone()));
        }
        refused.or_else(|| memory.pods.as_ref().and_then(|(_, problem)| problem.clone()))
    }
}
