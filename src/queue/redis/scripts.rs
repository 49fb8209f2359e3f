//! The scripts of one pool, each a step that happens as a whole or not at all.

use std::sync::LazyLock;

use crate::link::Script;

const PRELUDE: &str = include_str!("scripts/prelude.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal),+ $(,)?) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new($file, &[PRELUDE, include_str!(concat!("scripts/", $file, ".lua"))]));)+

        /// Those that work on one pool.
        pub(super) fn of_a_pool() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }
    };
}

scripts! {
    /// A pool is brought into an incarnation.
    OPEN = "open",
    /// Jobs are offered.
    PUBLISH = "publish",
    /// A worker takes jobs.
    CLAIM = "claim",
    /// A job that nobody has claimed is taken back.
    REMOVE = "remove",
    /// A worker is asked to stop a job.
    CANCEL = "cancel",
    /// A worker tells news of a job.
    REPORT = "report",
    /// Reports and jobs are forgotten.
    SETTLE = "settle",
    /// A worker lives.
    BEAT = "beat",
    /// A worker says good-bye.
    LEAVE = "leave",
    /// What the books hold.
    CENSUS = "census",
    /// An empty pool is forgotten.
    CLOSE = "close",
    /// Who is present.
    MEMBERS = "members",
    /// Workers are told to claim nothing more, or to go on.
    RETIRE = "retire",
}

/// Which life of Redis' content this is.
pub(super) static INCARNATE: LazyLock<Script> =
    LazyLock::new(|| Script::new("incarnate", &[include_str!("scripts/incarnate.lua")]));

/// Everybody has told an incarnation what they hold.
pub(super) static ANNOUNCED: LazyLock<Script> =
    LazyLock::new(|| Script::new("announced", &[include_str!("scripts/announced.lua")]));
