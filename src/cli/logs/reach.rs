//! From a kubeconfig to a stream into the operator's pod.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::cli::logs::{Args, Ask, Door, Seen, Which, Wire};
use crate::crd::schema::API_VERSION;
use crate::crd::status::{Condition, ConditionStatus, RunStatus, status_of};

/// Where the API listens within the pod, on loopback.
const PORT: u16 = 8080;
/// How the operator's pods are labelled by the chart.
const OPERATOR: &str = "app.kubernetes.io/name=relay,app.kubernetes.io/component=operator";
/// Longest wait for an answer of the API server.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Pods that are looked at.
const PODS_MAX: u32 = 50;

/// A cluster and where the operator lives in it.
pub(super) struct Cluster {
    client: Client,
    operator_namespace: String,
    /// The namespace of the kubeconfig's context.
    pub(super) namespace: String,
}

/// Reads the kubeconfig; asks nobody yet.
pub(super) async fn cluster(args: &Args) -> anyhow::Result<Cluster> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file).with_context(|| format!("{}", file.display()))?;
            Config::from_custom_kubeconfig(read, &options).await?
        }
        None if args.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await.context("no cluster is configured; give --kubeconfig")?,
    };
    config.connect_timeout = Some(ANSWER_WITHIN);
    // A person waits and can ask again.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config)?;
    Ok(Cluster { client, operator_namespace: args.operator_namespace.clone(), namespace })
}

#[async_trait]
impl Door for Cluster {
    async fn open(&self) -> anyhow::Result<Box<dyn Wire>> {
        let namespace = &self.operator_namespace;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let wanted = ListParams::default().labels(OPERATOR).limit(PODS_MAX);
        let found = answer(pods.list(&wanted)).await?;
        let found =
            found.map_err(|e| told(e, "the operator's pod cannot be looked up", "list pods", namespace))?;
        let name = best(found.items).ok_or_else(|| {
            anyhow!(
                "no operator runs in namespace `{namespace}` (there is no running pod with the labels {OPERATOR}); \
                 if Relay is installed elsewhere, give --operator-namespace"
            )
        })?;
        let needs = "get and create pods/portforward";
        let ports = answer(pods.portforward(&name, &[PORT])).await?;
        let mut ports = ports.map_err(|e| {
            told(e, &format!("no port can be forwarded to the operator's pod {name}"), needs, namespace)
        })?;
        match ports.take_stream(PORT) {
            Some(stream) => Ok(Box::new(stream)),
            None => bail!("no port was forwarded to the operator's pod {name}"),
        }
    }

    async fn which(&self, ask: &Ask) -> anyhow::Result<Which> {
        let (group, version) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
        let runs = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: API_VERSION.to_owned(),
            kind: "Run".to_owned(),
            plural: "runs".to_owned(),
        };
        let runs: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &ask.namespace, &runs);
        match answer(runs.get(&ask.run)).await? {
            Ok(object) => Ok(seen(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Which::Absent),
            Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Which::Hidden(status.message)),
            Err(error) => {
                Err(told(error, "the Run cannot be looked up", "get runs.relay.works", &ask.namespace))
            }
        }
    }
}

fn seen(object: DynamicObject) -> Which {
    let Some(uid) = object.metadata.uid else { return Which::Absent };
    let status: RunStatus = status_of(&object.data);
    let ended = |c: &Condition| c.kind == "Finished" && c.status == ConditionStatus::True;
    let says = [status.state.as_deref(), status.message.as_deref()];
    let says: Vec<&str> = says.into_iter().flatten().collect();
    Which::This(Seen { uid, ended: status.conditions.iter().any(ended), says: says.join(": ") })
}

async fn answer<T>(asked: impl Future<Output = kube::Result<T>>) -> anyhow::Result<kube::Result<T>> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await;
    answer.with_context(|| format!("the API server did not answer within {} s", ANSWER_WITHIN.as_secs()))
}

/// A pod that is ready, else one that runs; of several the youngest.
fn best(pods: Vec<Pod>) -> Option<String> {
    let fit = |pod: &Pod| {
        let status = pod.status.as_ref()?;
        let going = pod.metadata.deletion_timestamp.is_some();
        let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
        let runs = status.phase.as_deref() == Some("Running");
        runs.then(|| (ready && !going, pod.metadata.creation_timestamp.as_ref().map(|time| time.0)))
    };
    let running = pods.into_iter().filter_map(|pod| Some((fit(&pod)?, pod.metadata.name?)));
    running.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, name)| name)
}

/// What the API server's refusal means to a person.
fn told(error: kube::Error, what: &str, needs: &str, namespace: &str) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => anyhow!(
            "{what}: forbidden. You need the right to {needs} in namespace `{namespace}`; the API server says: {}",
            status.message
        ),
        kube::Error::Api(status) => anyhow!("{what}: {}", status.message),
        other => anyhow!("{what}: {other}"),
    }
}
