//! What the keeper of pools does about objects, with pods and workers as the test wants them.

mod deleted;
mod login;
mod rig;
mod taken;
mod template;

/// A pool called `pool`, with this beside its image.
fn pool(more: &str) -> String {
    format!(
        "apiVersion: relay.works/v1alpha1
kind: WorkerPool
metadata: {{name: pool}}
spec:
  image: busybox:1.36
  slotsPerWorker: 1
  scaleDownDelay: 0s
{more}"
    )
}
