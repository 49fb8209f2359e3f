//! Where it is measured: nothing but Relay and the servers that it needs, each a process of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use relay::bench::GIVES_BACK;
use relay::clock::Clock;
use relay::crd::schema::Kind;
use relay::operator::api;
use serde_json::json;
use tokio::runtime::Runtime;

use super::calls::Calls;
use super::operator::Operator;
use super::watched::{Seen, Watched};
use crate::cluster::kubectl::{well, with_input};
use crate::cluster::runs::control::Control;
use crate::cluster::servers::{spawn, until};
use crate::support::{PostgresServer, RedisServer, free_port, relay};

const NAMESPACE: &str = "bench";
/// Tasks that the worker runs at a time.
const SLOTS: usize = 64;
/// Runs that are created at a time.
pub const CREATORS: usize = 32;

/// All of it, and one watch of Runs as a user may have it.
pub struct Stage {
    // What lives from the servers ends before them.
    pub operator: Operator,
    _worker: Ended,
    pub runs: Api<DynamicObject>,
    client: Client,
    watched: Watched,
    control: Control,
    servers: (PostgresServer, RedisServer),
    folder: tempfile::TempDir,
    pub clock: Clock,
    pub runtime: Runtime,
}

/// A process that is killed with the value.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself, and a panic may be under way.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How long after a Run's creation began ...
pub struct Single {
    /// ... its task ran.
    pub started: Duration,
    /// ... a watch told of its end.
    pub finished: Duration,
}

/// How long after the first creation began ...
pub struct Crowd {
    /// ... the last Run was created.
    pub created: Duration,
    /// ... the last task ran.
    pub started: Duration,
    /// ... a watch told of the last end.
    pub finished: Duration,
    /// What a watch told of them, in events.
    pub events: u64,
}

impl Stage {
    /// With a pool whose worker is warm. The program is the built relay, or another build of it.
    pub fn start(program: Option<PathBuf>) -> Stage {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::Builder::new().prefix("bench").tempdir().expect("a folder");
        let redis = runtime.block_on(RedisServer::start(&[]));
        let postgres = runtime.block_on(PostgresServer::start(&[], |_| {}));
        let control = Control::start();
        let kubeconfig = kube::config::Kubeconfig::read_from(control.kubeconfig()).expect("a kubeconfig");
        let client = runtime.block_on(async {
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a config");
            relay::operator::client::of(config).expect("a client")
        });
        let program = || match &program {
            Some(path) => {
                let mut command = Command::new(path);
                command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
                command
            }
            None => relay(),
        };
        well(control.kubectl().args(["create", "namespace", NAMESPACE]).output().expect("kubectl starts"));
        let mut operator = program();
        operator.env("KUBECONFIG", control.kubeconfig()).env("POD_NAME", "operator");
        operator.env(GIVES_BACK.0, GIVES_BACK.1);
        operator.args(["operator", "--image", "relay:test", "--redis-url", &redis.url()]);
        operator.args(["--database-url", &postgres.url("")]);
        operator.arg(format!("--api-listen=127.0.0.1:{}", free_port()));
        let operator = Operator::start(operator, folder.path().join("operator.log"));
        let url = pool(&control, &folder.path().display().to_string());
        let mut worker = program();
        worker.arg("worker").env("RELAY_REDIS_URL", url).env("RELAY_POOL", format!("{NAMESPACE}/pool"));
        worker.env("RELAY_SLOTS", SLOTS.to_string()).env("RELAY_WORK_DIR", folder.path().join("worker"));
        let ready = folder.path().join("ready");
        worker.env("RELAY_READY_FILE", &ready);
        let _worker = Ended(spawn(&mut worker, &folder.path().join("worker.log")));
        until("the worker is ready", || ready.exists());
        let runs = Api::namespaced_with(client.clone(), NAMESPACE, &api::resource(Kind::Run));
        let watched = runtime.block_on(Watched::open(runs.clone()));
        let clock = Clock::system();
        let servers = (postgres, redis);
        Stage { operator, _worker, runs, client, watched, control, servers, folder, clock, runtime }
    }

    /// Runs of one task, one after the other.
    pub fn singles(&self, name: &str, count: usize) -> Vec<Single> {
        let one = async |number: usize| {
            let name = format!("{name}-{number}");
            let (began, at) = (Instant::now(), self.clock.now());
            self.create(&name, "one").await;
            let seen = self.watched.until(&name, 1, |seen| seen.finished.is_some()).await;
            let finished = ended(&seen).duration_since(began);
            Single { started: since(at, self.started(&name)), finished }
        };
        self.runtime.block_on(async {
            let mut all = Vec::new();
            for number in 0..count {
                all.push(one(1_000 + number).await);
            }
            all
        })
    }

    /// Runs of one task, all at once.
    pub fn crowd(&self, name: &str, count: usize) -> Crowd {
        self.runtime.block_on(async {
            let (began, at) = (Instant::now(), self.clock.now());
            let names: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
            let all = stream::iter(&names).map(|name| self.create(name, "one"));
            all.buffer_unordered(CREATORS).collect::<Vec<()>>().await;
            let created = began.elapsed();
            let seen = self.watched.until(name, count, |seen| seen.finished.is_some()).await;
            let last = names.iter().map(|name| self.started(name)).max().expect("some");
            let finished = ended(&seen).duration_since(began);
            let events = seen.iter().map(|seen| seen.events).sum();
            Crowd { created, started: since(at, last), finished, events }
        })
    }

    /// A run of a hundred tasks beside each other; how long it took.
    pub fn wide(&self, name: &str) -> Duration {
        self.runtime.block_on(async {
            let began = Instant::now();
            self.create(name, "wide").await;
            let seen = self.watched.until(name, 1, |seen| seen.finished.is_some()).await;
            ended(&seen).duration_since(began)
        })
    }

    /// A write until it is answered, and until a watch has told of it: of objects that Relay does not look at.
    pub fn yardsticks(&self, count: usize) -> (Vec<Duration>, Vec<Duration>) {
        let kind = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        self.runtime.block_on(async {
            let watched = Watched::open(api.clone()).await;
            let (mut answered, mut told) = (Vec::new(), Vec::new());
            for number in 0..count {
                let name = format!("yardstick-{}", 1_000 + number);
                let object = DynamicObject::new(&name, &kind).data(json!({"data": {"key": "value"}}));
                let began = Instant::now();
                api.create(&PostParams::default(), &object).await.expect("created");
                answered.push(began.elapsed());
                let seen = watched.until(&name, 1, |_| true).await;
                told.push(seen[0].first.duration_since(began));
            }
            (answered, told)
        })
    }

    /// What the API server was asked so far, once nothing more is written: Events come later than what they tell of.
    pub fn calls(&self) -> Calls {
        let mut last = self.asked();
        until("nothing is written any longer", || {
            let now = self.asked();
            let quiet = now.since(&last).written() == 0;
            last = now;
            quiet
        });
        last
    }

    /// The same at this moment.
    pub fn asked(&self) -> Calls {
        let metrics = self.control.kubectl().args(["get", "--raw", "/metrics"]).output();
        Calls::read(&well(metrics.expect("kubectl starts")))
    }

    /// A Run of this Workflow.
    pub async fn create(&self, name: &str, workflow: &str) {
        let spec = json!({"spec": {"workflowRef": {"name": workflow}}});
        let object = DynamicObject::new(name, &api::resource(Kind::Run)).data(spec);
        self.runs.create(&PostParams::default(), &object).await.expect("created");
    }

    /// A further Workflow, as YAML.
    pub fn define(&self, name: &str, manifest: &str) {
        define(&self.control, manifest);
        until_ready(&self.control, name);
    }

    /// Where the database is.
    pub fn postgres_url(&self) -> String {
        self.servers.0.url("")
    }

    /// When the task of a run said that it runs.
    fn started(&self, run: &str) -> Timestamp {
        let text = std::fs::read_to_string(self.folder.path().join(run)).expect("its task ran");
        let nanoseconds: i128 = text.trim().parse().expect("a time");
        Timestamp::from_nanosecond(nanoseconds).expect("a time")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["operator.log", "worker.log"] {
                let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
                eprintln!("{name}:\n{text}");
            }
        }
    }
}

/// Defines the pool and the workflows; where the pool's workers log in.
fn pool(control: &Control, folder: &str) -> String {
    let objects = format!(
        "{{apiVersion: relay.works/v1alpha1, kind: WorkerPool, metadata: {{name: pool}}, \
           spec: {{image: 'none:1', slotsPerWorker: {SLOTS}, replicas: 1}}}}\n---\n\
         {{apiVersion: relay.works/v1alpha1, kind: Workflow, metadata: {{name: one}}, \
           spec: {{pool: pool, tasks: [{{name: go, script: 'date +%s%N > {folder}/$RELAY_RUN'}}]}}}}\n---\n\
         {{apiVersion: relay.works/v1alpha1, kind: Workflow, metadata: {{name: wide}}, \
           spec: {{pool: pool, tasks: [{{name: each, forEach: {{from: '[{}]'}}, command: ['true']}}]}}}}\n",
        (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
    );
    define(control, &objects);
    let template = "go-template={{.data.url | base64decode}}";
    let mut url = String::new();
    until("there is a Secret for workers", || {
        let mut get = control.kubectl();
        get.args(["-n", NAMESPACE, "get", "secret", "relay-pool-redis", "-o", template]);
        let output = get.output().expect("kubectl starts");
        url = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success()
    });
    for workflow in ["one", "wide"] {
        until_ready(control, workflow);
    }
    url
}

fn define(control: &Control, objects: &str) {
    let mut apply = control.kubectl();
    apply.args(["-n", NAMESPACE, "apply", "--server-side", "-f", "-"]);
    well(with_input(&mut apply, objects));
}

fn until_ready(control: &Control, workflow: &str) {
    let mut wait = control.kubectl();
    wait.args(["-n", NAMESPACE, "wait", "workflow", workflow, "--for=condition=Ready", "--timeout=60s"]);
    well(wait.output().expect("kubectl starts"));
}

fn ended(seen: &[Seen]) -> Instant {
    seen.iter().filter_map(|seen| seen.finished).max().expect("it ended")
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).unsigned_abs()
}
