//! The scripts of one pool, each a step that happens as a whole or not at all.

use std::sync::LazyLock;

use crate::link::Script;

const PRELUDE: &str = include_str!("scripts/prelude.lua");
/// Also when the memory is full: what they add is small, and what they tell or settle makes room again. Offering jobs
/// and log lines have no such right.
const ALWAYS: &str = "#!lua flags=allow-oom\n";
const WHILE_THERE_IS_ROOM: &str = "";

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $head:ident $file:literal),+ $(,)?) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new($file, &[$head, PRELUDE, include_str!(concat!("scripts/", $file, ".lua"))])
        });)+

        /// Those that work on one pool.
        pub(super) fn of_a_pool() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }
    };
}

scripts! {
    /// A pool is brought into an incarnation.
    OPEN = ALWAYS "open",
    /// A pool that another process leads has to be brought into an incarnation before anybody works in it.
    SHUT = ALWAYS "shut",
    /// Jobs are offered.
    PUBLISH = WHILE_THERE_IS_ROOM "publish",
    /// A worker takes jobs.
    CLAIM = ALWAYS "claim",
    /// A job that nobody has claimed is taken back.
    REMOVE = ALWAYS "remove",
    /// A worker is asked to stop a job.
    CANCEL = ALWAYS "cancel",
    /// Workers may begin what waited for that.
    GO = ALWAYS "go",
    /// A worker tells news of a job.
    REPORT = ALWAYS "report",
    /// Reports and jobs are forgotten.
    SETTLE = ALWAYS "settle",
    /// A worker lives.
    BEAT = ALWAYS "beat",
    /// A worker gives back what it does not know.
    GIVE_BACK = ALWAYS "give_back",
    /// A worker says good-bye.
    LEAVE = ALWAYS "leave",
    /// What the books hold.
    CENSUS = ALWAYS "census",
    /// An empty pool is forgotten.
    CLOSE = ALWAYS "close",
    /// Nothing but who leads.
    LEAD = ALWAYS "lead",
    /// An epoch that is none of the store's is forgotten.
    OVERRULE = ALWAYS "overrule",
    /// Who is present.
    MEMBERS = ALWAYS "members",
    /// Workers are told to claim nothing more, or to go on.
    RETIRE = ALWAYS "retire",
}

/// Scripts by which workers of the version before this one work (`PROTOCOL` less one), as they were released: name, whole text.
///
/// A worker knows its scripts by the hash of their text, and only the conductor's side may load them: after a restart of
/// Redis, workers of the version before are mute until somebody loads theirs. So when `PROTOCOL` becomes `n + 1`, the
/// whole texts of `claim`, `report`, `beat`, `give_back`, `leave` and of the log's `append`, as the last release of `n`
/// had them, go to `scripts/v<n>/` and into this list; those of `n - 1` go. What is here must work on today's keys. A
/// worker of the version after brings its own with its operator: that one has them here under the same rule.
const OF_THE_VERSION_BEFORE: &[(&str, &str)] = &[];

/// What workers of the version before run.
pub(super) fn of_the_version_before() -> Vec<Script> {
    OF_THE_VERSION_BEFORE.iter().map(|(name, text)| Script::new(name, &[text])).collect()
}

/// Which life of Redis' content this is.
pub(super) static INCARNATE: LazyLock<Script> =
    LazyLock::new(|| Script::new("incarnate", &[ALWAYS, include_str!("scripts/incarnate.lua")]));
