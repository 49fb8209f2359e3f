//! Who lives in the house, comes, goes and dies: operators and workers.

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::Signal;

use super::books;
use super::house::{House, SLOTS};
use super::network::Network;
use super::process::Process;
use crate::support::relay;

impl House {
    /// One more operator.
    pub fn operator(&mut self, probes: u16, api: u16) -> Process {
        self.born += 1;
        let name = format!("operator-{}", self.born);
        let mut command = relay();
        command.env("KUBECONFIG", self.control.kubeconfig()).env("POD_NAME", &name);
        command.env("RELAY_ACCEPT_OLDER_STATE", self.accepts_older.to_string());
        command.args(["operator", "--image", "relay:test", "--redis-url", &self.redis.url()]);
        command.args(["--database-url", &self.postgres.url("")]);
        command.arg(format!("--listen=127.0.0.1:{probes}")).arg(format!("--api-listen=127.0.0.1:{api}"));
        self.begin(&name, command, false)
    }

    /// Starts a process of the house, with a clock of its own and where it is to be cut off with a network of its own.
    fn begin(&mut self, name: &str, mut command: Command, apart: bool) -> Process {
        let folder = self.folder.path();
        let Some(means) = &mut self.means else {
            let process = Process::start(name, &mut command, folder);
            self.logs.push(process.log.clone());
            return process;
        };
        let clock = means.clocks.give(&mut command, name);
        let mut command = if apart { Network::apart(&command) } else { command };
        let mut process = Process::start(name, &mut command, folder);
        process.clock = Some(clock);
        process.way = apart.then(|| means.network.lead(process.id()));
        self.logs.push(process.log.clone());
        process
    }

    /// Where the workers of the pool of a namespace log in, as its Secret tells.
    pub fn secret(&self, namespace: &str) -> Option<String> {
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
        let url = match &self.means {
            Some(means) => url.replace("127.0.0.1", &means.network.here()),
            None => url.to_owned(),
        };
        let mut command = relay();
        command.arg("worker").env("RELAY_REDIS_URL", url).env("RELAY_POOL", format!("{namespace}/pool"));
        command.env("RELAY_SLOTS", SLOTS.to_string()).env("RELAY_WORKER_NAME", &name);
        command.env("RELAY_WORK_DIR", self.folder.path().join(&name));
        self.begin(&name, command, true)
    }

    /// The pool, as the queue calls it.
    pub fn pool(&self) -> String {
        format!("{}/pool", self.namespace)
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

    /// Cuts the worker off that is there longest; gives its name.
    pub fn cut_worker(&mut self) -> String {
        let worker = &self.workers[0];
        worker.way.as_ref().expect("a network of its own").cut();
        worker.name.clone()
    }

    /// Ends that.
    pub fn join_worker(&mut self, name: &str) {
        let worker = self.workers.iter().find(|worker| worker.name == name);
        // One that ended meanwhile took its network with it, and is complained of elsewhere.
        worker.and_then(|worker| worker.way.as_ref()).into_iter().for_each(|way| way.join());
    }

    /// Puts the clocks of an operator and of the worker that is there longest; gives their names.
    pub fn shift_clocks(&mut self, operator: usize, seconds: i64) -> (String, String) {
        let (operator, worker) = (&self.operators[operator].process, &self.workers[0]);
        for process in [operator, worker] {
            process.clock.as_ref().expect("a clock of its own").shift(seconds);
        }
        (operator.name.clone(), worker.name.clone())
    }

    /// The clocks of these are right again.
    pub fn right_clocks(&mut self, names: &[String]) {
        let operators = self.operators.iter().map(|operator| &operator.process);
        for process in operators.chain(&self.workers).filter(|process| names.contains(&process.name)) {
            process.clock.as_ref().expect("a clock of its own").shift(0);
        }
    }

    /// Has each of the workers that are there begun a task since the ledger had this length?
    pub fn is_busy(&self, since: u64) -> bool {
        let began = self.began_since(since);
        self.workers.iter().all(|worker| began.contains(&worker.name))
    }

    /// Is somebody on the way out?
    pub fn is_left(&self) -> bool {
        self.leaving.is_empty()
    }

    /// Starts an operator again that ended.
    pub fn start_again(&mut self, number: usize) {
        let (probes, api) = (self.operators[number].probes, self.operators[number].api);
        self.operators[number].process = self.operator(probes, api);
    }

    /// Everybody ends in order; gives what they leave behind.
    pub fn close(&mut self) -> Vec<String> {
        let workers: BTreeSet<String> = self.workers.iter().map(|worker| worker.name.clone()).collect();
        for workers in [true, false] {
            let mut ending: Vec<Process> = match workers {
                true => std::mem::take(&mut self.workers),
                false => std::mem::take(&mut self.operators).into_iter().map(|one| one.process).collect(),
            };
            ending.iter_mut().for_each(|process| process.signal(Signal::TERM));
            self.leaving.extend(ending);
            self.until("who was told to end has ended", House::is_left);
        }
        books::of_the_dead(self, &workers)
    }
}
