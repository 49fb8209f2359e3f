//! How long runs that have ended are kept.

use std::{str::FromStr, time::Duration};

use jiff::{Span, SpanRelativeTo};

/// The shortest time: the end of a run is still to be told, and its lines to be stored.
const SHORTEST: Duration = Duration::from_secs(3600);
/// The longest one that is not for ever: a hundred years.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// For ever, or so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(Option<Duration>);

impl Retention {
    /// How long; none: for ever.
    pub const fn time(self) -> Option<Duration> {
        self.0
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Retention, String> {
        if text == "forever" {
            return Ok(Retention(None));
        }
        let wrong = || "a time reads like 30d, 12h or 1d12h; `forever` keeps everything".to_owned();
        let span: Span = text.parse().map_err(|_| wrong())?;
        let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        let time = Duration::try_from(time).map_err(|_| wrong())?;
        if (SHORTEST..=LONGEST).contains(&time) {
            return Ok(Retention(Some(time)));
        }
        Err("it can be 1h at the shortest and 36500d at the longest; `forever` keeps everything".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_for_ever() {
        let hours = |n: u64| Ok(Retention(Some(Duration::from_secs(n * 3600))));
        for (text, wanted) in [
            ("30d", hours(720)),
            ("12h", hours(12)),
            ("1d12h", hours(36)),
            ("2w", hours(336)),
            ("60m", hours(1)),
        ] {
            assert_eq!(text.parse(), wanted, "{text}");
        }
        assert_eq!("forever".parse(), Ok(Retention(None)));
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be_one() {
        for text in ["", "30", "d", "-30d", "1mo", "never", "30 d x"] {
            let said = text.parse::<Retention>().expect_err(text);
            assert!(said.contains("30d, 12h") && said.contains("`forever`"), "{text}: {said}");
        }
        for text in ["59m", "0s", "40000d"] {
            let said = text.parse::<Retention>().expect_err(text);
            assert!(said.contains("1h at the shortest and 36500d"), "{text}: {said}");
        }
    }
}
