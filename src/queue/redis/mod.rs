//! The queue in Redis: the transport of a cluster. It may lose everything at any moment, and no result is lost, and no
//! job that runs is run a second time for that.
//!
//! **Keys.** Everything of a pool begins with `relay:{<namespace>/<pool>}:`, so that each script touches one slot, and a
//! user's rules cover one pool. `link/keys.rs` has the names that several processes share, `scripts/prelude.lua` the rest:
//!
//! | key | what |
//! |---|---|
//! | `queue:pending_jobs` | sorted set: jobs that nobody has claimed, by rank (`name.rs` has what a job is called) |
//! | `queue:jobs`, `queue:inputs`, `queue:inputs:users` | the jobs; documents that several of them share; how many do (`parcel.rs`) |
//! | `queue:doorbell`, `worker:bell:<id>` | lists: a token wakes one idle worker; this worker, to ask for orders |
//! | `leases`, `leases:ended`, `leases:cancelled`, `worker:held:<id>` | who holds which job; whose end is reported, or asked for |
//! | `leases:go` | who may begin which job, of those that wait for that word |
//! | `set:active_workers`, `set:retired_workers`, `worker:heartbeat:<id>` | who works; who claims nothing more; who is present (30 s) |
//! | `stream:results`, `stream:results:settled` | reports until they are settled, and how far they are |
//! | `stream:logs`, `stream:logs:bytes`, `stream:logs:held` | lines until they are stored (`feed/redis`) |
//! | `incarnation` | the life of Redis' content in which all this was written, and when these books were opened in it |
//! | `epoch` | the newest epoch in which a leader spoke to this pool |
//!
//! Outside of pools: `relay:pools`, the stream `relay:pools:changed` that wakes readers when one joins, and
//! `relay:{incarnation}` with `relay:{incarnation}:announcing`. Each script stays in one slot.
//!
//! **The road of a job**, in trips one after the other: `publish` (which rings the doorbell), the worker's `claim`, and its
//! `report`, which wakes the conductor's blocked read. Beside it, and awaited by nobody on that road, `settle` goes out together
//! with the `publish` of the same commit. A worker has one `report` under way at a time, and whatever came meanwhile goes into
//! the next one (`tell.rs`); the end of a job that ended as it began goes with its start. The conductor reads on while one read
//! brings as much as it can, so that all that was told goes into one commit. Nothing of this waits for a timer.
//!
//! **Who may say what.** The conductor's side (`RedisQueue`) loads the scripts and makes a user a pool. A worker's user has
//! EVALSHA, the blocked wait, and the few commands that `claim`, `report`, `beat`, `leave` and `append` make on keys of its
//! pool (`access.rs`); no key can get another type by them. Where somebody else makes the users (`others_make_users`), none
//! is made here, and `user_command` says what each must be. It could still write lies into its own pool's books: what came
//! from a pool counts for that pool's tasks alone (`Placed`, `Told`).
//!
//! **Scripts** (`scripts/*.lua`) take the incarnation that their caller knows and do nothing in another one: `lost` when
//! there is none, `stale` when it changed. A key of a wrong type is told (`broken`), cleared by `open` or `census`, and
//! filled again by the sweep. What was done before an error stays done; every step may be said again.
//!
//! A worker of another Relay has scripts of its own; those of the version before are loaded too (`scripts.rs` has the rule).
//!
//! **Who leads.** Scripts of the conductor's side take the epoch of the pool's shard, as the store gave it. An older one than
//! the pool has heard is refused (`deposed`), a newer one is remembered. A new leader says it in every pool of its shards
//! before anything else (`open`), so that no late word of its predecessor counts from then on; what that one said in between
//! is healed by the first look at the books, which comes after. A new life of Redis' content has heard nobody: whoever speaks
//! first in it may be a leader of yesterday, until the newer one speaks. It can offer jobs that have ended since; the newer
//! one finds them in the books and takes them out, and what a worker may have made of one is a result of an attempt that is
//! over. It cannot settle what it has not read, and what it reads came from workers of this life. Only the store knows who
//! leads: a leader that is refused asks it first, and then ends, or forgets an epoch that the store never gave (`overrule`: a
//! database that was restored, or made anew, beside a Redis that was not).
//!
//! **Positions** of reports are this process' own and only rise; behind each are a pool, an entry and an incarnation
//! (`inbox.rs`). Reports stay in their stream until they are settled, so a new process reads them again from the start.
//!
//! **What is lost when.**
//! - *A worker dies:* nothing. Its leases stay until the sweep judges them.
//! - *The conductor dies:* nothing. Books and reports are in Redis.
//! - *Redis' content goes (FLUSHALL, a restart, another server):* the conductor's side, which looks twice a second, finds no
//!   incarnation, or a server with another run id, and begins a new one: books that survived are cleared, for the newest words
//!   may be missing in them; streams stay. Only then are scripts loaded, so that no worker can act on old books. Workers look
//!   once a second whether their books are others, or hear `stale`, and beat; what they hold becomes their lease again, and
//!   ends that they told without hearing that they are settled are told again (`kept.rs`). Until every worker that was known
//!   has spoken, and any other had the time to (`known.rs`), or `RedisSettings::announce` is over, the census says `announcing`
//!   and the sweep takes nothing for missing. Lines of logs that were not stored yet are lost.
//!   Several processes may lead, each its own pools: the first one makes the incarnation, the others join it; each judges for its
//!   own workers whether they have told, and pools of others that have old books are shut before scripts are loaded (`shut`).
//! - *Redis is away:* every verb ends in time with `Unavailable`, and works again later.
//! - *Its memory is full:* above three quarters nothing is offered, above seven eighths lines wait; reports and beats have
//!   the rest, and settling makes room even when there is none (`memory.rs`).
//! - *It evicts:* whatever is evicted is missing from the books as after a loss, and is found by the sweep; `ping` tells of it.

mod access;
mod conductor;
mod inbox;
mod kept;
mod known;
mod life;
mod look;
mod memory;
mod name;
mod parcel;
mod publish;
mod reading;
mod roster;
mod scripts;
mod server;
mod tell;
mod worker;
pub mod yardstick;

pub use access::user_command;
pub use conductor::{Limits, RedisQueue};
pub use memory::Evicting;
pub use worker::RedisJobs;
