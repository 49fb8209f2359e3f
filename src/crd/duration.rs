//! Durations as Go writes them: `1h30m`, `10s`, `500ms`.

use std::time::Duration;

/// The longest duration in a manifest: a year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a duration; None when it is written otherwise or is too long to be counted.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0_u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, scale(unit)?)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(())?;
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// Writes a duration the way a user would: `1h30m`, `1.5s`.
pub(super) fn written(duration: Duration) -> String {
    let (seconds, part) = (duration.as_secs(), duration.subsec_nanos());
    if part > 0 {
        return if seconds > 0 {
            format!("{}s", duration.as_secs_f64())
        } else {
            format!("{}ms", f64::from(part) / 1e6)
        };
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_string() } else { text }
}

fn scale(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `12` or `1.5` of a unit; digits too fine to count are cut off, as Go does.
fn nanoseconds(number: &str, scale: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let mut total = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let mut unit = scale;
    for digit in part.chars() {
        unit /= 10;
        total = total.checked_add(u128::from(digit.to_digit(10)?).checked_mul(unit)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        let millis = |text| parse(text).map(|d| d.as_millis());
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!(millis("0"), Some(0));
        assert_eq!(millis("1m0.001s"), Some(60_001));
        for wrong in
            ["", "10", "1d", "s", "1.2.3s", "-1s", "1 s", "h1", "99999999999999999999999999999999999999999h"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["1h30m", "10s", "1.5s", "500ms", "0s", "8760h"] {
            assert_eq!(written(parse(text).expect("a duration")), text);
        }
    }
}
