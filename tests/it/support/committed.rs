//! Files that code prints and the repository holds: compared in every test run, rewritten by `make generate`.

use super::repository;
use std::path::Path;

/// Asserts that the committed file at `path`, within the repository, is `text`. Under RELAY_GENERATE=1 it writes
/// the file instead. Call it from a module of `tests/it/generated/` alone: `make generate` runs those.
#[track_caller]
pub fn committed(path: &str, text: &str) {
    let rewrite = std::env::var("RELAY_GENERATE").is_ok_and(|value| value == "1");
    if let Err(difference) = compare(&repository(path), text, rewrite) {
        panic!(
            "{path} is not what the code prints: {difference}. Run `make generate` and look at the change."
        );
    }
}

/// Compares, or rewrites. The error is a hint at the first line that differs.
pub fn compare(path: &Path, text: &str, rewrite: bool) -> Result<(), String> {
    if rewrite {
        let folder = path.parent().ok_or("it has no folder")?;
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        return std::fs::write(path, text).map_err(|error| error.to_string());
    }
    let held = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    match first_difference(&held, text) {
        None => Ok(()),
        Some(hint) => Err(hint),
    }
}

fn first_difference(held: &str, printed: &str) -> Option<String> {
    if held == printed {
        return None;
    }
    let (mut old, mut new) = (held.split('\n'), printed.split('\n'));
    let mut line = 1;
    loop {
        let pair = (old.next(), new.next());
        if pair.0 != pair.1 {
            let shown = |side: Option<&str>| {
                side.map_or("the end of the file".to_owned(), |text| format!("{text:?}"))
            };
            return Some(format!("line {line} is {}, the code prints {}", shown(pair.0), shown(pair.1)));
        }
        line += 1;
    }
}

#[test]
fn a_file_that_differs_is_named_by_its_first_line_that_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("made/printed.txt");
    compare(&path, "one\ntwo\n", true).expect("written, with its folder");
    compare(&path, "one\ntwo\n", false).expect("equal");
    let longer = compare(&path, "one\n2\n", false).expect_err("differs");
    assert_eq!(longer, "line 2 is \"two\", the code prints \"2\"");
    let shorter = compare(&path, "one\ntwo", false).expect_err("lacks the last line's end");
    assert_eq!(shorter, "line 3 is \"\", the code prints the end of the file");
    compare(&folder.path().join("absent"), "", false).expect_err("is not there");
}
