//! `relay worker` and the two small verbs that its pod needs: their arguments.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Take the jobs of a pool and run them, until SIGTERM
#[derive(clap::Args, Clone)]
#[command(after_help = "\
The first SIGTERM (or Ctrl-C) drains: nothing more is claimed, and what runs may end within
--drain-timeout. The second kills what runs.

Tasks see the environment of the worker, but for its RELAY_ variables, with a HOME and a TMPDIR
below --dir. The credentials leave the worker's environment and arguments before its first task,
and no process without privileges can look into the worker.

Exit status: 0 after it drained or was killed, 1 when it could not go on, 2 for wrong arguments.")]
pub struct Args {
    /// Where the jobs are: redis://user:password@host:6379, or rediss:// for TLS
    #[arg(
        long,
        value_name = "URL",
        env = "RELAY_REDIS_URL",
        hide_env_values = true,
        required_unless_present = "redis_url_on_stdin"
    )]
    pub redis_url: Option<String>,
    /// Read the URL from standard input
    #[arg(long, hide = true, conflicts_with = "redis_url")]
    pub redis_url_on_stdin: bool,
    /// The authorities of Redis' certificate: a file, or its text (PEM) [default: those of the machine]
    #[arg(long, value_name = "FILE", env = "RELAY_REDIS_CA", hide_env_values = true)]
    pub redis_ca: Option<String>,
    /// Keys in Redis begin with this word: as the operator's
    #[arg(long, value_name = "WORD", env = "RELAY_REDIS_PREFIX", default_value = "relay")]
    pub redis_prefix: String,
    /// Whose jobs to take
    #[arg(long, value_name = "NAMESPACE/POOL", env = "RELAY_POOL", value_parser = pool)]
    pub pool: String,
    /// How many jobs to run at a time
    #[arg(long, value_name = "N", env = "RELAY_SLOTS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: u16,
    /// The name that people see, with a random end behind it [default: the name of the machine]
    #[arg(long, value_name = "NAME", env = "RELAY_WORKER_NAME", value_parser = name)]
    pub name: Option<String>,
    /// The folder for what tasks write; of one worker only [default: a temporary one]
    #[arg(long, value_name = "DIR", env = "RELAY_WORK_DIR")]
    pub dir: Option<PathBuf>,
    /// A file that exists while the worker is ready for jobs
    #[arg(long, value_name = "FILE", env = "RELAY_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// How long to wait for what runs, in seconds
    #[arg(long, value_name = "SECONDS", env = "RELAY_DRAIN_TIMEOUT", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(0..=604_800))]
    pub drain_timeout: u64,
    /// How long a task that is stopped has between SIGTERM and SIGKILL, in seconds
    #[arg(long, value_name = "SECONDS", env = "RELAY_GRACE", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub grace: u64,
}

impl Args {
    /// How long to wait for what runs.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_timeout)
    }
}

impl fmt::Debug for Args {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("pool", &self.pool).field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// The arguments of a worker that reads the URL from standard input: `given`, without the program's name, less the URL.
pub fn without_url(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let mut kept = Vec::new();
    while let Some(argument) = given.next() {
        if argument == "--redis-url" {
            given.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--redis-url=") {
            kept.push(argument);
        }
    }
    kept.push("--redis-url-on-stdin".into());
    kept
}

/// Copy this program into a folder, for pods whose image does not have it
#[derive(clap::Args, Debug)]
pub struct Install {
    /// The folder; the program is called `relay` there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Tell by the exit status whether a file exists: 0 or 1
#[derive(clap::Args, Debug)]
pub struct Probe {
    /// The file, such as a worker's --ready-file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

pub(super) fn pool(text: &str) -> Result<String, String> {
    let told = || "it must read NAMESPACE/POOL, such as data/default".to_owned();
    let (namespace, pool) = text.split_once('/').ok_or_else(told)?;
    if label(namespace) && label(pool) { Ok(text.to_owned()) } else { Err(told()) }
}

fn label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if (1..=253).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 253 letters, digits, `-`, `.` or `_`".to_owned())
    }
}
