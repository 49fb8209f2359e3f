//! The API server, as the operator needs it: every call has a deadline, and an error tells what may be done about it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, Patch, PatchParams},
    core::DynamicResourceScope,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json, json, value::RawValue};

use crate::conductor::Outlook;
use crate::crd::schema::{API_VERSION, Kind};
use crate::crd::{Finding, Findings};
use crate::model::{ids::ShardId, json::Text, workflow::is_shallow};

/// Longest wait for the answer to one call.
pub const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Under which name fields are owned.
pub const FIELD_MANAGER: &str = "relay";

/// Why the API server did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The object has changed since it was looked at.
    #[error("the object has changed meanwhile: {0}")]
    Conflict(String),
    /// There is no such object any longer.
    #[error("the object is gone: {0}")]
    Gone(String),
    /// It said no, and will say so again.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// It may work later.
    #[error("the API server cannot be reached: {0}")]
    Unavailable(String),
    /// It was not asked: only a leader writes.
    #[error("it is not certain that this process leads at the moment")]
    NotLeading,
}

impl ApiError {
    /// A closed list of words, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            ApiError::Conflict(_) => "conflict",
            ApiError::Gone(_) => "gone",
            ApiError::Refused(_) => "refused",
            ApiError::Unavailable(_) => "unavailable",
            ApiError::NotLeading => "not_leading",
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> ApiError {
        let kube::Error::Api(status) = &error else { return ApiError::Unavailable(error.to_string()) };
        let said = match status.message.is_empty() {
            true => format!("{} ({})", status.reason, status.code),
            false => status.message.clone(),
        };
        match status.code {
            404 => ApiError::Gone(said),
            409 => ApiError::Conflict(said),
            // 401: a token that runs out is renewed by the client.
            401 | 408 | 429 => ApiError::Unavailable(said),
            400..500 => ApiError::Refused(said),
            _ => ApiError::Unavailable(said),
        }
    }
}

/// The name of an object within the cluster, among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// metadata.namespace
    pub namespace: String,
    /// metadata.name
    pub name: String,
}

impl ObjectName {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> ObjectName {
        ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object as it comes: spec and status are not looked into, so that nothing in one object can spoil a whole list.
#[derive(Clone, Debug, Deserialize)]
pub struct Raw {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        kind.kind.as_str().into()
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        kind.group.as_str().into()
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        kind.version.as_str().into()
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        kind.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// An object as the API server told of it. Nothing of it is judged: whatever a user wrote can be held here.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub name: ObjectName,
    /// metadata.uid
    pub uid: String,
    /// metadata.resourceVersion
    pub version: String,
    /// metadata.generation
    pub generation: i64,
    /// Its annotations of Relay's.
    pub annotations: Vec<(String, String)>,
    /// Has its deletion begun?
    pub deleting: bool,
    /// How far its status says that its shard has come: asked of all objects at once, while they are listed.
    pub position: Option<i64>,
    /// metadata (name, namespace, uid, labels), spec and status: as text, for there may be very many.
    text: Text,
    /// Why its spec is not among them, when it cannot be read.
    pub unreadable: Option<String>,
}

/// An object of which only the status is read.
#[derive(Deserialize)]
struct Told<T> {
    status: Option<T>,
}

impl Object {
    /// What is kept of an object; none for one without a name or a uid, which no server sends. Of a Run that ended only
    /// what says so is kept: there may be very many.
    pub fn of(raw: Raw) -> Option<Object> {
        let Raw { metadata, spec, status } = raw;
        let namespace = metadata.namespace.unwrap_or_default();
        let name = ObjectName { namespace, name: metadata.name? };
        let uid = metadata.uid?;
        let labels: Map<String, Json> =
            metadata.labels.into_iter().flatten().map(|(key, value)| (key, Json::from(value))).collect();
        let mut json = json!({"metadata": {
            "name": name.name, "namespace": name.namespace, "uid": uid, "labels": labels,
        }});
        let mut object = Object {
            name,
            uid,
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            annotations: metadata.annotations.into_iter().flatten().filter(is_ours).collect(),
            deleting: metadata.deletion_timestamp.is_some(),
            position: None,
            text: Text::default(),
            unreadable: None,
        };
        // A status that cannot be read is written anew.
        let status: Option<Json> = status.and_then(|status| serde_json::from_str(status.get()).ok());
        object.position = status.as_ref().and_then(|status| status.get("position")?.as_i64());
        let ended = status.as_ref().filter(|status| has_finished(status));
        if let Some(status) = ended {
            object.annotations.clear();
            // What a look at it needs, and its position, which a store must not be behind.
            let kept = ["observedGeneration", "conditions", "position"];
            let kept = kept.into_iter().filter_map(|key| Some((key.to_owned(), status.get(key)?.clone())));
            json["status"] = Json::Object(kept.collect());
        } else {
            match spec.map(|spec| serde_json::from_str::<Json>(spec.get())) {
                Some(Ok(spec)) => json["spec"] = spec,
                Some(Err(error)) => object.unreadable = Some(error.to_string()),
                None => {}
            }
            if let Some(status) = status {
                json["status"] = status;
            }
        }
        object.text = Text::from(&json);
        // What alone is just flat enough to be read is within the object too deep to be read again. Few are so deep that it
        // is worth a try.
        if !is_shallow(&json) && object.text.read::<Json>().is_none() {
            object.unreadable = Some("recursion limit exceeded".to_owned());
            json.as_object_mut()?.retain(|key, _| key == "metadata");
            object.text = Text::from(&json);
        }
        Some(object)
    }

    /// Its metadata (name, namespace, uid, labels), spec and status.
    pub fn json(&self) -> Json {
        self.text.read().unwrap_or_default()
    }

    /// Reads it by a door of `crd`.
    pub fn read<T>(&self, door: impl FnOnce(&Json) -> Result<T, Findings>) -> Result<T, Findings> {
        let Some(why) = &self.unreadable else { return door(&self.json()) };
        let finding = Finding {
            file: String::new(),
            line: 0,
            column: 0,
            path: "spec".to_owned(),
            reason: format!("it cannot be read: {why}"),
            fix: Some("make it flatter".to_owned()),
            excerpt: None,
        };
        Err(Findings { list: vec![finding], more: 0 })
    }

    /// Its status as `crd::status::status_of` has it, read at one go: of very many objects this is what a look costs.
    pub fn told<T: DeserializeOwned + Default>(&self) -> T {
        self.text.read::<Told<T>>().and_then(|told| told.status).unwrap_or_default()
    }

    /// Its status, or null.
    pub fn status(&self) -> Json {
        self.json().get_mut("status").map(Json::take).unwrap_or_default()
    }

    /// Was this told after the other? Versions of one object grow; one that is no number counts as newer.
    pub fn is_newer_than(&self, other: &Object) -> bool {
        match (self.version.parse::<u64>(), other.version.parse::<u64>()) {
            (Ok(this), Ok(other)) => this > other,
            _ => self.version != other.version,
        }
    }

    /// By which events name it.
    pub fn reference(&self, kind: Kind) -> ObjectReference {
        ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(kind.name().to_owned()),
            name: Some(self.name.name.clone()),
            namespace: Some(self.name.namespace.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// Is an annotation one that Relay reads? Others may be long: `kubectl apply` keeps the whole manifest in one.
fn is_ours((key, _): &(String, String)) -> bool {
    let group = API_VERSION.split_once('/').map_or(API_VERSION, |(group, _)| group);
    let domain = key.split_once('/').map(|(domain, _)| domain);
    let own = domain.and_then(|domain| domain.strip_suffix(group));
    own.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Does a status say that its Run has ended?
fn has_finished(status: &Json) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|known| known["type"] == "Finished" && known["status"] == "True")
}

/// How the client is told of a kind.
pub fn resource(kind: Kind) -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: API_VERSION.to_owned(),
        kind: kind.name().to_owned(),
        plural: format!("{}s", kind.name().to_lowercase()),
    }
}

/// The cluster, as the leader of some shards may change it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    outlook: Option<Arc<Outlook>>,
}

impl Cluster {
    /// Through this client, which should come from [`crate::operator::client`]. Nothing can be written yet.
    pub fn new(client: Client) -> Cluster {
        Cluster { client, outlook: None }
    }

    /// Objects may be written while this conductor leads.
    pub fn led_by(self, outlook: Arc<Outlook>) -> Cluster {
        Cluster { outlook: Some(outlook), ..self }
    }

    /// May objects of this namespace be written now? To be asked right before each write: a process that was stopped for
    /// a while finds another leader when it goes on.
    pub fn may_write(&self, namespace: &str) -> Result<(), ApiError> {
        let fence = self.outlook.as_ref().and_then(|outlook| outlook.fence(ShardId::of_namespace(namespace)));
        fence.map(drop).ok_or(ApiError::NotLeading)
    }

    /// Did the namespace's shard stop, because the store is behind what was told of it?
    pub fn is_stopped(&self, namespace: &str) -> bool {
        let shard = ShardId::of_namespace(namespace);
        self.outlook.as_ref().is_some_and(|outlook| outlook.stopped(shard).is_some())
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The cluster's id: the UID of its first namespace.
    pub async fn id(&self) -> Result<String, ApiError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = within(namespaces.get("kube-system")).await?;
        found.metadata.uid.ok_or_else(|| ApiError::Refused("namespace kube-system has no uid".to_owned()))
    }

    /// An object as it is now. None only when the server says of this very object that it is not there: that a kind
    /// is not served proves nothing.
    pub async fn get(&self, kind: Kind, name: &ObjectName) -> Result<Option<Object>, ApiError> {
        let answer = tokio::time::timeout(CALL_WITHIN, self.of(kind, name).get(&name.name)).await;
        match answer.map_err(|_| late())? {
            Ok(object) => Ok(Object::of(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let named = status.details.as_ref().is_some_and(|details| details.name == name.name);
                let why = || ApiError::Unavailable(format!("{name}: {}", status.message));
                if named { Ok(None) } else { Err(why()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the status of an object; gives the object as it is then.
    pub async fn patch_status(
        &self,
        kind: Kind,
        name: &ObjectName,
        patch: &Json,
    ) -> Result<Object, ApiError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(patch);
        self.may_write(&name.namespace)?;
        let object = within(self.of(kind, name).patch_status(&name.name, &params, &patch)).await?;
        Object::of(object).ok_or_else(|| ApiError::Unavailable("the answer has no name".to_owned()))
    }

    fn of(&self, kind: Kind, name: &ObjectName) -> Api<Raw> {
        Api::namespaced_with(self.client.clone(), &name.namespace, &resource(kind))
    }
}

fn late() -> ApiError {
    ApiError::Unavailable(format!("no answer within {} s", CALL_WITHIN.as_secs()))
}

/// The answer to a call, in time.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    Ok(tokio::time::timeout(CALL_WITHIN, call).await.map_err(|_| late())??)
}
