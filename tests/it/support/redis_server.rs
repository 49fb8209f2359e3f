//! A Redis of a test's own, to be emptied, frozen, cut off, restarted.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use relay::link::RedisSettings;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{certificates, free_port};

/// A redis-server on loopback and a free port, with a password and a folder of its own. It ends with the value.
pub struct RedisServer {
    folder: TempDir,
    options: Vec<String>,
    port: u16,
    tls: bool,
    child: Option<Child>,
}

const PASSWORD: &str = "the-servers-own";

impl RedisServer {
    /// With these further options of redis-server. Nothing is on its disk unless they say so.
    pub async fn start(options: &[&str]) -> RedisServer {
        RedisServer::begin(options, false).await
    }

    /// One that speaks TLS alone, with the certificates of `certificates` in its folder.
    pub async fn start_with_tls() -> RedisServer {
        let tls = ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"];
        RedisServer::begin(
            &[&tls[..], &["--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no"]].concat(),
            true,
        )
        .await
    }

    async fn begin(options: &[&str], tls: bool) -> RedisServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if tls {
            certificates(folder.path());
        }
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        let mut server = RedisServer { folder, options, port: 0, tls, child: None };
        for _ in 0..5 {
            server.port = free_port();
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
        self.url_at("127.0.0.1")
    }

    /// The same by another name of this machine.
    pub fn url_at(&self, host: &str) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://default:{PASSWORD}@{host}:{}/0", self.port)
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What no message may tell.
    pub fn password(&self) -> &'static str {
        PASSWORD
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
        let client = match self.tls {
            false => redis::Client::open(self.url())?,
            true => {
                let root_cert = Some(std::fs::read(self.file("ca.crt"))?);
                let certificates = redis::TlsCertificates { client_tls: None, root_cert };
                redis::Client::build_with_tls(self.url(), certificates)?
            }
        };
        let mut connection = super::redis::connected(&client).await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    async fn launch(&mut self) -> bool {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.expect("a log");
        let mut command = Command::new("redis-server");
        let (port, none) = (self.port.to_string(), "0".to_owned());
        let (plain, tls) = if self.tls { (none, port) } else { (port, none) };
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &plain,
            "--tls-port",
            &tls,
            "--requirepass",
            PASSWORD,
        ]);
        command.current_dir(self.folder.path());
        command.args(["--save", "", "--dir"]).arg(self.folder.path()).args(&self.options);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).spawn();
        self.child = Some(child.expect("redis-server is installed"));
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..6_000 {
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
