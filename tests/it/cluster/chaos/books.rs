//! What is left behind: in Redis, in leases, in logs.

use std::process::ExitStatus;

use serde_json::Value;

use super::house::House;
use super::recovery::Struck;

/// Keys of the pool that are empty when nothing is under way, and what counts them.
const BOOKS: [(&str, &str); 7] = [
    ("ZCARD", "queue:pending_jobs"),
    ("HLEN", "queue:jobs"),
    ("HLEN", "queue:inputs"),
    ("HLEN", "leases"),
    ("SCARD", "leases:ended"),
    ("SCARD", "leases:cancelled"),
    ("XLEN", "stream:results"),
];

/// What of the pool's books is not empty.
pub fn left_behind(house: &House) -> Vec<String> {
    let counts = BOOKS.iter().map(|(command, key)| (key, house.count(command, key)));
    let left = counts.filter(|(_, count)| *count != Some(0));
    left.map(|(key, count)| format!("{key} holds {count:?}")).collect()
}

/// Lines that are no line of a log (a panic), errors that no fault explains, and ends that no error tells of.
pub fn complaints(house: &House, struck: &[Struck]) -> Vec<String> {
    let explained: Vec<&str> = struck.iter().flat_map(|one| one.fault.explains()).copied().collect();
    let mut found = Vec::new();
    for path in &house.logs {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let bad = |line: &&str| match serde_json::from_str::<Value>(line) {
            Ok(line) if line["level"] == "ERROR" => {
                let message = line["message"].as_str().unwrap_or_default();
                !explained.iter().any(|beginning| message.starts_with(beginning))
            }
            Ok(_) => false,
            Err(_) => true,
        };
        found.extend(text.lines().filter(bad).map(|line| format!("{name}: {line}")));
    }
    // An operator that ends in the midst of its work says why in an error.
    let odd =
        |(name, status): &&(String, ExitStatus)| !name.starts_with("operator") || status.code() != Some(1);
    found.extend(house.ends.iter().filter(odd).map(|(name, status)| format!("{name} ended: {status}")));
    found
}
