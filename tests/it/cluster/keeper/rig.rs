//! The keeper of pools within the test, with the rights that the chart gives it, against a real API server and a real
//! Redis. Nothing makes pods there, so a test says what its Deployment has.

use std::process::Command;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use relay::clock::Clock;
use relay::conductor::{self, Adopt, Conductor, Demand, Demands, Older, Outlook};
use relay::feed::memory::MemoryFeed;
use relay::link::{RedisSettings, worker_url};
use relay::model::{
    ids::ShardId,
    job::{Job, JobId},
};
use relay::operator::pulse::{Bounds, Pulses};
use relay::operator::workers::{
    self, Workers,
    desired::Settings,
    password::{Access, Users},
};
use relay::operator::{Pools, client};
use relay::queue::{
    Claim, Jobs, Queue,
    redis::{Limits, RedisJobs, RedisQueue},
};
use relay::store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::kubectl::{condition, well, with_input};
use crate::cluster::runs::control::{Control, control};
use crate::support::{RedisServer, jobs};

/// How long anything is waited for.
const SOON: Duration = Duration::from_secs(60);
/// Whom the chart's rights are given to.
const OPERATOR: &str = "relay-operator";

/// A cluster without nodes, a namespace in it, a Redis, and a keeper of pools.
pub struct Rig {
    pub control: &'static Control,
    pub namespace: String,
    pub redis: RedisServer,
    pub runtime: Runtime,
    demands: watch::Sender<Demands>,
    life: Option<(Arc<RedisQueue>, CancellationToken, JoinHandle<()>)>,
    _turn: MutexGuard<'static, ()>,
}

/// It has nothing to do but to lead.
fn conductor_of(queue: &Arc<RedisQueue>, clock: &Clock, outlook: &Arc<Outlook>) -> conductor::Params {
    let now = clock.clone();
    conductor::Params {
        store: Arc::new(MemoryStore::new(Arc::new(move || now.now()))),
        queue: queue.clone(),
        feed: Arc::new(MemoryFeed::default()),
        clock: clock.clone(),
        compile: Arc::new(|_| Err("nothing is compiled here".to_owned())),
        holder: "test".to_owned(),
        shards: (0..ShardId::COUNT).filter_map(ShardId::new).collect(),
        adopt: Adopt::All,
        older: Older::Untold,
        limits: conductor::Limits::default(),
        outlook: Some(outlook.clone()),
    }
}

impl Rig {
    /// With a keeper at work, which has this image.
    pub fn new(image: &str) -> Rig {
        let (control, turn) = control();
        let namespace = format!("pools-{}", &uuid::Uuid::now_v7().simple().to_string()[20..]);
        well(control.kubectl().args(["create", "namespace", &namespace]).output().expect("kubectl starts"));
        well(with_input(control.kubectl().args(["apply", "-f", "-"]), &rights()));
        let runtime = Runtime::new().expect("a runtime");
        let redis = runtime.block_on(RedisServer::start(&[]));
        let demands = watch::Sender::new(Demands::new());
        let mut rig = Rig { control, namespace, redis, runtime, demands, life: None, _turn: turn };
        rig.start(image);
        rig
    }

    /// Starts a keeper with this image.
    pub fn start(&mut self, image: &str) {
        self.start_for(image, Users::Managed, &self.redis.url());
    }

    /// Starts one for users that are made so, by a queue with this URL.
    pub fn start_for(&mut self, image: &str, users: Users, url: &str) {
        let queue = RedisQueue::new(&self.redis.settings_of(url), Limits::default()).expect("a queue");
        let queue = if users == Users::Managed { queue } else { queue.others_make_users() };
        let (queue, stop, redis) = (Arc::new(queue), CancellationToken::new(), self.redis.url());
        let access = Access {
            secret: "of-the-test".to_owned(),
            users,
            ca: None,
            url_for: Arc::new(move |user, password| {
                worker_url(&redis, user, password).map_err(|error| error.to_string())
            }),
        };
        let kubeconfig =
            kube::config::Kubeconfig::read_from(self.control.kubeconfig()).expect("a kubeconfig");
        let (until, queue_of_conductor) = (stop.clone(), queue.clone());
        let (roster, demands, pools) = (queue.clone(), self.demands.subscribe(), Pools::default());
        let settings = Settings { image: image.to_owned(), redis_prefix: "relay".to_owned() };
        let working = self.runtime.spawn(async move {
            let options = kube::config::KubeConfigOptions::default();
            let mut config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a config");
            config.auth_info.impersonate = Some(OPERATOR.to_owned());
            let client = client::of(config).expect("a client");
            let clock = Clock::system();
            let outlook = Arc::new(Outlook::default());
            let (conductor, handle) = Conductor::new(conductor_of(&queue_of_conductor, &clock, &outlook));
            let conducting = tokio::spawn(conductor.run(until.clone()));
            handle.live().await.expect("it leads");
            let params = workers::Params {
                client,
                roster,
                outlook,
                shards: Arc::new(conductor::every_shard().collect()),
                demands,
                pools,
                pulses: Arc::new(Pulses::new(clock.clone(), Bounds::default())),
                clock,
                settings,
                access,
                instance: "test".to_owned(),
            };
            Workers::new(params).run(until).await;
            conducting.await.expect("no panic").expect("in order");
        });
        self.life = Some((queue, stop, working));
    }

    /// Ends the keeper as a process ends that is killed.
    pub fn stop(&mut self) {
        let Some((_, stop, working)) = self.life.take() else { return };
        stop.cancel();
        self.runtime.block_on(working).expect("no panic");
    }

    /// So many tasks run in the pool.
    pub fn demand(&self, running: usize) {
        let of = Demand { running, ..Demand::default() };
        let all = (running > 0).then(|| (self.key(), of));
        self.demands.send_replace(all.into_iter().collect());
    }

    /// The pool, as the queue calls it.
    pub fn key(&self) -> String {
        format!("{}/pool", self.namespace)
    }

    /// The conductor's side of the queue.
    pub fn queue(&self) -> &RedisQueue {
        &self.life.as_ref().expect("it runs").0
    }

    /// A worker that logs in with what the pool's Secret says.
    pub fn worker(&self) -> RedisJobs {
        let url = self.run(&[
            "get",
            "secret",
            "relay-pool-redis",
            "-o",
            "go-template={{.data.url | base64decode}}",
        ]);
        let settings: RedisSettings = self.redis.settings_of(&url);
        let worker = RedisJobs::new(&settings, &self.key(), "relay-pool-0-w").expect("a worker");
        self.runtime.block_on(worker.beat("relay-pool-0-w", &[], jobs::second(0))).expect("it is let in");
        worker
    }

    /// Gives the worker a job.
    pub fn give(&self, worker: &RedisJobs) -> JobId {
        let job = Job { pool: self.key(), ..jobs::job(0) };
        let claim = Claim {
            worker: "relay-pool-0-w".to_owned(),
            pools: relay::queue::Pools::One(self.key()),
            slots: 1,
            holding: Vec::new(),
        };
        let claimed = self.runtime.block_on(async {
            self.queue().publish(std::slice::from_ref(&job)).await.expect("published");
            tokio::time::timeout(SOON, worker.claim(&claim)).await.expect("in time").expect("a claim")
        });
        assert_eq!(claimed, [job]);
        jobs::job_id(0)
    }

    /// May workers of the pool log in?
    pub fn lets_in(&self) -> bool {
        let users = self.runtime.block_on(self.redis.say(&["ACL", "USERS"]));
        format!("{users:?}").contains(&format!("relay-worker.{}.pool", self.namespace))
    }

    /// A pod of the pool, which no node takes.
    pub fn pod(&self) {
        let labels = json!({
            "app.kubernetes.io/name": "relay-worker", "app.kubernetes.io/managed-by": "relay",
            "relay.works/pool": "pool",
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "relay-pool-0", "labels": labels},
            "spec": {"containers": [{"name": "worker", "image": "none"}]},
        });
        self.apply(&pod.to_string());
    }

    /// The Deployment has as many workers as it is asked for, all ready.
    pub fn workers_start(&self) {
        let made = self.get("deployment", "relay-pool");
        let (n, generation) = (&made["spec"]["replicas"], &made["metadata"]["generation"]);
        let status = json!({"status": {
            "replicas": n, "readyReplicas": n, "updatedReplicas": n, "availableReplicas": n,
            "observedGeneration": generation,
        }});
        let patch = ["patch", "deployment", "relay-pool", "--subresource=status", "--type=merge", "-p"];
        self.run(&[&patch[..], &[&status.to_string()]].concat());
    }

    /// Waits until the Deployment is asked for so many replicas.
    #[track_caller]
    pub fn until_asked(&self, replicas: u32) -> Value {
        self.until("deployment", "relay-pool", |made| made["spec"]["replicas"] == replicas)
    }

    /// Waits until the pool says this of itself; gives the words.
    #[track_caller]
    pub fn until_says(&self, reason: &str) -> String {
        let says = |pool: &Value| condition(pool, "Ready").is_some_and(|(_, why, _)| why == reason);
        let pool = self.until("workerpool", "pool", says);
        condition(&pool, "Ready").expect("it is there").2
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
        let mut object = Value::Null;
        self.wait(&format!("{kind} {name} becomes so"), || {
            object = self.get(kind, name);
            wanted(&object)
        });
        object
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait(&self, what: &str, mut so: impl FnMut() -> bool) {
        let end = Instant::now() + SOON;
        while !so() {
            let now = || self.run(&["get", "workerpools,deployments,pods", "-o", "yaml"]);
            assert!(Instant::now() < end, "not within {SOON:?}: {what}\n{}", now());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// The rights of the chart's operator, given to a user.
fn rights() -> String {
    let chart = crate::support::read("charts/relay/templates/rbac.yaml");
    let rules =
        chart.split("\nrules:\n").nth(1).and_then(|rest| rest.split("\n---").next()).expect("the rules");
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {OPERATOR}}}
rules:
{rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {OPERATOR}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {OPERATOR}}}
subjects: [{{kind: User, apiGroup: rbac.authorization.k8s.io, name: {OPERATOR}}}]
"
    )
}
