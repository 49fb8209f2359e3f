//! What kind of server it is, and whom it lets in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redis::{Cmd, Pipeline, cmd};

use crate::link::{Link, LinkError, Reply, keys};

/// Older ones cannot trim a stream by an id.
const OLDEST: (u32, u32) = (6, 2);

/// What a worker's user may say: what logging in takes, the blocked wait, scripts, and what the scripts of workers do
/// in turn. No EVAL, no SCRIPT, no look at keys that it cannot name.
const COMMANDS: &[&str] = &[
    "ping",
    "hello",
    "auth",
    "select",
    "client|setname",
    "evalsha",
    "blpop",
    "get",
    "set",
    "exists",
    "del",
    "pexpire",
    "hget",
    "hset",
    "hexists",
    "sadd",
    "srem",
    "sismember",
    "zadd",
    "zrem",
    "zrange",
    "zcard",
    "zscore",
    "llen",
    "rpush",
    "xlen",
    "xadd",
    "incrby",
];

/// The server's run id; a server that is too old is refused, one that may forget jobs is warned of once.
pub(super) async fn look_at_server(link: &Link) -> Result<String, LinkError> {
    let info = crate::link::text(link.ask(cmd("INFO").arg("server")).await?)?;
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .map(str::to_owned)
    };
    let version = field("redis_version").ok_or(LinkError::Unexpected("INFO has no redis_version"))?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        let (major, minor) = OLDEST;
        return Err(LinkError::Refused(format!(
            "it is Redis {version}; Relay needs {major}.{minor} or newer"
        )));
    }
    warn_of_eviction(link).await;
    field("run_id").ok_or(LinkError::Unexpected("INFO has no run_id"))
}

async fn warn_of_eviction(link: &Link) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let answer = link.ask(cmd("CONFIG").arg("GET").arg("maxmemory-policy")).await;
    // Hosted servers often refuse CONFIG; then nobody can tell.
    let policy = answer.and_then(Reply::list).and_then(|mut r| r.text().and_then(|_| r.text()));
    if let Ok(policy) = policy
        && policy != "noeviction"
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%policy, "Redis may evict jobs when its memory is full: set maxmemory-policy to noeviction");
    }
}

/// Makes the users of these pools, or gives them these passwords.
pub(super) async fn admit(
    link: &Link,
    prefix: &str,
    admitted: &BTreeMap<Arc<str>, String>,
) -> Result<(), LinkError> {
    let mut commands = Pipeline::with_capacity(admitted.len());
    for (pool, password) in admitted {
        commands.add_command(user(prefix, pool, password));
    }
    for answer in link.ask_all(&commands).await? {
        answer.map_err(wordless)?;
    }
    Ok(())
}

/// Takes a pool's user away; who is logged in as such is thrown out.
pub(super) async fn dismiss(link: &Link, prefix: &str, pool: &str) -> Result<(), LinkError> {
    link.ask(cmd("ACL").arg("DELUSER").arg(keys::user(prefix, pool))).await.map(drop)
}

fn user(prefix: &str, pool: &str, password: &str) -> Cmd {
    let mut command = cmd("ACL");
    command.arg("SETUSER").arg(keys::user(prefix, pool));
    // In one step: whoever is logged in keeps the connection.
    command.arg("reset").arg("on").arg(format!(">{password}"));
    command.arg(format!("~{}", keys::pattern(prefix, pool)));
    for name in COMMANDS {
        command.arg(format!("+{name}"));
    }
    command
}

/// An error that may repeat the rule that it is about must not show the password in it.
fn wordless(error: LinkError) -> LinkError {
    match error {
        LinkError::Refused(_) => LinkError::Refused("the user of a pool could not be made".to_owned()),
        other => other,
    }
}
