//! The Deployment and the Secret of a pool.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, PodTemplateSpec, Secret},
};
use relay::operator::workers::desired::{Login, Settings, Subject, deployment, fingerprint, secret};
use serde_json::{Value, json};

use super::pool;

const URL: &str = "redis://relay-worker:s3cret@redis:6379";

fn made(spec: Value, replicas: u32) -> Value {
    made_for(spec, replicas, Login { url: Some(URL), ca: None })
}

fn made_for(spec: Value, replicas: u32, login: Login<'_>) -> Value {
    let settings = Settings { image: "relay:1".to_owned(), redis_prefix: "relay".to_owned() };
    deployment(Subject { pool: &pool(spec), uid: "u-1" }, &settings, login, replicas)
}

/// As the API server would read it.
fn typed(spec: Value) -> Deployment {
    serde_json::from_value(made(spec, 2)).expect("a Deployment")
}

fn template(spec: Value) -> PodTemplateSpec {
    typed(spec).spec.expect("a spec").template
}

fn worker(template: &PodTemplateSpec) -> &Container {
    let containers = &template.spec.as_ref().expect("a spec").containers;
    containers.iter().find(|container| container.name == "worker").expect("the worker")
}

fn variable(container: &Container, name: &str) -> Option<String> {
    container.env.as_ref()?.iter().find(|variable| variable.name == name)?.value.clone()
}

#[test]
fn a_deployment_is_named_after_its_pool_and_goes_with_it() {
    let made = typed(json!({"slotsPerWorker": 7}));
    assert_eq!(made.metadata.name.as_deref(), Some("relay-default"));
    assert_eq!(made.metadata.namespace.as_deref(), Some("data"));
    let owners = made.metadata.owner_references.expect("an owner");
    assert_eq!((owners[0].uid.as_str(), owners[0].controller), ("u-1", Some(true)));
    let spec = made.spec.expect("a spec");
    assert_eq!(spec.replicas, Some(2));
    let labels = spec.template.metadata.as_ref().expect("metadata").labels.clone().expect("labels");
    let selected = spec.selector.match_labels.expect("labels");
    assert!(selected.iter().all(|(key, value)| labels.get(key) == Some(value)), "{selected:?} {labels:?}");
    let worker = worker(&spec.template);
    assert_eq!(variable(worker, "RELAY_POOL").as_deref(), Some("data/default"));
    assert_eq!(variable(worker, "RELAY_SLOTS").as_deref(), Some("7"));
    assert_eq!(worker.image.as_deref(), Some("registry.example/etl:1"));
}

#[test]
fn the_url_of_redis_is_in_the_secret_and_nowhere_else() {
    let secret = secret(Subject { pool: &pool(json!({})), uid: "u-1" }, URL);
    let typed: Secret = serde_json::from_value(secret).expect("a Secret");
    assert_eq!(typed.metadata.name.as_deref(), Some("relay-default-redis"));
    assert_eq!(typed.data.expect("data")["url"].0, URL.as_bytes());
    let deployment = made(json!({}), 1).to_string();
    assert!(!deployment.contains("s3cret"), "{deployment}");
    // A password that changes rolls the pods.
    assert!(deployment.contains(&fingerprint(URL)));
    assert_ne!(fingerprint(URL), fingerprint("redis://relay-worker:other@redis:6379"));
}

#[test]
fn where_somebody_else_makes_the_users_workers_log_in_by_a_secret_of_theirs() {
    let url_of = |login: Login<'_>| {
        let made: Deployment = serde_json::from_value(made_for(json!({}), 1, login)).expect("a Deployment");
        let template = made.spec.expect("a spec").template;
        let env = worker(&template).env.clone().expect("variables");
        let url = env.into_iter().find(|variable| variable.name == "RELAY_REDIS_URL").expect("the URL");
        let of = url.value_from.expect("a source").secret_key_ref.expect("a Secret");
        (of.name, of.key)
    };
    let named = |name: &str| (name.to_owned(), "url".to_owned());
    assert_eq!(url_of(Login { url: Some(URL), ca: None }), named("relay-default-redis"));
    assert_eq!(url_of(Login { url: None, ca: None }), named("relay-default-redis-external"));
}

#[test]
fn workers_trust_redis_by_what_the_operator_was_given_and_another_authority_replaces_them() {
    let made = |ca: Option<&str>| {
        serde_json::from_value::<Deployment>(made_for(json!({}), 1, Login { url: Some(URL), ca }))
            .expect("a Deployment")
    };
    let (one, other, none) = (made(Some("PEM one")), made(Some("PEM two")), made(None));
    let trusted =
        |made: &Deployment| variable(worker(&made.spec.as_ref().expect("a spec").template), "RELAY_REDIS_CA");
    assert_eq!(trusted(&one).as_deref(), Some("PEM one"));
    assert_eq!(trusted(&none), None);
    let asked = |made: &Deployment| {
        made.metadata.annotations.as_ref().expect("annotations")["relay.works/asked"].clone()
    };
    assert_ne!(asked(&one), asked(&other));
    assert_ne!(asked(&one), asked(&none));
}

#[test]
fn pods_keep_to_the_restricted_standard() {
    let template = template(json!({}));
    let spec = template.spec.as_ref().expect("a spec");
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert_eq!(spec.enable_service_links, Some(false));
    let pod = spec.security_context.as_ref().expect("a security context");
    assert_eq!((pod.run_as_non_root, pod.run_as_user), (Some(true), Some(65_532)));
    assert_eq!(pod.seccomp_profile.as_ref().expect("a profile").type_, "RuntimeDefault");
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let context = container.security_context.as_ref().expect("a security context");
        assert_eq!(context.allow_privilege_escalation, Some(false), "{}", container.name);
        let dropped = context.capabilities.as_ref().expect("capabilities").drop.clone();
        assert_eq!(dropped, Some(vec!["ALL".to_owned()]), "{}", container.name);
    }
}

#[test]
fn a_template_adds_what_pods_can_have() {
    let template = template(json!({"template": {
        "metadata": {"labels": {"team": "data"}, "annotations": {"note": "x"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "securityContext": {"runAsUser": 1000},
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [
                {"name": "worker", "resources": {"limits": {"memory": "1Gi"}}, "env": [{"name": "MODE", "value": "fast"}],
                 "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
                {"name": "proxy", "image": "proxy:1"},
            ],
        },
    }}));
    let metadata = template.metadata.as_ref().expect("metadata");
    assert_eq!(metadata.labels.as_ref().expect("labels")["team"], "data");
    assert_eq!(metadata.annotations.as_ref().expect("annotations")["note"], "x");
    let spec = template.spec.as_ref().expect("a spec");
    assert_eq!(spec.node_selector.as_ref().expect("a selector")["disk"], "ssd");
    let context = spec.security_context.as_ref().expect("a context");
    assert_eq!((context.run_as_user, context.run_as_non_root), (Some(1000), Some(true)));
    let names: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["worker", "proxy"]);
    let volumes: Vec<&str> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    assert_eq!(volumes, ["scratch", "relay"]);
    let worker = worker(&template);
    assert_eq!(variable(worker, "MODE").as_deref(), Some("fast"));
    assert_eq!(worker.volume_mounts.as_ref().expect("mounts").len(), 2);
    assert!(worker.resources.as_ref().expect("resources").limits.is_some());
}

#[test]
fn a_template_cannot_break_what_keeps_the_pool_together() {
    let template = template(json!({"template": {
        "metadata": {"labels": {"relay.works/pool": "other", "app.kubernetes.io/name": "mine"}},
        "spec": {
            "volumes": [{"name": "relay", "emptyDir": {"medium": "Memory"}}],
            "initContainers": [{"name": "install", "args": ["nothing"], "resources": {"limits": {"cpu": "1"}}}],
            "containers": [{
                "name": "worker", "command": ["sleep"], "args": ["1"],
                "env": [{"name": "RELAY_POOL", "value": "other/pool"}, {"name": "RELAY_REDIS_URL", "value": "redis://elsewhere"}],
                "volumeMounts": [{"name": "relay", "mountPath": "/relay", "readOnly": true}],
            }],
        },
    }}));
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).expect("labels");
    assert_eq!(labels["relay.works/pool"], "default");
    let worker = worker(&template);
    assert_eq!(worker.command, Some(vec!["/relay/relay".to_owned(), "worker".to_owned()]));
    assert_eq!(worker.args, None);
    assert_eq!(variable(worker, "RELAY_POOL").as_deref(), Some("data/default"));
    let url = worker.env.iter().flatten().find(|variable| variable.name == "RELAY_REDIS_URL").expect("a URL");
    assert!(url.value_from.is_some() && url.value.is_none(), "{url:?}");
    let install = &template.spec.as_ref().expect("a spec").init_containers.as_ref().expect("one")[0];
    assert_eq!(install.args, Some(vec!["install".to_owned(), "/share".to_owned()]));
    assert!(install.resources.is_some());
}

#[test]
fn a_pod_drains_as_long_as_its_grace_allows() {
    let drain = |spec: Value| {
        let template = template(spec);
        let grace = template.spec.as_ref().expect("a spec").termination_grace_period_seconds.expect("one");
        (grace, variable(worker(&template), "RELAY_DRAIN_TIMEOUT").expect("one").parse().expect("a number"))
    };
    assert_eq!(drain(json!({})), (3_600, 3_590));
    let with = |seconds: u64| json!({"template": {"spec": {"terminationGracePeriodSeconds": seconds}}});
    assert_eq!(drain(with(86_400)), (86_400, 86_390));
    assert_eq!(drain(with(12)), (12, 6));
    assert_eq!(drain(with(0)), (0, 0));
}
