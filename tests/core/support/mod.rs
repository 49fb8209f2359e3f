//! What stories and properties share: workflows as text, a store that checks what it is given, a driver.

mod book;
mod flow;
mod play;

pub use book::Book;
pub use flow::{run_row, workflow};
pub use play::story;

use jiff::Timestamp;
use std::time::Duration;

/// When every test begins.
pub fn dawn() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time in 2027")
}

/// `90s`, `5m`, `2h`.
pub fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("`{text}` is no duration"),
    };
    Duration::from_secs(number.parse::<u64>().expect("a number") * seconds)
}
