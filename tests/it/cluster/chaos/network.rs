//! Workers with a network of their own, which can be cut: a namespace each, and a pair of interfaces that leads to this
//! machine. Both go with the last process in the namespace.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::kubectl::well;

/// How long a namespace may take to be there.
const SOON: Duration = Duration::from_secs(30);

/// Waits for its interface and becomes the program that it was given.
const WAITS: &str =
    "until ip -o link show eth0 2>/dev/null | grep -q LOWER_UP; do sleep 0.05; done; exec \"$0\" \"$@\"";

/// The addresses of one house.
pub struct Network {
    /// Of this process alone: two beds meet in no address and no interface.
    mark: u32,
    given: u8,
}

/// The way of one worker.
pub struct Way {
    interface: String,
}

impl Network {
    pub fn new() -> Network {
        Network { mark: std::process::id() & 0xffff, given: 0 }
    }

    /// Where this machine is found: at the near end of every way.
    pub fn here(&self) -> String {
        self.address(1)
    }

    fn address(&self, last: u8) -> String {
        format!("10.{}.{}.{last}", 64 + self.mark / 256 % 128, self.mark % 256)
    }

    /// The same program, in a namespace of its own; it begins once `lead` has laid its way.
    pub fn apart(command: &Command) -> Command {
        let mut apart = Command::new("unshare");
        apart.args(["--net", "--", "sh", "-c", WAITS]).arg(command.get_program()).args(command.get_args());
        apart.env_clear();
        for (name, value) in command.get_envs() {
            apart.envs(value.map(|value| (name, value)));
        }
        apart
    }

    /// Lays the way to a process that was started so.
    pub fn lead(&mut self, pid: u32) -> Way {
        let space = |of: &str| std::fs::read_link(PathBuf::from(format!("/proc/{of}/ns/net"))).ok();
        let end = Instant::now() + SOON;
        while space(&pid.to_string()).is_none_or(|own| Some(own) == space("self")) {
            assert!(Instant::now() < end, "no namespace for {pid} within {SOON:?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.given = self.given % 200 + 1;
        let (here, there) = (self.here(), self.address(self.given + 1));
        let interface = format!("rc{:x}n{}", self.mark, self.given);
        let inside = ["-t", &pid.to_string(), "-n", "ip"];
        ip(&["link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &pid.to_string()]);
        ip(&["addr", "add", &here, "peer", &there, "dev", &interface]);
        ip(&["link", "set", &interface, "up"]);
        let enter = |words: &[&str]| run("nsenter", &[&inside[..], words].concat());
        enter(&["addr", "add", &there, "peer", &here, "dev", "eth0"]);
        enter(&["link", "set", "lo", "up"]);
        enter(&["link", "set", "eth0", "up"]);
        Way { interface }
    }
}

impl Way {
    /// Nothing arrives any more, at either end, and nobody is told.
    pub fn cut(&self) {
        ip(&["link", "set", &self.interface, "down"]);
    }

    /// It leads there again.
    pub fn join(&self) {
        ip(&["link", "set", &self.interface, "up"]);
    }
}

fn ip(words: &[&str]) {
    run("ip", words);
}

fn run(program: &str, words: &[&str]) {
    well(Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}")));
}
