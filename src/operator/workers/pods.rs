//! The pods of a pool: which could go, and why the others do not start. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::queue::Member;

/// What the pods of a pool show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Pods that are not about to go.
    pub pods: u32,
    /// Those that are not ready and whose workers, if any, are all retired.
    pub idle: u32,
    /// Those that are not ready although a worker in them holds a job.
    pub busy_unready: u32,
    /// Why one of them does not start, if one has a reason.
    pub problem: Option<Problem>,
}

/// Why a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Must somebody mend it? Otherwise it may pass by itself.
    pub stalls: bool,
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// The reason of a pod whose Secrets or ConfigMaps are not there.
pub const CONFIG: &str = "ContainerConfigInvalid";

/// Waiting reasons of containers, what they are called here, and whether they pass by themselves.
const WAITING: [(&str, &str, bool); 9] = [
    ("ErrImageNeverPull", "ImageMissing", true),
    ("ErrImagePull", "ImagePullFailed", true),
    ("ImagePullBackOff", "ImagePullFailed", true),
    ("InvalidImageName", "ImageNameInvalid", true),
    ("ImageInspectError", "ImagePullFailed", true),
    ("CreateContainerConfigError", CONFIG, true),
    ("CreateContainerError", "ContainerNotCreated", true),
    ("RunContainerError", "ContainerNotStarted", true),
    ("CrashLoopBackOff", "WorkersCrash", true),
];

/// Looks at the pods of a pool and at who works in them.
pub fn look(pods: &[Pod], members: &[Member]) -> Sight {
    let mut by_pod: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in members {
        // A worker's name is its pod's with a random end.
        let pod = member.worker.rsplit_once('-').map_or(member.worker.as_str(), |(pod, _)| pod);
        by_pod.entry(pod).or_default().push(member);
    }
    let mut sight = Sight::default();
    for pod in pods.iter().filter(|pod| stays(pod)) {
        sight.pods += 1;
        if ready(pod) {
            continue;
        }
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let workers = by_pod.get(name).map_or(&[][..], Vec::as_slice);
        sight.idle += u32::from(workers.iter().all(|member| member.retired));
        sight.busy_unready += u32::from(workers.iter().any(|member| member.held > 0));
        // What somebody must mend says more than what may pass.
        let problem = problem(pod);
        if problem
            .as_ref()
            .is_some_and(|new| sight.problem.as_ref().is_none_or(|old| new.stalls && !old.stalls))
        {
            sight.problem = problem;
        }
    }
    sight
}

/// Is it not about to go, and not at its end?
fn stays(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn problem(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let waiting = containers.into_iter().flatten().flatten().find_map(of_container);
    waiting.or_else(|| {
        let conditions = status.conditions.iter().flatten();
        let mut unscheduled =
            conditions.filter(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("Unschedulable"));
        unscheduled.next().map(|condition| Problem {
            stalls: false,
            reason: "Unschedulable",
            message: format!(
                "no node takes a worker: {}",
                condition.message.as_deref().unwrap_or("no reason is given")
            ),
        })
    })
}

fn of_container(container: &ContainerStatus) -> Option<Problem> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let said = waiting.reason.as_deref()?;
    let (_, reason, stalls) = WAITING.into_iter().find(|(known, ..)| *known == said)?;
    let mut message = format!("container {} of a worker does not start: {said}", container.name);
    if let Some(more) = waiting.message.as_deref() {
        message.push_str(": ");
        message.push_str(more);
    }
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    if let Some(end) = last.filter(|_| said == "CrashLoopBackOff") {
        message.push_str(&format!("; it ended with status {} before", end.exit_code));
        if let Some(words) = end.message.as_deref() {
            message.push_str(": ");
            message.push_str(words);
        }
    }
    Some(Problem { stalls, reason, message })
}
