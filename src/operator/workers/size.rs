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
}

/// Decides, and tells the workers.
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
    let down = asked.is_some_and(|asked| peak.is_some_and(|peak| peak.max(wanted) < asked));
    let starting = live.is_some_and(|live| live.ready < wanted.min(live.asked));
    let (look_at_pods, next_pods) = kit.pods_due(name, now, starting);
    let (members, queue_failed) = members(kit, name, &key, down).await;
    let sight = if down || look_at_pods { Some(acts::pods(kit, name, &members).await?) } else { None };
    let problem = kit.keep_problem(name, now, starting, (sight.as_ref(), live));
    let down = down && !queue_failed;
    let seen = seen(live, sight.unwrap_or_default(), &members);
    let step = scale::step(seen, wanted, peak.filter(|_| down), now);
    let told = tell(kit, name, &key, &step).await;
    let replicas = if told { step.replicas } else { step.replicas.max(asked.unwrap_or(0)) };
    let retry = (queue_failed || !told).then(|| later(now, QUEUE_AGAIN));
    let again = [step.again, falls, next_pods, retry].into_iter().flatten().min();
    Ok(Plan { replicas, numbers: Numbers { wanted, demand }, problem, again })
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
async fn tell(kit: &Kit, name: &ObjectName, key: &str, step: &Step) -> bool {
    for tell in &step.tell {
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
