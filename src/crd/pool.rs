//! `kind: WorkerPool` as a user writes it. `relay run` checks it and needs none of it: there a pool is the machine.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::shapes::{Duration, FreeObject, annotations_map, free_object, labels_map};

/// Tasks that a worker runs at a time, where a pool does not say.
pub const SLOTS_PER_WORKER: u32 = 4;
/// The most workers of a pool that does not say.
pub const MAX_REPLICAS: u32 = 10;
/// How long workers are kept without need, where a pool does not say.
pub const SCALE_DOWN_DELAY: std::time::Duration = std::time::Duration::from_secs(60);

/// What the workers are made of, and how many there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerPoolSpec {
    /// The image whose programs tasks run. It needs nothing of Relay in it.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Tasks that one worker runs at a time; 4 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub slots_per_worker: Option<u32>,
    /// The fewest workers that are kept, also without tasks; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<u32>,
    /// The most workers that are started, however many tasks wait; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<u32>,
    /// Exactly this many workers: the pool no longer scales by itself, and minReplicas and maxReplicas do not apply.
    /// When absent, Relay scales between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<u32>,
    /// How long workers are kept after they are no longer needed, as 30s or 5m; 60s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_delay: Option<Duration>,
    /// A pod template that is laid over the one of the workers: resources, volumes, node selection and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
}

/// A WorkerPool's spec with its defaults in it, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The image whose programs tasks run.
    pub image: String,
    /// Tasks that one worker runs at a time.
    pub slots_per_worker: u32,
    /// The fewest workers.
    pub min_replicas: u32,
    /// The most workers; not less than the fewest.
    pub max_replicas: u32,
    /// Exactly this many workers, whatever the bounds say: the user scales by hand.
    pub replicas: Option<u32>,
    /// How long workers are kept after they are no longer needed.
    pub scale_down_delay: std::time::Duration,
    /// Laid over the pod template of the workers; empty when absent.
    pub template: PodTemplate,
}

/// A pod template that is laid over the one of the workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// Fields of a pod's spec. Lists whose elements have names are merged by name; the container of the tasks is
    /// called worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    pub spec: Option<FreeObject>,
}

/// Labels and annotations of pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodMetadata {
    /// Labels of the pods, besides those that Relay sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_map")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods, besides those that Relay sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations_map")]
    pub annotations: BTreeMap<String, String>,
}
