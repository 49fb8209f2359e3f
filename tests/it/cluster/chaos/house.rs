//! Everything that may die: servers of the test's own, two operators, workers. Nothing of it is a pod.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::Runtime;

use super::process::Process;
use crate::cluster::kubectl::{well, with_input};
use crate::cluster::runs::control::Control;
use crate::cluster::servers::free_port;
use crate::support::{PostgresServer, RedisServer, relay};

/// How long anything is waited for.
pub const SOON: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Workers at a time.
const WORKERS: usize = 3;
/// Tasks of a worker at a time.
const SLOTS: usize = 8;

/// An operator; whoever keeps it starts it again when it ends.
struct Operator {
    probes: u16,
    api: u16,
    process: Process,
}

/// The house and all who live in it.
pub struct House {
    // What lives in the house goes before what it lives from.
    operators: Vec<Operator>,
    workers: Vec<Process>,
    /// Workers that were told to end.
    leaving: Vec<Process>,
    /// Logs of all, those of the dead too.
    pub logs: Vec<PathBuf>,
    pub redis: RedisServer,
    pub postgres: PostgresServer,
    pub control: Control,
    pub runtime: Runtime,
    pub folder: tempfile::TempDir,
    pub namespace: String,
    url: String,
    /// Whether logs stay after a failure.
    keeps: bool,
    born: usize,
    /// Ends that nobody brought about: by whom, and how.
    pub ends: Vec<(String, ExitStatus)>,
}

impl House {
    /// Everything is up, the pool's workers may log in, and one operator leads.
    pub fn start(keeps: bool) -> House {
        let runtime = Runtime::new().expect("a runtime");
        let redis = runtime.block_on(RedisServer::start(&[]));
        let postgres = runtime.block_on(PostgresServer::start(&["max_connections=200"], |_| {}));
        let control = Control::start();
        let folder = tempfile::Builder::new().prefix("chaos").tempdir().expect("a folder");
        let mut house = House {
            operators: Vec::new(),
            workers: Vec::new(),
            logs: Vec::new(),
            redis,
            postgres,
            control,
            runtime,
            folder,
            namespace: "chaos".to_owned(),
            url: String::new(),
            keeps,
            leaving: Vec::new(),
            born: 0,
            ends: Vec::new(),
        };
        well(
            house.control.kubectl().args(["create", "namespace", "chaos"]).output().expect("kubectl starts"),
        );
        for _ in 0..2 {
            let (probes, api) = (free_port(), free_port());
            let process = house.operator(probes, api);
            house.operators.push(Operator { probes, api, process });
        }
        house.until("an operator leads", |house| house.leader().is_some());
        house.apply(&format!(
            "{{apiVersion: relay.works/v1alpha1, kind: WorkerPool, metadata: {{name: pool}}, \
             spec: {{image: 'none:1', slotsPerWorker: {SLOTS}, replicas: {WORKERS}}}}}"
        ));
        house.until("there is a Secret for workers", |house| house.secret("chaos").is_some());
        (0..WORKERS).for_each(|_| house.hire());
        house
    }

    fn operator(&mut self, probes: u16, api: u16) -> Process {
        self.born += 1;
        let name = format!("operator-{}", self.born);
        let mut command = relay();
        command.env("KUBECONFIG", self.control.kubeconfig()).env("POD_NAME", &name);
        command.args(["operator", "--image", "relay:test", "--redis-url", &self.redis.url()]);
        command.args(["--database-url", &self.postgres.url("")]);
        command.arg(format!("--listen=127.0.0.1:{probes}")).arg(format!("--api-listen=127.0.0.1:{api}"));
        let process = Process::start(&name, &mut command, self.folder.path());
        self.logs.push(process.log.clone());
        process
    }

    /// Where the workers of the pool of a namespace log in, as its Secret tells.
    fn secret(&self, namespace: &str) -> Option<String> {
        let template = "go-template={{.data.url | base64decode}}";
        let mut get = self.control.kubectl();
        get.args(["-n", namespace, "get", "secret", "relay-pool-redis", "-o", template]);
        let output = get.output().expect("kubectl starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One more worker. The URL stays as it is, so the API server may be away.
    pub fn hire(&mut self) {
        if self.url.is_empty() {
            self.url = self.secret("chaos").expect("it was there");
        }
        let (url, namespace) = (self.url.clone(), self.namespace.clone());
        let worker = self.worker(&namespace, &url);
        self.workers.push(worker);
    }

    /// A worker of the pool of another namespace, which nobody starts again.
    pub fn worker_of(&mut self, namespace: &str) -> Process {
        self.until("there is a Secret for workers", |house| house.secret(namespace).is_some());
        let url = self.secret(namespace).expect("it was there");
        self.worker(namespace, &url)
    }

    fn worker(&mut self, namespace: &str, url: &str) -> Process {
        self.born += 1;
        let name = format!("worker-{}", self.born);
        let mut command = relay();
        command.arg("worker").env("RELAY_REDIS_URL", url).env("RELAY_POOL", format!("{namespace}/pool"));
        command.env("RELAY_SLOTS", SLOTS.to_string()).env("RELAY_WORKER_NAME", &name);
        command.env("RELAY_WORK_DIR", self.folder.path().join(&name));
        let process = Process::start(&name, &mut command, self.folder.path());
        self.logs.push(process.log.clone());
        process
    }

    /// The pool, as the queue calls it.
    pub fn pool(&self) -> String {
        format!("{}/pool", self.namespace)
    }

    /// Which of the operators leads; none when none says so, or both do.
    pub fn leader(&self) -> Option<usize> {
        let leads = |operator: &Operator| health(operator.api).is_some_and(|why| why.contains("it leads"));
        let leading: Vec<usize> = (0..self.operators.len()).filter(|n| leads(&self.operators[*n])).collect();
        if let [one] = leading[..] { Some(one) } else { None }
    }

    /// Which of the operators stands by.
    pub fn stands_by(&self) -> Option<usize> {
        let waits =
            |n: &usize| health(self.operators[*n].api).is_some_and(|why| why.contains("it stands by"));
        (0..self.operators.len()).find(waits)
    }

    /// Sends a signal to an operator.
    pub fn signal_operator(&mut self, number: usize, signal: Signal) {
        self.operators[number].process.signal(signal);
    }

    /// Kills an operator. It is started again.
    pub fn kill_operator(&mut self, number: usize) {
        self.operators[number].process.kill();
        self.start_again(number);
    }

    /// Kills the worker that is there longest; another one starts.
    pub fn kill_worker(&mut self) {
        let mut worker = self.workers.remove(0);
        worker.kill();
        self.hire();
    }

    /// Kills both operators before one of them is started again.
    pub fn kill_operators(&mut self) {
        self.operators.iter_mut().for_each(|operator| operator.process.kill());
        (0..self.operators.len()).for_each(|number| self.start_again(number));
    }

    /// Tells the worker that is there longest to end; another one starts.
    pub fn drain_worker(&mut self) {
        let mut worker = self.workers.remove(0);
        worker.signal(Signal::TERM);
        self.leaving.push(worker);
        self.hire();
    }

    /// Sends a signal to the worker of this name, or to the one that is there longest; gives its name.
    pub fn signal_worker(&mut self, name: Option<String>, signal: Signal) -> String {
        let named = |worker: &&mut Process| name.as_ref().is_none_or(|name| *name == worker.name);
        let worker = self.workers.iter_mut().find(named).expect("it is there");
        worker.signal(signal);
        worker.name.clone()
    }

    /// Is somebody on the way out?
    pub fn is_left(&self) -> bool {
        self.leaving.is_empty()
    }

    fn start_again(&mut self, number: usize) {
        let (probes, api) = (self.operators[number].probes, self.operators[number].api);
        self.operators[number].process = self.operator(probes, api);
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

    /// Asks Postgres. It may be away.
    pub fn ask(&self, question: &str) -> sqlx::Result<Vec<PgRow>> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.postgres.url("")).await?;
            let rows = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(rows)
        })
    }

    /// Asks Postgres for a number; none when it is away.
    pub fn number(&self, question: &str) -> Option<i64> {
        let rows = self.ask(question).ok()?;
        Some(sqlx::Row::get(rows.first()?, 0))
    }

    /// How many transitions were committed.
    pub fn position(&self) -> Option<i64> {
        self.number("select sum(seq)::bigint from shards")
    }

    /// A count that Redis tells of a key of the pool; none when it is away.
    pub fn count(&self, command: &str, key: &str) -> Option<i64> {
        let key = format!("relay:{{{}}}:{key}", self.pool());
        match self.runtime.block_on(self.redis.try_say(&[command, &key])) {
            Ok(redis::Value::Int(count)) => Some(count),
            _ => None,
        }
    }

    /// Applies manifests in the namespace.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        self.apply_in(&self.namespace, manifests);
    }

    /// Applies manifests in a namespace.
    #[track_caller]
    pub fn apply_in(&self, namespace: &str, manifests: &str) {
        let mut apply = self.control.kubectl();
        well(with_input(apply.args(["-n", namespace, "create", "-f", "-"]), manifests));
    }

    /// All Runs as objects; none when the API server is away.
    pub fn runs(&self) -> Option<Vec<Value>> {
        let mut get = self.control.kubectl();
        let output = get.args(["-n", &self.namespace, "get", "runs", "-o", "json"]).output();
        let output = output.expect("kubectl starts");
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list["items"].as_array().cloned()
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

    /// Lets a fault last.
    pub fn lasts(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tend();
            std::thread::park_timeout(LOOK);
        }
    }

    /// Keeps logs and ledger beside what is built, if that is wanted, and tells where.
    pub fn kept(&self) -> String {
        if !self.keeps {
            return String::new();
        }
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos");
        drop(std::fs::remove_dir_all(&place));
        std::fs::create_dir_all(&place).expect("a folder");
        for path in self.logs.iter().chain([&self.folder.path().join("ledger")]) {
            std::fs::copy(path, place.join(path.file_name().expect("a file"))).expect("copied");
        }
        format!("logs and ledger are in {}", place.display())
    }

    /// The end of each log, for whoever has to find out.
    pub fn told(&self) -> String {
        let last = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("== {}\n{}\n", path.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        self.logs.iter().map(last).collect()
    }
}

/// What an operator tells of itself; none when it does not answer.
fn health(port: u16) -> Option<String> {
    let wait = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
