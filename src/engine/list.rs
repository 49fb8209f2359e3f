//! The list of a forEach, as it lies in memory as long as the run: the elements' JSON, one after another.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::model::json::Text;

/// A number takes its digits and four bytes more, where a value takes 32. An element is read when it is needed: for its
/// item's birth, and for its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    text: Box<str>,
    /// Where each element's text ends.
    ends: Box<[u32]>,
}

impl List {
    /// The list in the input of a group's row; none if there is none, or its text is longer than 4 GiB.
    pub(super) fn of(input: &Text) -> Option<List> {
        #[derive(Deserialize)]
        struct Listed<'t> {
            #[serde(borrow)]
            items: Vec<&'t RawValue>,
        }
        let Listed { items } = serde_json::from_str(input.as_str()).ok()?;
        let mut text = String::with_capacity(items.iter().map(|item| item.get().len()).sum());
        let mut ends = Vec::with_capacity(items.len());
        for item in items {
            text.push_str(item.get());
            ends.push(u32::try_from(text.len()).ok()?);
        }
        Some(List { text: text.into(), ends: ends.into() })
    }

    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The element of this index; none beyond the end, or if it is nested too deep to be read.
    pub(super) fn get(&self, index: usize) -> Option<Value> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        serde_json::from_str(self.text.get(start as usize..end as usize)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(items: &Value) -> Option<List> {
        List::of(&Text::from(&json!({ "items": items, "question": "well?" })))
    }

    #[test]
    fn each_element_is_read_as_it_was_written() {
        let items = [
            json!(0),
            json!(-1.5),
            json!("é, \"]\""),
            json!(null),
            json!({"a": [1, {}]}),
            json!([]),
            json!(""),
        ];
        let list = list(&json!(items)).expect("a list");
        assert_eq!((list.len(), list.is_empty()), (items.len(), false));
        for (index, item) in items.iter().enumerate() {
            assert_eq!(list.get(index).as_ref(), Some(item));
        }
        assert_eq!((list.get(items.len()), list.get(usize::MAX)), (None, None));
    }

    #[test]
    fn what_has_no_list_gives_none() {
        for input in [json!(null), json!({}), json!({ "items": null }), json!({ "items": {"0": 1} })] {
            assert_eq!(List::of(&Text::from(&input)), None, "{input}");
        }
        let empty = list(&json!([])).expect("a list");
        assert_eq!((empty.is_empty(), empty.get(0)), (true, None));
        assert_eq!(empty, List::default());
    }

    #[test]
    fn an_element_too_deep_to_be_read_is_none_and_harms_no_other() {
        let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let list = list(&json!([1, deep, 2])).expect("a list");
        let found: Vec<_> = (0..3).map(|index| list.get(index)).collect();
        assert_eq!(found, [Some(json!(1)), None, Some(json!(2))]);
    }

    #[test]
    fn a_number_takes_its_digits_and_four_bytes() {
        let list = list(&(0..100_000).collect()).expect("a list");
        let bytes = list.text.len() + size_of_val(&*list.ends);
        assert!(bytes < 9 * list.len(), "{bytes} bytes");
    }
}
