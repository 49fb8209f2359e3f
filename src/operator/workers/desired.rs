//! What a WorkerPool stands for in its namespace: a Deployment and a Secret. Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::crd::PoolObject;
use crate::operator::workers::overlay::{imposed, laid_over};

/// Labels of everything that belongs to a pool, besides the pool's own.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=relay,app.kubernetes.io/name=relay-worker";
/// The label with the pool's name.
pub const POOL_LABEL: &str = "relay.works/pool";
/// The container that runs the tasks.
pub const CONTAINER: &str = "worker";

/// The annotation that makes pods follow their credentials.
const CREDENTIALS: &str = "relay.works/credentials";
/// The annotation that tells what a Deployment was asked to be: by the pool and by its credentials.
const ASKED: &str = "relay.works/asked";
/// The annotation that tells what became of it: the whole template, as this Relay makes it.
const TEMPLATE: &str = "relay.works/template";
/// Where pods find Relay's program, its folders and the file of readiness.
const SHARE: &str = "/relay";
/// How long a pod may drain, unless its template says otherwise, in seconds.
const GRACE: u64 = 3_600;
/// What of it is left to say good-bye, in seconds.
const FAREWELL: u64 = 10;
/// The user of workers, unless their template says otherwise.
const USER: u32 = 65_532;

/// What is the same for every pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image of Relay, which pods get its program from.
    pub image: String,
    /// What keys in Redis begin with.
    pub redis_prefix: String,
}

/// A pool, and whom it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// As the API server has it.
    pub pool: &'a PoolObject,
    /// Its UID.
    pub uid: &'a str,
}

impl Subject<'_> {
    /// `<namespace>/<pool>`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.pool.namespace, self.pool.name)
    }

    fn metadata(&self, name: String) -> Value {
        json!({
            "name": name,
            "namespace": self.pool.namespace,
            "labels": self.labels(),
            "ownerReferences": [{
                "apiVersion": "relay.works/v1alpha1",
                "kind": "WorkerPool",
                "name": self.pool.name,
                "uid": self.uid,
                "controller": true,
            }],
        })
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "relay-worker",
            "app.kubernetes.io/instance": self.pool.name,
            "app.kubernetes.io/component": "worker",
            "app.kubernetes.io/part-of": "relay",
            "app.kubernetes.io/managed-by": "relay",
            POOL_LABEL: self.pool.name,
        })
    }
}

/// How workers of a pool log in to Redis.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The URL that the operator writes into the pool's Secret; none: somebody else makes another Secret.
    pub url: Option<&'a str>,
    /// The authorities that the certificate of Redis may be of, as PEM.
    pub ca: Option<&'a str>,
}

impl Login<'_> {
    /// The Secret with the URL for the workers of this pool.
    fn secret(&self, pool: &str) -> String {
        if self.url.is_some() { secret_name(pool) } else { external_secret_name(pool) }
    }

    /// What changes when the pods are to be made anew.
    fn fingerprint(&self) -> String {
        let ca = self.ca.map(|ca| format!("\n{ca}")).unwrap_or_default();
        fingerprint(&format!("{}{ca}", self.url.unwrap_or_default()))
    }
}

/// The name of a pool's Deployment.
pub fn deployment_name(pool: &str) -> String {
    format!("relay-{pool}")
}

/// The name of a pool's Secret.
pub fn secret_name(pool: &str) -> String {
    format!("relay-{pool}-redis")
}

/// The name of the Secret that somebody else makes for a pool, where the operator makes no users: the URL under `url`.
pub fn external_secret_name(pool: &str) -> String {
    format!("relay-{pool}-redis-external")
}

/// The Secret with the URL by which workers reach Redis.
pub fn secret(of: Subject<'_>, url: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": of.metadata(secret_name(&of.pool.name)),
        "type": "Opaque",
        "data": {"url": ByteString(url.as_bytes().to_vec())},
    })
}

/// What a change of the text changes, without telling the text.
pub fn fingerprint(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What a Deployment was made of, by its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    asked: Option<String>,
    template: Option<String>,
}

impl Made {
    /// As the annotations of a Deployment say it.
    pub fn of(annotations: &BTreeMap<String, String>) -> Made {
        let told = |key: &str| annotations.get(key).cloned();
        Made { asked: told(ASKED), template: told(TEMPLATE) }
    }

    /// Was the Deployment asked to be the same as this one, and became another because another Relay made it?
    pub fn differs_by_relay_alone(&self, wanted: &Value) -> bool {
        let told = |key: &str| wanted["metadata"]["annotations"][key].as_str();
        self.asked.is_some()
            && self.asked.as_deref() == told(ASKED)
            && self.template.as_deref() != told(TEMPLATE)
    }
}

/// The Deployment with so many workers.
pub fn deployment(of: Subject<'_>, settings: &Settings, login: Login<'_>, replicas: u32) -> Value {
    let template = template(of, settings, login);
    let spec = &of.pool.spec;
    let mut asked = vec![
        json!(spec.image),
        json!(spec.slots_per_worker),
        json!(spec.template),
        json!(settings.redis_prefix),
        json!(login.url),
    ];
    // What is not given leaves no trace: a Relay that knows of more makes nothing else of the same pool.
    asked.extend(login.ca.map(|ca| json!(ca)));
    let asked = Value::Array(asked);
    let mut metadata = of.metadata(deployment_name(&of.pool.name));
    metadata["annotations"] = json!({
        ASKED: fingerprint(&asked.to_string()),
        TEMPLATE: fingerprint(&template.to_string()),
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {
                "app.kubernetes.io/name": "relay-worker",
                "app.kubernetes.io/managed-by": "relay",
                POOL_LABEL: of.pool.name,
            }},
            // New workers first: the old ones claim nothing from then on, and may drain for long.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "revisionHistoryLimit": 2,
            "template": template,
        },
    })
}

/// How long workers have to end what they run, where their pods must go.
pub fn drain(pool: &Value) -> Duration {
    let grace = pool["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE);
    Duration::from_secs(drain_seconds(grace))
}

fn drain_seconds(grace: u64) -> u64 {
    grace.saturating_sub(FAREWELL).max(grace / 2)
}

/// Three layers: what a user may change, the user's template, what keeps the pool together.
fn template(of: Subject<'_>, settings: &Settings, login: Login<'_>) -> Value {
    let overlay = json!({"metadata": &of.pool.spec.template.metadata, "spec": &of.pool.spec.template.spec});
    let merged = laid_over(usual(of, settings), &without_nulls(overlay));
    let grace = merged["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE);
    imposed(merged, &fixed(of, settings, login, grace))
}

/// A part of a template that is not there changes nothing; a null that the user wrote takes something away.
fn without_nulls(overlay: Value) -> Value {
    match overlay {
        Value::Object(parts) => parts.into_iter().filter(|(_, part)| !part.is_null()).collect(),
        other => other,
    }
}

fn usual(of: Subject<'_>, settings: &Settings) -> Value {
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({
        "metadata": {},
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [{"name": "install", "image": settings.image, "securityContext": restricted}],
            "containers": [{"name": CONTAINER, "image": of.pool.spec.image, "securityContext": restricted}],
        },
    })
}

fn fixed(of: Subject<'_>, settings: &Settings, login: Login<'_>, grace: u64) -> Value {
    let program = format!("{SHARE}/relay");
    let ready = format!("{SHARE}/ready");
    let drain = drain_seconds(grace);
    let value = |name: &str, value: String| json!({"name": name, "value": value});
    let url_of = json!({"secretKeyRef": {"name": login.secret(&of.pool.name), "key": "url"}});
    let mut env = vec![
        json!({"name": "RELAY_REDIS_URL", "valueFrom": url_of}),
        json!({"name": "RELAY_WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        value("RELAY_REDIS_PREFIX", settings.redis_prefix.clone()),
        value("RELAY_POOL", of.key()),
        value("RELAY_SLOTS", of.pool.spec.slots_per_worker.to_string()),
        value("RELAY_WORK_DIR", format!("{SHARE}/work")),
        value("RELAY_READY_FILE", ready.clone()),
        value("RELAY_DRAIN_TIMEOUT", drain.to_string()),
    ];
    env.extend(login.ca.map(|ca| value("RELAY_REDIS_CA", ca.to_owned())));
    json!({
        "metadata": {"labels": of.labels(), "annotations": {CREDENTIALS: login.fingerprint()}},
        "spec": {
            "volumes": [{"name": "relay", "emptyDir": {}}],
            "initContainers": [{
                "name": "install",
                "args": ["install", "/share"],
                "volumeMounts": [{"name": "relay", "mountPath": "/share"}],
            }],
            "containers": [{
                "name": CONTAINER,
                "command": [program, "worker"],
                "args": null,
                "env": env,
                "volumeMounts": [{"name": "relay", "mountPath": SHARE}],
                "readinessProbe": {
                    "exec": {"command": [program, "probe", ready]},
                    "periodSeconds": 2,
                    "failureThreshold": 1,
                    // A busy machine must not make a busy worker look idle.
                    "timeoutSeconds": 10,
                },
            }],
        },
    })
}
