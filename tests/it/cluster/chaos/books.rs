//! What is left behind: in Redis, in leases, in logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde_json::Value;

use super::house::House;
use super::plan::Fault;

/// Keys of the pool that are empty when nothing is under way, and what counts them.
const BOOKS: [(&str, &str); 10] = [
    ("ZCARD", "queue:pending_jobs"),
    ("HLEN", "queue:jobs"),
    ("HLEN", "queue:inputs"),
    ("HLEN", "queue:inputs:users"),
    ("HLEN", "leases"),
    ("SCARD", "leases:ended"),
    ("HLEN", "leases:go"),
    ("SCARD", "leases:cancelled"),
    ("XLEN", "stream:results"),
    ("XLEN", "stream:logs"),
];

/// Sessions that two operators may have open at a time, at most.
const SESSIONS_MAX: i64 = 60;

/// What of the pool's books is not empty, and sessions in Postgres that should not be.
pub fn left_behind(house: &House) -> Vec<String> {
    let counts = BOOKS.iter().map(|(command, key)| (key, house.count(command, key)));
    let left = counts.filter(|(_, count)| *count != Some(0));
    let mut found: Vec<String> = left.map(|(key, count)| format!("{key} holds {count:?}")).collect();
    let idle =
        sessions(house, "state like 'idle in transaction%' and state_change < now() - interval '5 seconds'");
    if idle != Some(0) {
        found.push(format!("{idle:?} transactions stay open"));
    }
    let all = sessions(house, "true");
    if all.is_none_or(|all| all > SESSIONS_MAX) {
        found.push(format!("{all:?} sessions in Postgres"));
    }
    found
}

/// Sessions of operators of which something is so.
fn sessions(house: &House, what: &str) -> Option<i64> {
    house.number(&format!(
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name <> 'chaos' and {what}"
    ))
}

/// What those who ended in order leave: sessions, processes, and what tasks of these workers wrote.
pub fn of_the_dead(house: &House, workers: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let left = sessions(house, "true");
    if left != Some(0) {
        found.push(format!("{left:?} sessions in Postgres outlive the operators"));
    }
    found.extend(processes(house.folder.path()));
    for (worker, place) in workers.iter().flat_map(|worker| [(worker, "tasks"), (worker, "tmp")]) {
        let place = house.folder.path().join(worker).join(place);
        let files = std::fs::read_dir(place).into_iter().flatten().flatten();
        found.extend(files.map(|file| format!("{} is left", file.path().display())));
    }
    found
}

/// Processes at work in the folder, or started with it in their arguments or their environment.
fn processes(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let text = |file: &str| {
            let bytes = std::fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let place = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
        if place.starts_with(folder) || ["cmdline", "environ"].iter().any(|file| text(file).contains(&name)) {
            found.push(format!("{} is left: {}", process.path().display(), text("cmdline")));
        }
    }
    found
}

/// How far each log was judged, in bytes.
pub type Judged = BTreeMap<PathBuf, usize>;

/// Lines that are no line of a log (a panic), errors that none of these faults explains, and ends that no error tells of. What
/// was judged before is over.
pub fn complaints(house: &House, judged: &mut Judged, faults: &[Fault]) -> Vec<String> {
    let explained: Vec<&str> = faults.iter().flat_map(|one| one.explains()).copied().collect();
    let mut found = Vec::new();
    for path in &house.logs {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let whole = std::fs::read_to_string(path).unwrap_or_default();
        let (before, end) =
            (judged.get(path).copied().unwrap_or(0), whole.rfind('\n').map_or(0, |at| at + 1));
        let text = whole.get(before..end).unwrap_or_default();
        judged.insert(path.clone(), end.max(before));
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
