//! A sound WorkerPool to what its workers are made of, or everything in it that does not make sense.

use crate::crd::convert::bounds;
use crate::crd::duration;
use crate::crd::finding::Remarks;
use crate::crd::pool::{MAX_REPLICAS, Pool, SCALE_DOWN_DELAY, SLOTS_PER_WORKER, WorkerPoolSpec};
use crate::crd::tree::Cursor;

/// Converts `spec`, whose tree is under `at`; remarks tell what is wrong.
pub(in crate::crd) fn pool(spec: WorkerPoolSpec, at: &Cursor<'_>, remarks: &mut Remarks) -> Pool {
    let min_replicas = spec.min_replicas.unwrap_or(0);
    let max_replicas = spec.max_replicas.unwrap_or(MAX_REPLICAS);
    if min_replicas > max_replicas && !at.lost("maxReplicas") {
        let most = match spec.max_replicas {
            Some(most) => format!("maxReplicas, {most}"),
            None => format!("maxReplicas, which is {MAX_REPLICAS} when absent"),
        };
        let fix = format!("set maxReplicas to {min_replicas} or more");
        remarks.at(&at.field("minReplicas"), format!("{min_replicas} is more than {most}"), Some(fix));
    }
    let delay = spec.scale_down_delay.as_ref();
    let delay_at = at.field("scaleDownDelay");
    let delay = delay.and_then(|text| bounds::wait(text, &delay_at, duration::LONGEST, remarks));
    Pool {
        image: spec.image,
        slots_per_worker: spec.slots_per_worker.unwrap_or(SLOTS_PER_WORKER),
        min_replicas,
        max_replicas,
        replicas: spec.replicas,
        scale_down_delay: delay.unwrap_or(SCALE_DOWN_DELAY),
        template: spec.template.unwrap_or_default(),
    }
}
