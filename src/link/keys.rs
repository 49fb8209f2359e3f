//! The names of what Relay keeps in Redis, and of the users that workers log in as.
//!
//! Everything of one pool begins with `<prefix>:{<namespace>/<pool>}:`. What stands in braces decides the slot of a
//! cluster, so that a script touches one slot alone, and a user's key pattern covers one pool alone.

/// What the keys of a pool begin with. The same pool always gives the same text, and no two pools share one.
pub fn of_pool(prefix: &str, pool: &str) -> String {
    format!("{prefix}:{{{}}}:", plain(pool))
}

/// The user that the workers of a pool log in as. A namespace has no dot, so two pools never share one.
pub fn user(prefix: &str, pool: &str) -> String {
    format!("{prefix}-worker.{}", plain(pool).replacen('/', ".", 1))
}

/// The pool of such a user; none for any other name.
pub fn pool_of(prefix: &str, user: &str) -> Option<String> {
    let pool = user.strip_prefix(prefix)?.strip_prefix("-worker.")?;
    let (namespace, name) = pool.split_once('.')?;
    // What is written as `%XX` is no name of an object.
    (!pool.contains('%')).then(|| format!("{namespace}/{name}"))
}

/// The set of pools that have keys.
pub fn pools(prefix: &str) -> String {
    format!("{prefix}:pools")
}

/// A stream that grows when a pool joins that set, so that blocked readers hear of it.
pub fn pools_changed(prefix: &str) -> String {
    format!("{prefix}:pools:changed")
}

/// Which life of Redis' content this is, and on which server: hash with `id` and `server`.
pub fn incarnation(prefix: &str) -> String {
    format!("{prefix}:{{incarnation}}")
}

/// Exists while workers are still telling a new incarnation what they hold. In the slot of `incarnation`, for one script has both.
pub fn announcing(prefix: &str) -> String {
    format!("{prefix}:{{incarnation}}:announcing")
}

/// What both were called once, in two slots.
pub fn former_incarnation(prefix: &str) -> [String; 2] {
    [format!("{prefix}:incarnation"), format!("{prefix}:incarnation:announcing")]
}

/// The reports of a pool's workers, behind the pool's beginning.
pub const RESULTS: &str = "stream:results";
/// The lines that a pool's tasks wrote, behind the pool's beginning.
pub const LOGS: &str = "stream:logs";
/// A token for each idle worker that should look for jobs, behind the pool's beginning.
pub const DOORBELL: &str = "queue:doorbell";
/// The name of a pool's books, another one after each loss of Redis' content, behind the pool's beginning.
pub const BOOKS: &str = "incarnation";
/// Followed by a worker's name: a token when it should ask for orders.
pub const BELL: &str = "worker:bell:";

/// Letters, digits and `-._/` stay; whatever else is written as `%XX`: no brace, no glob, no space gets through.
fn plain(pool: &str) -> String {
    let mut text = String::with_capacity(pool.len());
    for byte in pool.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_agreed() {
        assert_eq!(of_pool("relay", "data/default"), "relay:{data/default}:");
        assert_eq!(user("relay", "data/gpu.large"), "relay-worker.data.gpu.large");
        assert_eq!(pool_of("relay", "relay-worker.data.gpu.large").as_deref(), Some("data/gpu.large"));
        for other in ["default", "relay", "relay-worker", "relay-worker-worker.data.gpu", "relay-worker.data"]
        {
            assert_eq!(pool_of("relay", other), None, "{other}");
        }
    }

    #[test]
    fn no_name_of_a_pool_reaches_beyond_its_own_keys() {
        assert_eq!(of_pool("relay", "a}b{*?[x] %"), "relay:{a%7Db%7B%2A%3F%5Bx%5D%20%25}:");
        assert_eq!(user("relay", "a/b >x\n"), "relay-worker.a.b%20%3Ex%0A");
    }
}
