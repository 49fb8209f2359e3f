//! WorkerPools without a cluster: what a pool stands for, how it is scaled, what is said of it.

mod desired;
mod overlay;
mod password;
mod pods;
mod scale;
mod status;

use relay::crd::{PoolObject, pool_of};
use serde_json::{Value, json};

/// A pool with this spec, besides its image.
pub(super) fn pool(spec: Value) -> PoolObject {
    let mut whole = json!({"image": "registry.example/etl:1"});
    for (key, value) in spec.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    let object = json!({
        "apiVersion": "relay.works/v1alpha1", "kind": "WorkerPool",
        "metadata": {"name": "default", "namespace": "data", "uid": "u-1"}, "spec": whole,
    });
    pool_of(&object).unwrap_or_else(|findings| panic!("{findings}"))
}
