//! The id of a stream's entry, as Redis orders them.

use std::{fmt, str::FromStr};

/// `<milliseconds>-<number>`; the default is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    ms: u64,
    number: u64,
}

impl EntryId {
    /// The smallest id above this one.
    pub fn next(self) -> EntryId {
        match self.number.checked_add(1) {
            Some(number) => EntryId { number, ..self },
            None => EntryId { ms: self.ms.saturating_add(1), number: 0 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

impl FromStr for EntryId {
    type Err = ();
    fn from_str(text: &str) -> Result<EntryId, ()> {
        let (ms, number) = text.split_once('-').ok_or(())?;
        Ok(EntryId { ms: ms.parse().map_err(|_| ())?, number: number.parse().map_err(|_| ())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_numbers() {
        let id = |text: &str| text.parse::<EntryId>().expect("an id");
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("10-9").next(), id("10-10"));
        assert_eq!(EntryId { ms: 1, number: u64::MAX }.next(), id("2-0"));
        assert!(["", "1", "1-", "-1", "a-b", "1-2-3"].iter().all(|text| text.parse::<EntryId>().is_err()));
    }
}
