//! A Redis of a test's own, to be emptied, frozen, cut off, restarted.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use relay::link::RedisSettings;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A redis-server on loopback and a free port, with a password and a folder of its own. It ends with the value.
pub struct RedisServer {
    folder: TempDir,
    options: Vec<String>,
    port: u16,
    child: Option<Child>,
}

const PASSWORD: &str = "the-servers-own";

impl RedisServer {
    /// With these further options of redis-server. Nothing is on its disk unless they say so.
    pub async fn start(options: &[&str]) -> RedisServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        let mut server = RedisServer { folder, options, port: 0, child: None };
        for _ in 0..5 {
            // Free a moment ago; whoever takes it in between makes the next try take another.
            let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
            server.port = probe.local_addr().expect("an address").port();
            drop(probe);
            if server.launch().await {
                return server;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Starts it again on the same port, with what is on its disk.
    pub async fn start_again(&mut self) {
        assert!(self.launch().await, "redis-server does not start again: {}", self.log());
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// It answers nothing, and its connections stay.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Its URL, as the user who may do everything.
    pub fn url(&self) -> String {
        format!("redis://default:{PASSWORD}@127.0.0.1:{}/0", self.port)
    }

    /// For both sides of a queue, with short bounds: nobody waits for workers that were there before.
    pub fn settings(&self) -> RedisSettings {
        self.settings_of(&self.url())
    }

    /// The same for another URL.
    pub fn settings_of(&self, url: &str) -> RedisSettings {
        let mut settings = RedisSettings::new(url).expect("settings");
        settings.connect = Duration::from_secs(5);
        settings.answer = Duration::from_secs(5);
        settings.look = Duration::from_secs(1);
        settings.announce = Duration::ZERO;
        settings
    }

    /// Says a command, as an administrator would, and gives the answer.
    pub async fn say(&self, words: &[&str]) -> redis::Value {
        self.try_say(words).await.expect("Redis takes the command")
    }

    /// The same; it may fail.
    pub async fn try_say(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    async fn launch(&mut self) -> bool {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.expect("a log");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--requirepass", PASSWORD]);
        command.args(["--save", "", "--dir"]).arg(self.folder.path()).args(&self.options);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).spawn();
        self.child = Some(child.expect("redis-server is installed"));
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..1_000 {
            looks.tick().await;
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return false;
            }
            if self.try_say(&["PING"]).await.is_ok() {
                return true;
            }
        }
        false
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("a signal");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
