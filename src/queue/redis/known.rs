//! What a conductor remembers of Redis between two calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::link::EntryId;
use crate::queue::redis::memory::Room;

/// What is known of Redis.
#[derive(Default)]
pub(super) struct Known {
    /// The incarnation, and the connection on which it was last asked for.
    pub(super) incarnation: Option<Arc<str>>,
    pub(super) checked: Option<u64>,
    /// How often other shards were led from then on.
    pub(super) reigns: u64,
    /// Pools of this incarnation.
    pub(super) open: BTreeSet<Arc<str>>,
    /// What the books of pools were called when they were opened last.
    pub(super) opened: BTreeMap<Arc<str>, Arc<str>>,
    /// Pools that workers may come to, and their passwords: users are made again when Redis forgets them.
    pub(super) admitted: BTreeMap<Arc<str>, String>,
    /// Pools of which something had a wrong type, until the next look at the books mends it: a read of all streams fails
    /// when one of them is none.
    pub(super) set_aside: BTreeSet<Arc<str>>,
    /// What there is of its memory.
    pub(super) room: Room,
    /// How far the stream of new pools was read.
    pub(super) pools_seen: EntryId,
    /// Workers are still telling this incarnation what they hold.
    pub(super) announcing: bool,
    /// Workers that were there in the incarnation before, if this process knew them, and have not beaten in this one.
    pub(super) awaited: Option<BTreeSet<String>>,
    /// All of them have told this incarnation what they hold.
    pub(super) all_told: bool,
    /// Workers that are there, as far as is known; none before the first look.
    pub(super) present: Option<BTreeSet<String>>,
}
