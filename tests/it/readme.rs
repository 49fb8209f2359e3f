//! What the README promises: its manifest runs, and the files that it names are there.

use crate::support::{Told, read, repository};

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = read("README.md");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

#[test]
fn the_manifest_runs_as_the_readme_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nightly.yaml");
    std::fs::write(&file, &blocks("yaml")[0]).expect("a file");
    let file = file.to_str().expect("text");
    let told = Told::run(&[file, "-p", "date=2026-11-20", "--approve=publish"]);
    assert_eq!(told.code, Some(0), "{}", told.errors);
    told.in_order(&["extract[0] | extracting eu for 2026-11-20", "check | [42,42]", "publish | published"]);
    told.at("extract[1] | extracting us for 2026-11-20");
    told.at("notify | the run is SUCCESS");
}

#[test]
fn the_links_lead_somewhere() {
    for file in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for link in read(file).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)) {
            let local = !link.starts_with("http") && !link.starts_with('#');
            assert!(!local || repository(&link).exists(), "{file} links to {link}");
        }
    }
}

#[test]
fn it_opens_with_the_two_commands() {
    let first = blocks("sh")[0].clone();
    let commands: Vec<&str> = first.lines().filter_map(|l| l.split('#').next()).map(str::trim).collect();
    assert_eq!(commands, ["cargo run --release -- run examples/hello.yaml", "make test"]);
}
