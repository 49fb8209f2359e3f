//! How full Redis is, what that stops, and whether it keeps what it is given.
//!
//! Above three quarters nothing more is offered; above seven eighths lines of logs are held back as well. Reports and beats
//! have the rest. It is looked at with the books, and again whenever as much was offered as there was room for.

use std::fmt;

use redis::cmd;

use crate::link::{Link, LinkError, text};
use crate::queue::{QueueError, redis::server::Server};

/// So long one look at a full memory holds log lines back: until well after the next look.
const LOGS_HELD_MS: u64 = 30_000;
/// What a job takes in Redis besides its text: its places in the books. And a text takes more than its bytes.
const PLACES: u64 = 512;
/// What is full then.
pub(super) const MEMORY: &str = "the memory of Redis";
/// The policy that evicts nothing.
const KEEPS: &str = "noeviction";

/// A Redis that throws away what it holds when its memory is full: leases, presence, jobs, lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicting {
    policy: String,
    most: u64,
}

impl Evicting {
    /// The word for it, in answers and logs.
    pub const LABEL: &str = "evicting";
    /// What to do about it.
    pub const ADVICE: &str =
        "set maxmemory-policy to noeviction in Redis, with a maxmemory that has room to spare";
}

impl fmt::Display for Evicting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Redis throws away what it holds when its memory is full (maxmemory-policy {}, maxmemory {} bytes): no result is \
             lost, but tasks may be run a second time, and lines of logs are lost",
            self.policy, self.most
        )
    }
}

/// What Redis says of its memory.
struct Memory {
    used: u64,
    /// 0: as much as the machine has.
    most: u64,
    policy: String,
}

impl Memory {
    async fn of(link: &Link) -> Result<Memory, LinkError> {
        let info = text(link.ask(cmd("INFO").arg("memory")).await?)?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).unwrap_or_default()
        };
        let number = |name: &str| field(name).parse::<u64>().unwrap_or(0);
        let policy = field("maxmemory_policy").to_owned();
        Ok(Memory { used: number("used_memory"), most: number("maxmemory"), policy })
    }

    /// Bytes up to three quarters.
    fn room(&self) -> u64 {
        match self.most {
            0 => u64::MAX,
            most => (most - most / 4).saturating_sub(self.used),
        }
    }
}

/// Does this Redis keep what it is given? Why not, if it does not.
pub(super) async fn keeps(link: &Link) -> Result<Option<Evicting>, LinkError> {
    let Memory { most, policy, .. } = Memory::of(link).await?;
    let keeps = most == 0 || policy == KEEPS || policy.is_empty();
    Ok((!keeps).then_some(Evicting { policy, most }))
}

/// What is left for offers, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// Bytes that may be offered before the next look; none before the first.
    left: u64,
    /// Nothing more is offered until a look finds room.
    crowded: bool,
}

impl Server {
    /// Looks how full Redis is. Gives for how many milliseconds lines of logs are held back (0: they are not).
    pub(super) async fn look_at_memory(&self) -> Result<u64, LinkError> {
        let memory = Memory::of(&self.link).await?;
        let (Memory { used, most, .. }, left) = (&memory, memory.room());
        let crowded = left == 0;
        let was = std::mem::replace(&mut self.known().room, Room { left, crowded });
        if crowded && !was.crowded {
            tracing::warn!(used, most, "Redis is three quarters full: jobs wait until there is room");
        }
        Ok(if *most > 0 && used / 7 > most / 8 { LOGS_HELD_MS } else { 0 })
    }

    /// May jobs of so many bytes in all be offered at once? Several must fit into what is left; a single one may overstep the
    /// bound, or a large job would wait for ever.
    pub(super) async fn has_room(&self, jobs: usize, bytes: usize) -> Result<(), QueueError> {
        let wanted = (jobs as u64).saturating_mul(PLACES).saturating_add((bytes as u64).saturating_mul(2));
        let known = self.known().room;
        if !known.crowded && known.left < wanted {
            self.look_at_memory().await?;
        }
        let room = &mut self.known().room;
        if room.crowded || (jobs > 1 && room.left < bytes as u64) {
            return Err(QueueError::Full(MEMORY));
        }
        room.left = room.left.saturating_sub(wanted);
        Ok(())
    }

    /// Redis itself refused an offer for want of memory.
    pub(super) fn no_room(&self) {
        self.known().room = Room { left: 0, crowded: true };
    }
}
