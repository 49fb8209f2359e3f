//! What kind of server it is, and whom it lets in.

use std::{collections::BTreeMap, sync::Arc};

use redis::{Cmd, Pipeline, cmd};

use crate::link::{Link, LinkError, Reply, keys};
use crate::queue::QueueError;

/// Older ones have no rules for some keys alone, no scripts that may run when the memory is full, and hand scripts on to
/// replicas, where workers would act on books that nobody has looked at yet.
const OLDEST: (u32, u32) = (7, 0);

/// What logging in takes.
const ENTRANCE: &[&str] = &["ping", "hello", "auth", "select", "client|setname"];

/// What else a worker's user may say, and to which of its pool's keys: the blocked wait, scripts, and what the scripts of
/// workers do in turn. No EVAL, no SCRIPT, no look at keys that it cannot name; and no key can get another type than it
/// should have, so that no pool breaks a read of all of them.
/// Redis tries them in this order at each command: what is said most often comes first.
const GRANTS: &[(&[&str], &[&str])] = &[
    (&["xlen", "xadd"], &["stream:results", "stream:logs"]),
    (&["evalsha"], &[""]),
    (&["blpop"], &["queue:doorbell", "worker:bell:*"]),
    (&["llen", "rpush", "del"], &["queue:doorbell"]),
    (&["del"], &["worker:bell:*", "worker:heartbeat:*"]),
    (&["exists", "set", "pexpire"], &["worker:heartbeat:*"]),
    (&["exists"], &["stream:logs:held"]),
    (&["get"], &["incarnation", "stream:results:settled", "stream:logs:bytes"]),
    (&["incrby"], &["stream:logs:bytes"]),
    (&["hget", "hmget"], &["queue:jobs", "queue:inputs"]),
    (&["hget", "hmget", "hset", "hdel"], &["leases"]),
    (&["hget"], &["leases:go"]),
    (&["sadd", "srem", "sismember"], &["leases:ended", "leases:cancelled", "set:active_workers"]),
    (&["srem", "sismember"], &["set:retired_workers"]),
    (&["zrange", "zadd", "zrem", "zcard", "zscore"], &["queue:pending_jobs"]),
    (&["zrange", "zadd", "zrem"], &["worker:held:*"]),
];

/// What kind of server it is.
pub(super) struct Kind {
    /// Of this life of the server.
    pub(super) run_id: String,
}

/// What the server says of itself; one that is too old is refused.
pub(super) async fn look_at_server(link: &Link) -> Result<Kind, LinkError> {
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
    let run_id = field("run_id").ok_or(LinkError::Unexpected("INFO has no run_id"))?;
    Ok(Kind { run_id })
}

/// Makes the users of these pools, or gives them these passwords.
pub(super) async fn admit(
    link: &Link,
    prefix: &str,
    admitted: &BTreeMap<Arc<str>, String>,
) -> Result<(), QueueError> {
    let mut commands = Pipeline::with_capacity(admitted.len());
    for (pool, password) in admitted {
        commands.add_command(user(prefix, pool, password));
    }
    for (answer, password) in link.ask_all(&commands).await?.into_iter().zip(admitted.values()) {
        answer.map_err(|error| refused(without(password, error)))?;
    }
    Ok(())
}

/// What a server says that has no users, or gives nobody the right to make them, with what to do about it.
fn refused(error: LinkError) -> QueueError {
    match error {
        LinkError::Refused(why) => QueueError::UsersRefused(format!(
            "Redis lets the operator make no users for workers ({why}): give the operator's user the command `acl`, or set \
             redis.acl to External, where somebody else makes them, or to Off, where workers log in as the operator does"
        )),
        error => error.into(),
    }
}

/// The pools that have a user.
pub(super) async fn admitted(link: &Link, prefix: &str) -> Result<Vec<String>, QueueError> {
    let mut users = Reply::list(link.ask(cmd("ACL").arg("USERS")).await.map_err(refused)?)?;
    let mut pools = Vec::new();
    while users.left() > 0 {
        pools.extend(keys::pool_of(prefix, &users.text()?));
    }
    Ok(pools)
}

/// Takes a pool's user away; who is logged in as such is thrown out.
pub(super) async fn dismiss(link: &Link, prefix: &str, pool: &str) -> Result<(), QueueError> {
    link.ask(cmd("ACL").arg("DELUSER").arg(keys::user(prefix, pool))).await.map(drop).map_err(refused)
}

fn user(prefix: &str, pool: &str, password: &str) -> Cmd {
    let mut command = cmd("ACL");
    // In one step: whoever is logged in keeps the connection.
    command.arg("SETUSER").arg(keys::user(prefix, pool)).arg("reset").arg("on").arg(format!(">{password}"));
    command.arg(rules(prefix, pool));
    command
}

/// What a user of this pool may do, as rules of Redis.
fn rules(prefix: &str, pool: &str) -> Vec<String> {
    let mut all: Vec<String> = ENTRANCE.iter().map(|name| format!("+{name}")).collect();
    let base = keys::of_pool(prefix, pool);
    for (names, keys) in GRANTS {
        let names = names.iter().map(|name| format!("+{name}"));
        let rules: Vec<String> = names.chain(keys.iter().map(|key| format!("~{base}{key}"))).collect();
        all.push(format!("({})", rules.join(" ")));
    }
    all
}

/// The command by which somebody else makes the user of a pool, as `redis-cli` takes it, with `password` in it as it is.
pub fn user_command(prefix: &str, pool: &str, password: &str) -> String {
    let user = keys::user(prefix, pool);
    format!("ACL SETUSER {user} reset on >{password} {}", rules(prefix, pool).join(" "))
}

/// An error may repeat the rule that it is about, and so the password.
fn without(password: &str, error: LinkError) -> LinkError {
    match error {
        LinkError::Refused(why) if why.contains(password) => {
            LinkError::Refused("the user of a pool could not be made with this password".to_owned())
        }
        other => other,
    }
}
