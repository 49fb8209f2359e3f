//! The house rules as tests: they read text and use no Relay code. Each finding names the place, the rule and the fix.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/caught.rs"]
mod caught;
#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/proofs.rs"]
mod proofs;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/texts.rs"]
mod texts;

use source::{Finding, Source};

/// Every rule that looks at one Rust file.
const RULES: [fn(&Source) -> Vec<Finding>; 8] = [
    arrows::arrows,
    arrows::paths,
    bans::bans,
    bans::marks,
    bans::reasons,
    shape::file_sizes,
    shape::function_sizes,
    shape::opening,
];

#[track_caller]
fn no_findings(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}\n", findings.len(), lines.join("\n"));
}

#[test]
fn the_rust_files_keep_the_house_rules() {
    let sources = source::rust_files();
    assert!(sources.len() > 10, "the scan finds the files: {}", sources.len());
    let findings: Vec<Finding> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(move |rule| rule(source))).collect();
    no_findings(&findings);
}

#[test]
fn names_say_what_is_inside() {
    let findings: Vec<Finding> =
        source::all_files().iter().flat_map(|path| shape::names(&path.to_string_lossy())).collect();
    no_findings(&findings);
}

#[test]
fn the_map_names_each_room() {
    let Ok(map) = std::fs::read_to_string(source::root().join("ARCHITECTURE.md")) else {
        // Until the map is written there is nothing to compare.
        return;
    };
    no_findings(&shape::unmapped(&map, &source::rooms()));
}

#[test]
fn what_is_claimed_of_durability_is_shown() {
    let path = "docs/durability.md";
    let document = std::fs::read_to_string(source::root().join(path)).expect("it is there");
    assert!(document.contains("`sim::"), "it names tests");
    no_findings(&proofs::missing(path, &document, &source::rust_files()));
}

#[test]
fn texts_hold_nothing_of_one_machine() {
    let findings: Vec<Finding> = source::all_files()
        .iter()
        .filter_map(|path| Some((path, std::fs::read_to_string(source::root().join(path)).ok()?)))
        .flat_map(|(path, text)| texts::places(&path.to_string_lossy(), &text))
        .collect();
    no_findings(&findings);
}
