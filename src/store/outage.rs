//! Why a store does not work for now, in a closed list of words: each asks for something else to be done.

use std::fmt;

/// What keeps the store from working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody answers, or the connection broke.
    Unreachable,
    /// It answers, and has too much to do, or another session stands in the way.
    Busy,
    /// It has no room left.
    Full,
    /// It takes no writes: a standby, or told to be so.
    ReadOnly,
    /// It lacks a right, a table or a setting: somebody has to give it.
    Unfit,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 5] = [Cause::Unreachable, Cause::Busy, Cause::Full, Cause::ReadOnly, Cause::Unfit];

    /// Its word in metrics and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Cause::Unreachable => "unreachable",
            Cause::Busy => "busy",
            Cause::Full => "full",
            Cause::ReadOnly => "read_only",
            Cause::Unfit => "unfit",
        }
    }

    /// What it means, in a few words.
    const fn says(self) -> &'static str {
        match self {
            Cause::Unreachable => "the store cannot be reached",
            Cause::Busy => "the store is busy",
            Cause::Full => "the store is full",
            Cause::ReadOnly => "the store takes no writes",
            Cause::Unfit => "the store cannot be used as it is",
        }
    }

    /// What a person is to do about it. Whatever waits for it goes on by itself once it is done.
    pub const fn advice(self) -> &'static str {
        match self {
            Cause::Unreachable => {
                "see whether Postgres runs, and whether its address is right and lets this process in"
            }
            Cause::Busy => {
                "if it lasts, give Postgres more room: connections, processors, disk; or end the session that holds a lock"
            }
            Cause::Full => {
                "free space on the disk of Postgres, or give it a larger one; nothing is lost, and what waits is written then"
            }
            Cause::ReadOnly => {
                "let the address lead to the primary, or promote this standby; or turn default_transaction_read_only off"
            }
            Cause::Unfit => {
                "give the role the rights that it lacks, or bring the schema up to date: `relay migrate up`"
            }
        }
    }
}

/// A store that does not work for now. Nothing was done, and the same may work later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What keeps it from working.
    pub cause: Cause,
    /// What it said itself, without passwords.
    pub why: String,
}

impl Outage {
    /// An outage of this cause.
    pub fn new(cause: Cause, why: impl Into<String>) -> Outage {
        Outage { cause, why: why.into() }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.says(), self.why)
    }
}
