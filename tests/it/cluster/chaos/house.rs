//! Everything that may die: servers of the test's own, two operators, workers. Nothing of it is a pod.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::clock::Clocks;
use super::network::Network;
use super::process::Process;
use super::watch::Watch;
use crate::cluster::kubectl::with_input;
use crate::cluster::runs::control::Control;
use crate::support::{PostgresServer, RedisServer, free_port};

/// How long anything is waited for, on a machine that others use as well.
pub const SOON: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Workers at a time.
const WORKERS: usize = 3;
/// Tasks of a worker at a time.
pub const SLOTS: usize = 8;
/// How many may be connected to Postgres at a time: what two operators may ask for, and the test itself.
const CONNECTIONS: &str = "max_connections=80";

/// An operator; whoever keeps it starts it again when it ends.
pub struct Operator {
    pub probes: u16,
    pub api: u16,
    pub process: Process,
}

/// What the house must be able to do to its people.
pub struct Means {
    /// Each has a clock of its own.
    pub clocks: Clocks,
    /// Each worker has a network of its own.
    pub network: Network,
}

/// The house and all who live in it.
pub struct House {
    // What lives in the house goes before what it lives from.
    pub operators: Vec<Operator>,
    pub workers: Vec<Process>,
    /// Who was told to end.
    pub leaving: Vec<Process>,
    /// Logs of all, those of the dead too.
    pub logs: Vec<PathBuf>,
    pub watch: Watch,
    pub redis: RedisServer,
    pub postgres: PostgresServer,
    pub control: Control,
    pub runtime: Runtime,
    pub folder: tempfile::TempDir,
    pub namespace: String,
    /// Where workers log in, once it is known.
    pub url: String,
    /// Only of a house for every kind of fault; its logs stay after a failure.
    pub means: Option<Means>,
    /// Whether operators that start from now on go on from an older state of Postgres.
    pub accepts_older: bool,
    pub born: usize,
    /// Ends that nobody brought about: by whom, and how.
    pub ends: Vec<(String, ExitStatus)>,
}

impl House {
    /// Everything is up, the pool's workers may log in, and one operator leads. With `means` every fault can be brought about.
    pub fn start(every_fault: bool) -> House {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::Builder::new().prefix("chaos").tempdir().expect("a folder");
        let means =
            every_fault.then(|| Means { clocks: Clocks::build(folder.path()), network: Network::new() });
        let mut options = Vec::new();
        // Not there before the first worker is, and no reason not to start.
        let far = means.as_ref().map(|means| format!("-{}", means.network.here()));
        if let Some(far) = &far {
            options.extend(["--bind", "127.0.0.1", far]);
        }
        let redis = runtime.block_on(RedisServer::start(&options));
        let postgres = runtime.block_on(PostgresServer::start(&[CONNECTIONS], |_| {}));
        let control = Control::start();
        let watch = Watch::start(&runtime, postgres.url(super::look::OWN));
        let mut house = House {
            operators: Vec::new(),
            workers: Vec::new(),
            leaving: Vec::new(),
            logs: Vec::new(),
            watch,
            redis,
            postgres,
            control,
            runtime,
            folder,
            namespace: "chaos".to_owned(),
            url: String::new(),
            means,
            accepts_older: false,
            born: 0,
            ends: Vec::new(),
        };
        house.fill();
        house
    }

    fn fill(&mut self) {
        self.apply("chaos", &namespace("chaos"));
        for _ in 0..2 {
            let (probes, api) = (free_port(), free_port());
            let process = self.operator(probes, api);
            self.operators.push(Operator { probes, api, process });
        }
        self.until("an operator leads", |house| house.leader().is_some());
        let pool = format!(
            "{{apiVersion: relay.works/v1alpha1, kind: WorkerPool, metadata: {{name: pool}}, \
             spec: {{image: 'none:1', slotsPerWorker: {SLOTS}, replicas: {WORKERS}}}}}"
        );
        self.apply("chaos", &pool);
        self.until("there is a Secret for workers", |house| house.secret("chaos").is_some());
        (0..WORKERS).for_each(|_| self.hire());
        // From now on there is a way, and with it this address of the machine. Whenever Redis starts again it finds it.
        if let Some(far) = self.means.as_ref().map(|means| means.network.here()) {
            self.say(&["CONFIG", "SET", "bind", &format!("127.0.0.1 {far}")]);
        }
    }

    /// Who ended by himself is started again, as a kubelet would.
    pub fn tend(&mut self) {
        for number in 0..self.operators.len() {
            let process = &mut self.operators[number].process;
            if let Some(status) = process.end() {
                self.ends.push((process.name.clone(), status));
                self.start_again(number);
            }
        }
        for number in (0..self.workers.len()).rev() {
            if let Some(status) = self.workers[number].end() {
                let worker = self.workers.remove(number);
                self.ends.push((worker.name.clone(), status));
                self.hire();
            }
        }
        let ends = &mut self.ends;
        self.leaving.retain_mut(|worker| match worker.end() {
            Some(status) if !status.success() => {
                ends.push((worker.name.clone(), status));
                false
            }
            ended => ended.is_none(),
        });
    }

    /// Waits until something is so, and keeps everybody alive meanwhile.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut so: impl FnMut(&House) -> bool) {
        let end = Instant::now() + SOON;
        while !so(self) {
            assert!(Instant::now() < end, "not within {SOON:?}: {what}\n{}\n{}", self.told(), self.kept());
            self.tend();
            std::thread::park_timeout(LOOK);
        }
    }

    /// Applies manifests in a namespace, however slow the API server is at the moment.
    #[track_caller]
    pub fn apply(&mut self, namespace: &str, manifests: &str) {
        self.insist(&["-n", namespace, "apply", "--server-side", "-f", "-"], manifests);
    }

    /// Says something to the API server by kubectl until it is done. What is gone already need not be deleted.
    #[track_caller]
    pub fn insist(&mut self, words: &[&str], input: &str) {
        self.until(&format!("the API server takes {words:?}"), |house| {
            let said = with_input(house.control.kubectl().args(words), input);
            said.status.success() || String::from_utf8_lossy(&said.stderr).contains("(NotFound)")
        });
    }

    /// Lets a fault last.
    pub fn lasts(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tend();
            std::thread::park_timeout(LOOK);
        }
    }
}

/// A namespace, as a manifest.
pub fn namespace(name: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")
}
