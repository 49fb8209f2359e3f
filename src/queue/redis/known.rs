//! What a conductor remembers of Redis between two calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::link::EntryId;
use crate::queue::redis::memory::Room;

/// A worker looks so often whether its books are still those that it knows, whatever it does. Redis tells nobody that it was
/// emptied, and a worker whose slots are all taken asks for nothing else between two beats.
pub(super) const BOOKS_EVERY: Duration = Duration::from_secs(1);

/// The conductor looks so often whether Redis is in the life that it knows: it may have nothing else to ask for either.
pub(super) const LIFE_EVERY: Duration = Duration::from_millis(500);

/// A worker that came just before the loss is known to nobody. Workers have so long from the beginning of a life before it
/// is said that all have told: a look at the books (`BOOKS_EVERY`), and half as long again for the way.
const STRANGERS_TELL: Duration = Duration::from_millis(1_500);

/// What is known of Redis.
#[derive(Default)]
pub(super) struct Known {
    /// The incarnation, and the connection on which it was last asked for.
    pub(super) incarnation: Option<Arc<str>>,
    pub(super) checked: Option<u64>,
    /// The one whose books were looked at last.
    pub(super) looked_at: Option<Arc<str>>,
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
    /// Workers that are there, as far as is known, with those that are awaited; none while nobody can know all of them: before
    /// the first look, and while workers tell who were not known.
    pub(super) present: Option<BTreeSet<String>>,
}

impl Known {
    /// Another life of Redis' content begins. Whoever was there, or was awaited in the life before, has to tell this one.
    pub(super) fn begin_life(&mut self) {
        if let Some(present) = self.present.take() {
            self.awaited = Some(present);
        }
        self.all_told = false;
    }

    /// These workers are there, and so long there has been, and is left, to tell this life what they hold.
    pub(super) fn see(&mut self, present: &[String], (told, left): (Duration, Duration)) -> Telling {
        if let Some(awaited) = &mut self.awaited {
            awaited.retain(|worker| !present.contains(worker));
            self.all_told |= awaited.is_empty() && told >= STRANGERS_TELL;
        }
        let telling = match (left.is_zero(), self.all_told) {
            (true, _) => Telling::Over,
            (false, true) => Telling::AllTold,
            (false, false) => Telling::Open,
        };
        self.announcing = telling == Telling::Open;
        let seen = present.iter().cloned();
        self.present = match (&self.awaited, self.announcing) {
            (Some(awaited), true) => Some(seen.chain(awaited.iter().cloned()).collect()),
            (None, true) => None,
            (_, false) => Some(seen.collect()),
        };
        if !self.announcing {
            self.awaited = None;
        }
        telling
    }
}

/// How far workers are with telling a new life what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Some may not have told it yet.
    Open,
    /// Everybody who was known has told it, and whoever was not has had the time to.
    AllTold,
    /// The time for it is over.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(30));
    const SOON: (Duration, Duration) = (STRANGERS_TELL, Duration::from_secs(28));
    const OVER: (Duration, Duration) = (Duration::from_secs(30), Duration::ZERO);

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Of a process that looked at books in which all of these had told.
    fn that_knows(workers: &[&str]) -> Known {
        let mut known = Known::default();
        assert_eq!(known.see(&names(workers), OVER), Telling::Over);
        known
    }

    #[test]
    fn all_have_told_once_the_known_ones_have_and_strangers_had_the_time_to() {
        let mut known = that_knows(&["v", "w"]);
        known.begin_life();
        assert_eq!(known.see(&names(&["v", "w"]), START), Telling::Open, "there may be others");
        assert_eq!(known.see(&names(&["v", "w"]), SOON), Telling::AllTold);

        known.begin_life();
        assert_eq!(known.see(&names(&["v"]), SOON), Telling::Open, "one has not");
        assert_eq!(known.see(&names(&["v", "w"]), SOON), Telling::AllTold);
        assert_eq!(known.see(&names(&["v"]), SOON), Telling::AllTold, "what was said stays");
    }

    #[test]
    fn who_knows_of_nobody_waits_for_the_whole_time() {
        let mut known = Known::default();
        known.begin_life();
        assert_eq!(known.see(&names(&["w"]), SOON), Telling::Open);
        // And so in the life after that: what was seen of this one is not all.
        known.begin_life();
        assert_eq!(known.see(&names(&["w"]), SOON), Telling::Open);
        assert_eq!(known.see(&names(&["w"]), OVER), Telling::Over);
        known.begin_life();
        assert_eq!(known.see(&names(&["w"]), SOON), Telling::AllTold);
    }

    #[test]
    fn who_has_not_told_a_life_before_it_was_lost_is_waited_for_in_the_next() {
        let mut known = that_knows(&["v", "w"]);
        known.begin_life();
        known.begin_life();
        assert_eq!(known.see(&names(&["v"]), SOON), Telling::Open, "nobody has looked in between");
        known.begin_life();
        assert_eq!(known.see(&names(&["v"]), SOON), Telling::Open, "somebody has");
        assert_eq!(known.see(&names(&["v", "w"]), SOON), Telling::AllTold);
    }
}
