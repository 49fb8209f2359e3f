//! Items that wait for a place, by the time they became READY and then by index. Neighbours that became READY together
//! are one entry: 100,000 items that wait are a few hundred of these.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The items of one forEach that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// From the first index to the one after the last.
    spans: BTreeMap<(Timestamp, u32), u32>,
}

impl Waiting {
    /// One more; said again it changes nothing.
    pub fn insert(&mut self, at: Timestamp, item: u32) {
        if self.span_of(at, item).is_some() {
            return;
        }
        let before = item.checked_sub(1).and_then(|before| self.span_of(at, before));
        let end = self.spans.remove(&(at, item + 1)).unwrap_or(item + 1);
        self.spans.insert((at, before.map_or(item, |(start, _)| start)), end);
    }

    /// Takes one out; false when it did not wait.
    pub fn remove(&mut self, at: Timestamp, item: u32) -> bool {
        let Some((start, end)) = self.span_of(at, item) else { return false };
        match item == start {
            true => drop(self.spans.remove(&(at, start))),
            false => drop(self.spans.insert((at, start), item)),
        }
        if item + 1 < end {
            self.spans.insert((at, item + 1), end);
        }
        true
    }

    /// Takes the first out.
    pub fn pop_first(&mut self) -> Option<(Timestamp, u32)> {
        let (at, item) = *self.spans.first_key_value()?.0;
        self.remove(at, item);
        Some((at, item))
    }

    /// The span that an item is in.
    fn span_of(&self, at: Timestamp, item: u32) -> Option<(u32, u32)> {
        let ((of, start), end) = self.spans.range(..=(at, item)).next_back()?;
        (*of == at && item < *end).then_some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(n: i64) -> Timestamp {
        Timestamp::from_second(n).unwrap_or_default()
    }

    #[test]
    fn what_became_ready_together_is_one_entry() {
        let mut waiting = Waiting::default();
        (0..500).for_each(|item| waiting.insert(at(1), item));
        assert_eq!(waiting.spans.len(), 1);
        assert_eq!(waiting.pop_first(), Some((at(1), 0)));
        assert_eq!(waiting.spans.len(), 1);
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order(steps in prop::collection::vec((0..3_u8, 0..3_i64, 0..20_u32), 0..200)) {
            let (mut waiting, mut set) = (Waiting::default(), BTreeSet::new());
            for (step, when, item) in steps {
                match step {
                    0 => {
                        waiting.insert(at(when), item);
                        set.insert((at(when), item));
                    }
                    1 => prop_assert_eq!(waiting.remove(at(when), item), set.remove(&(at(when), item))),
                    _ => prop_assert_eq!(waiting.pop_first(), set.pop_first()),
                }
            }
            let rest: Vec<_> = std::iter::from_fn(|| waiting.pop_first()).collect();
            prop_assert_eq!(rest, set.into_iter().collect::<Vec<_>>());
        }
    }
}
