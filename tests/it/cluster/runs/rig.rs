//! An operator within the test, with a conductor, a worker and stores in memory, against a real API server.

use std::process::Command;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use relay::clock::Clock;
use relay::conductor::{Adopt, Compile, Conductor, Handle, Limits, Older, Outlook, every_shard};
use relay::crd;
use relay::feed::memory::MemoryFeed;
use relay::model::ids::ShardId;
use relay::operator::{
    Operator, Pools,
    pulse::{Bounds, Pulses},
};
use relay::queue::{self, memory::MemoryQueue};
use relay::store::{Cursor, Expiry, Upkeep, memory::MemoryStore};
use relay::worker::process::Processes;
use relay::worker::{Links, process};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control::{Control, control};
use super::keeper::{keeper, work};
use crate::cluster::kubectl::{well, with_input};

/// How long anything is waited for.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// Bounds of the pulses that a test can wait for; a watch's first tries are not that far apart.
const BOUNDS: Bounds = Bounds {
    bear: Duration::from_millis(500),
    quiet: Duration::from_secs(10),
    ping_every: Duration::from_millis(200),
};

/// A cluster, a namespace in it, and what outlives an operator.
pub struct Rig {
    pub control: &'static Control,
    pub namespace: String,
    pub store: Arc<dyn Upkeep>,
    pub pools: Pools,
    pulses: Arc<Pulses>,
    queue: Arc<MemoryQueue>,
    feed: Arc<MemoryFeed>,
    clock: Clock,
    scratch: tempfile::TempDir,
    pub(super) runtime: Runtime,
    life: Option<Life>,
    keeps_pools: bool,
    /// What conductors make of a store that is behind.
    pub older: Older,
    _turn: MutexGuard<'static, ()>,
}

/// An operator's life, from its start to its end.
struct Life {
    handle: Handle,
    parts: JoinSet<()>,
    stop: CancellationToken,
    /// Ends the worker alone.
    no_more: CancellationToken,
}

/// As an operator has it.
pub async fn client(kubeconfig: kube::config::Kubeconfig) -> kube::Client {
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a config");
    relay::operator::client::of(config).expect("a client")
}

impl Rig {
    /// With an operator at work.
    pub fn new() -> Rig {
        let mut rig = Rig::without_operator();
        rig.start();
        rig
    }

    /// With an operator at work that keeps WorkerPools as well.
    pub fn with_pools() -> Rig {
        let mut rig = Rig::without_operator();
        rig.keeps_pools = true;
        rig.start();
        rig
    }

    /// Without: it starts later.
    pub fn without_operator() -> Rig {
        let (control, turn) = control();
        let namespace = format!("runs-{}", &uuid::Uuid::now_v7().simple().to_string()[20..]);
        well(control.kubectl().args(["create", "namespace", &namespace]).output().expect("kubectl starts"));
        let clock = Clock::system();
        let of_store = clock.clone();
        Rig {
            control,
            namespace,
            store: Arc::new(MemoryStore::new(Arc::new(move || of_store.now()))),
            pools: Pools::default(),
            pulses: Arc::new(Pulses::new(clock.clone(), BOUNDS)),
            queue: Arc::new(MemoryQueue::new(queue::memory::Limits::default())),
            feed: Arc::new(MemoryFeed::new(relay::feed::memory::Limits::default())),
            clock,
            scratch: tempfile::tempdir().expect("a folder"),
            runtime: Runtime::new().expect("a runtime"),
            life: None,
            keeps_pools: false,
            older: Older::Stops,
            _turn: turn,
        }
    }

    /// Starts a conductor, an operator and a worker; comes back when every object has been seen once.
    pub fn start(&mut self) {
        self.begin(true);
    }

    /// A conductor and a worker alone: the API server hears nothing of them.
    pub fn start_without_operator(&mut self) {
        self.begin(false);
    }

    fn conductors(&self, compile: &Compile, outlook: &Arc<Outlook>) -> relay::conductor::Params {
        relay::conductor::Params {
            store: self.store.clone(),
            queue: self.queue.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
            compile: compile.clone(),
            holder: format!("test-{}", uuid::Uuid::now_v7()),
            shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
            adopt: Adopt::All,
            older: self.older,
            limits: Limits::default(),
            outlook: Some(outlook.clone()),
        }
    }

    /// What a worker needs.
    fn links(&self) -> Links {
        let executor = Processes::new(
            process::Params {
                root: self.scratch.path().to_owned(),
                env: vec![("PATH".to_owned(), std::env::var("PATH").expect("PATH"))],
                grace: Duration::from_secs(1),
                spares: 0,
            },
            &self.clock,
        );
        Links {
            jobs: self.queue.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
            executor: Arc::new(executor),
        }
    }

    fn begin(&mut self, operates: bool) {
        let stop = CancellationToken::new();
        let outlook = Arc::new(Outlook::default());
        let compile: Compile = Arc::new(|revision| crd::compile(revision).map_err(|e| e.to_string()));
        let (conductor, handle) = Conductor::new(self.conductors(&compile, &outlook));
        let kubeconfig =
            kube::config::Kubeconfig::read_from(self.control.kubeconfig()).expect("a kubeconfig");
        let (store, clock, pools) = (self.store.clone(), self.clock.clone(), self.pools.clone());
        let links = self.links();
        let pulses = self.pulses.clone();
        let (no_more, until) = (CancellationToken::new(), stop.clone());
        let working = no_more.clone();
        let keeps = self.keeps_pools.then(|| self.queue.clone());
        let parts = self.runtime.block_on(async {
            let mut parts = JoinSet::new();
            parts.spawn(async move { conductor.run(until).await.map(drop).expect("the conductor") });
            assert!(handle.live().await.is_some(), "it leads");
            let until = stop.clone();
            parts.spawn(async move {
                tokio::select! {
                    () = until.cancelled() => working.cancel(),
                    () = working.cancelled() => {}
                }
            });
            parts.spawn(work(links, no_more.clone()));
            if !operates {
                return parts;
            }
            let client = client(kubeconfig).await;
            if let Some(queue) = keeps {
                let workers = keeper(
                    client.clone(),
                    queue,
                    outlook.clone(),
                    (pools.clone(), pulses.clone(), clock.clone()),
                );
                parts.spawn(workers.run(stop.clone()));
            }
            let operator = Operator::new(relay::operator::Params {
                client,
                store,
                shards: Arc::new(every_shard().collect()),
                handle: handle.clone(),
                outlook,
                clock,
                compile,
                pools,
                pulses,
                instance: "test".to_owned(),
            });
            let mut ready = operator.ready();
            let until = stop.clone();
            parts.spawn(async move { operator.run(until).await });
            let seen = tokio::time::timeout(SOON, ready.wait_for(|ready| *ready)).await;
            seen.expect("in time").expect("it lives");
            parts
        });
        self.life = Some(Life { handle, parts, stop, no_more });
    }

    /// Ends the operator, its conductor and its worker, as a process ends that is killed: nothing more is written.
    pub fn stop(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        life.stop.cancel();
        self.runtime.block_on(async {
            while let Some(ended) = life.parts.join_next().await {
                ended.expect("no panic");
            }
        });
    }

    /// The store is another one, and the queue.
    pub fn forget(&mut self) {
        let clock = self.clock.clone();
        self.store = Arc::new(MemoryStore::new(Arc::new(move || clock.now())));
        self.queue = Arc::new(MemoryQueue::new(queue::memory::Limits::default()));
    }

    /// What has ended by now is removed, as after its retention.
    pub fn remove_what_ended(&self) {
        let shard = ShardId::of_namespace(&self.namespace);
        let (before, rows) = (self.clock.now(), u32::MAX);
        let removed = self.runtime.block_on(async {
            let fence = self.store.position(shard).await.expect("read");
            self.store.expire(&Expiry { fences: vec![fence], before, rows }, Cursor::default()).await
        });
        assert!(removed.expect("done").0.runs > 0, "nothing was removed");
    }

    /// Nobody takes jobs any longer.
    pub fn no_worker(&self) {
        self.life.as_ref().expect("it runs").no_more.cancel();
    }

    /// A path for a file of this test.
    pub fn file(&self, name: &str) -> String {
        self.scratch.path().join(format!("{name}-{}", uuid::Uuid::now_v7().simple())).display().to_string()
    }

    /// Workflows that the store has a head of.
    pub fn heads(&self) -> Vec<(String, String)> {
        self.runtime.block_on(self.store.head_names(None, 100)).expect("read")
    }

    /// What the conductor knows.
    pub fn live(&self) -> Vec<String> {
        let handle = self.life.as_ref().expect("it runs").handle.clone();
        let live = self.runtime.block_on(handle.live()).expect("it leads");
        live.into_iter().map(|run| run.name).collect()
    }

    /// Waits until these are the live runs.
    #[track_caller]
    pub fn until_live(&self, names: &[&str]) {
        let end = Instant::now() + SOON;
        while self.live() != names {
            assert!(Instant::now() < end, "{:?} are live", self.live());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Waits until the operator says that it hears the API server, or that it does not.
    #[track_caller]
    pub fn until_hears(&self, hears: bool) {
        let end = Instant::now() + SOON;
        while self.pulses.deaf().is_none() != hears {
            assert!(Instant::now() < end, "{:?}", self.pulses.deaf());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Creates an object, as JSON without a look at it by kubectl.
    #[track_caller]
    pub fn create(&self, object: &str) {
        let kinds = [("Run", "runs"), ("Workflow", "workflows"), ("WorkerPool", "workerpools")];
        let is = |(kind, _): &&(&str, &str)| object.contains(&format!(r#""kind": "{kind}""#));
        let kind = kinds.iter().find(is).expect("a kind").1;
        let path = format!("/apis/relay.works/v1alpha1/namespaces/{}/{kind}", self.namespace);
        well(with_input(self.control.kubectl().args(["create", "--raw", &path, "-f", "-"]), object));
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.control.kubectl();
        command.args(["-n", &self.namespace]).args(arguments);
        command
    }

    /// Its output, when it ended well.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        well(self.kubectl(arguments).output().expect("kubectl starts"))
    }

    /// Applies manifests.
    #[track_caller]
    pub fn apply(&self, manifests: &str) -> String {
        well(with_input(&mut self.kubectl(&["apply", "-f", "-"]), manifests))
    }

    /// An object as JSON; null when it is not there.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.run(&["get", kind, name, "-o", "json", "--ignore-not-found"]);
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Asks for an object until it is as wanted; gives it.
    #[track_caller]
    pub fn until(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + SOON;
        loop {
            let object = self.get(kind, name);
            if wanted(&object) {
                return object;
            }
            assert!(Instant::now() < end, "{kind} {name} did not become so: {object:#}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// The run's state in a word.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: &str) -> Value {
        self.until("run", name, |run| run["status"]["state"] == state)
    }

    /// `kubectl wait`, as a user would type it.
    #[track_caller]
    pub fn wait(&self, object: &str, condition: &str) {
        self.run(&["wait", object, &format!("--for=condition={condition}"), "--timeout=60s"]);
    }

    /// Reasons and notes of the Events about an object, in the order in which they were made.
    #[track_caller]
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        let list: Value =
            serde_json::from_str(&self.run(&["get", "events.events.k8s.io", "-o", "json"])).expect("JSON");
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        events.retain(|event| event["regarding"]["name"] == name);
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events.iter().map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
    }

    /// Waits for an Event; gives its note.
    #[track_caller]
    pub fn until_event(&self, name: &str, reason: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            let events = self.events(name);
            if let Some((_, note)) = events.iter().find(|(known, _)| known == reason) {
                return note.clone();
            }
            assert!(Instant::now() < end, "no Event {reason} of {name}: {events:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.stop();
    }
}

/// A condition of an object: status and reason; nothing when it is not there.
pub fn condition(object: &Value, kind: &str) -> Option<(String, String)> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}
